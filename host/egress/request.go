package egress

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a request.
const (
	MaxURL     = 2048  // bytes
	MaxHeaders = 32    // values
	MaxName    = 128   // bytes of a header's name
	MaxValue   = 4096  // bytes of a header's value
	MaxBody    = 65536 // bytes, of a request and of an answer
)

// Methods are those that a request may have.
var Methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// forbidden are the headers that belong to the connection or to this package.
var forbidden = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Cookie", "Expect", "Host", "Http2-Settings", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// Request is what a plugin wants to fetch.
type Request struct {
	Method string
	URL    string
	Header http.Header // canonical names
	Body   []byte
}

// check says what is wrong with a request, its URL aside.
func (r Request) check() error {
	if !slices.Contains(Methods, r.Method) {
		return fmt.Errorf("method %.20q is not one of %s", r.Method, strings.Join(Methods, ", "))
	}
	if len(r.Body) > MaxBody {
		return fmt.Errorf("the body has %d bytes, more than %d", len(r.Body), MaxBody)
	}
	return checkHeader(r.Header)
}

func checkHeader(h http.Header) error {
	n := 0
	for name, values := range h {
		if len(name) > MaxName || !isToken(name) || name != http.CanonicalHeaderKey(name) {
			return fmt.Errorf("%.20q is not a header's name", name)
		}
		if slices.Contains(forbidden, name) {
			return fmt.Errorf("header %s is not a plugin's to set", name)
		}
		for _, v := range values {
			if len(v) > MaxValue || !isValue(v) {
				return fmt.Errorf("the value of header %s is too long, or has control characters", name)
			}
		}
		n += len(values)
	}
	if n > MaxHeaders {
		return fmt.Errorf("%d headers, more than %d", n, MaxHeaders)
	}
	return nil
}

func isToken(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func isValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// target is a URL that was judged, in the parts that it is called by.
type target struct {
	url  *url.URL // its host is host and port
	host string   // canonical
	port uint16
}

// parseTarget reads a URL. What two parsers could read differently is refused,
// and the host is rebuilt from what was read. Errors do not quote the URL,
// which may hold a secret.
func parseTarget(text string) (target, error) {
	fail := func(why string) (target, error) { return target{}, fmt.Errorf("the URL %s", why) }
	if len(text) > MaxURL {
		return fail("is too long")
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return fail("has a character that none may have")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fail("cannot be read")
	case u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "" || !strings.HasPrefix(text, u.Scheme+"://"):
		return fail("must begin with https:// (or http://)")
	case u.User != nil:
		return fail("has a user's name in it")
	}
	named, port, ok := splitPort(u.Host)
	if !ok {
		return fail("has a port that is none")
	}
	host, ok := canonical(strings.ToLower(named))
	if !ok {
		return fail("names no host in the one way in which it should be written")
	}
	if port == 0 {
		port = standardPort(u.Scheme)
	}
	u.Host = net.JoinHostPort(host, strconv.Itoa(int(port)))
	return target{u, host, port}, nil
}

func standardPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

// judge makes the request that is sent, if the policy allows it.
func judge(ctx context.Context, p Policy, r Request) (*http.Request, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	t, err := parseTarget(r.URL)
	if err != nil {
		return nil, err
	}
	if t.url.Scheme != "https" && !p.Private {
		return nil, fmt.Errorf("http is for private networks: https is needed")
	}
	if !p.allows(t.host, t.port, t.port == standardPort(t.url.Scheme)) {
		return nil, fmt.Errorf("host %s is not one of those granted", t.url.Host)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, t.url.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("the request cannot be made")
	}
	req.URL = t.url
	req.Host = t.url.Host
	if t.port == standardPort(t.url.Scheme) {
		req.Host = strings.TrimSuffix(req.Host, ":"+strconv.Itoa(int(t.port)))
	}
	maps.Copy(req.Header, r.Header)
	if req.Header["User-Agent"] == nil {
		req.Header["User-Agent"] = []string{"authhost"}
	}
	return req, nil
}
