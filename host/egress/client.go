package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Word says in one word why there is no answer: it is all that a plugin learns.
type Word string

// The words.
const (
	Refused     Word = "refused"     // not granted, not allowed, or of the wrong form
	Unreachable Word = "unreachable" // no name, no connection, no trust, no HTTP
	Timeout     Word = "timeout"
	TooLarge    Word = "too_large" // the answer
)

// Error is why there is no answer, or not all of it. Its cause is for the log.
type Error struct {
	Word  Word
	Cause error
}

// Error returns everything that is known.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Word, e.Cause) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Options say what a [Client] is to use. The zero value will do.
type Options struct {
	Timeout  time.Duration  // of a request with its answer; 0: 5 s
	Resolver *net.Resolver  // nil: the system's
	RootCAs  *x509.CertPool // who vouches for servers; nil: whom the system trusts
}

const (
	defaultTimeout = 5 * time.Second
	maxHeaderBytes = 16 << 10 // of an answer
	maxConnections = 64       // to one host
	maxIdle        = 100
	maxIdleHost    = 16
	idleTimeout    = 30 * time.Second
)

// Client calls out. Its methods may be called by many goroutines at once. Make
// one with [New] and end it with [Client.Close].
type Client struct {
	timeout time.Duration
	// A connection is kept for the next request, which may be another plugin's:
	// so those to private addresses are not the same plugins' as the others.
	public, private *http.Transport

	may func(a netip.Addr, private bool) bool
}

// New makes a client. It starts nothing.
func New(o Options) *Client {
	c := &Client{timeout: o.Timeout, may: may}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	c.public, c.private = c.transport(o, false), c.transport(o, true)
	return c
}

func (c *Client) transport(o Options, private bool) *http.Transport {
	d := net.Dialer{
		Timeout:  c.timeout,
		Resolver: o.Resolver,
		// Control is called with each address that is about to be dialled.
		Control: func(_, address string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(address); err != nil || !c.may(a.Addr(), private) {
				return &Error{Refused, fmt.Errorf("address %s is not to be dialled", address)}
			}
			return nil
		},
	}
	return &http.Transport{ // no proxy, HTTP/1.1
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.timeout,
		ResponseHeaderTimeout:  c.timeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdleHost,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
	}
}

// Close ends the connections that nobody uses.
func (c *Client) Close() {
	c.public.CloseIdleConnections()
	c.private.CloseIdleConnections()
}

// Response is an answer. A redirect is one like any other.
type Response struct {
	Status int // 200 to 599; 0: none came
	Body   []byte
}

// Do sends a request, if the policy allows it, and waits for the answer until
// ctx ends or the client's timeout. Every error is an [*Error]; the status is
// returned beside it if it came before the failure.
func (c *Client) Do(ctx context.Context, p Policy, r Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := judge(ctx, p, r)
	if err != nil {
		return Response{}, &Error{Refused, err}
	}
	t := c.public
	if p.Private {
		t = c.private
	}
	answer, err := t.RoundTrip(req) // not http.Client: it would follow redirects
	if err != nil {
		return Response{}, failure(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 599 {
		return Response{}, &Error{Unreachable, fmt.Errorf("the answer has the status %d", answer.StatusCode)}
	}
	got := Response{Status: answer.StatusCode}
	body, err := io.ReadAll(io.LimitReader(answer.Body, MaxBody+1))
	if err != nil {
		return got, failure(ctx, err)
	}
	if len(body) > MaxBody {
		return got, &Error{TooLarge, fmt.Errorf("the answer is longer than %d bytes", MaxBody)}
	}
	got.Body = body
	return got, nil
}

// failure finds the word for what the connection came to.
func failure(ctx context.Context, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{e.Word, err}
	}
	if n, ok := errors.AsType[net.Error](err); ctx.Err() != nil || ok && n.Timeout() {
		return &Error{Timeout, err}
	}
	return &Error{Unreachable, err}
}
