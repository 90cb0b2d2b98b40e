package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/authhost/authhost/host/cache"
)

// Options says which etcd. The zero value is one node at 127.0.0.1:2379.
type Options struct {
	// Endpoints are host:port, or https://host:port for TLS by the system's
	// roots without a TLSConfig.
	Endpoints []string
	Username  string
	Password  string
	TLSConfig *tls.Config   // set: TLS; each server must prove the host that is its endpoint's
	Prefix    string        // of every key; empty: "authhost/"
	Timeout   time.Duration // of a call as a whole; 0: 2 seconds

	// DialTimeout is how long one attempt to connect may take; 0: 1 second.
	DialTimeout time.Duration
	Now         func() time.Time // the clock that slots expire by; nil: the system's
}

const (
	defaultPrefix      = "authhost/"
	defaultTimeout     = 2 * time.Second
	defaultDialTimeout = time.Second
	// reconnect is the longest wait between two attempts to connect.
	reconnect = 500 * time.Millisecond
	// The least that etcd lets a client ask whether a connection lives.
	keepAliveTime, keepAliveTimeout = 10 * time.Second, 2 * time.Second
)

// Driver is a cache.Driver on etcd. New makes one.
type Driver struct {
	o      Options
	leases leases

	client  atomic.Pointer[clientv3.Client]
	opening chan struct{} // held by who opens the client
	failed  struct {      // opening; guarded by it
		at  time.Time
		err error
	}
}

// New returns a driver. A server that is away is told by each call, until it
// is back.
func New(o Options) (*Driver, error) {
	if len(o.Endpoints) == 0 {
		o.Endpoints = []string{"127.0.0.1:2379"}
	}
	if err := checkEndpoints(o.Endpoints, o.TLSConfig != nil); err != nil {
		return nil, err
	}
	if (o.Username == "") != (o.Password == "") {
		return nil, errors.New("cache etcd: a user name and a password go together")
	}
	if o.Timeout < 0 || o.DialTimeout < 0 {
		return nil, errors.New("cache etcd: a negative timeout")
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = defaultDialTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Driver{o: o, opening: make(chan struct{}, 1), leases: newLeases()}
	if o.Username != "" {
		return d, nil // the client library would log in at once
	}
	client, err := clientv3.New(d.config())
	if err != nil {
		return nil, fmt.Errorf("cache etcd: %w", err)
	}
	d.client.Store(client)
	return d, nil
}

// checkEndpoints refuses a mixture: the client library takes the first one's
// scheme for all, and http:// for a wish to do without TLS.
func checkEndpoints(endpoints []string, secure bool) error {
	for _, e := range endpoints {
		scheme, rest, ok := strings.Cut(e, "://")
		if !ok {
			scheme, rest = "", e
		}
		first, _, ok := strings.Cut(endpoints[0], "://")
		switch {
		case rest == "" || scheme != "" && scheme != "http" && scheme != "https":
			return fmt.Errorf("cache etcd: endpoint %q is not host:port, http:// or https://", e)
		case (scheme == "https") != (ok && first == "https"):
			return errors.New("cache etcd: some endpoints are https:// and some are not")
		case scheme == "http" && secure:
			return fmt.Errorf("cache etcd: endpoint %q is without TLS, but TLS is configured", e)
		}
	}
	return nil
}

func (d *Driver) config() clientv3.Config {
	c := clientv3.Config{
		Endpoints: d.o.Endpoints, Username: d.o.Username, Password: d.o.Password, DialTimeout: d.o.Timeout, // to log in
		DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout,
		MaxUnaryRetries: 2, // a read is tried twice; a write only if it was not sent
		Logger:          zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: reconnect / 8, Multiplier: 2, Jitter: 0.2, MaxDelay: reconnect * 4 / 5},
				MinConnectTimeout: d.o.DialTimeout,
			}),
			grpc.WithChainUnaryInterceptor(failFast, loginOnce),
		},
	}
	if d.o.TLSConfig != nil {
		c.TLS = d.o.TLSConfig.Clone()
	}
	return c
}

// failFast undoes the client library's habit of waiting for a server that
// refuses connections until the call's time is over.
func failFast(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, conn, append(o, grpc.WaitForReady(false))...)
}

// errForgotten is what a call ends with when the server does not know any more
// that this client logged in. Nothing was done.
var errForgotten = errors.New("the server has forgotten who is asking")

// loginOnce makes errForgotten of a login that is refused because the one
// before it was forgotten, as etcd 3.4 does: the client library would try the
// same again for ever.
func loginOnce(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, conn, o...)
	if method == pb.Auth_Authenticate_FullMethodName && errors.Is(rpctypes.Error(err), rpctypes.ErrInvalidAuthToken) {
		return errForgotten
	}
	return err
}

// forget lets go of a client that the server does not know any more, once the
// calls that others have under way on it are over.
func (d *Driver) forget(c *clientv3.Client) {
	if d.client.CompareAndSwap(c, nil) {
		time.AfterFunc(d.o.Timeout, func() { c.Close() })
	}
}

// open returns the client. One with a user name logs in when it is made, so
// that is tried until it works, though not by each of many callers.
func (d *Driver) open(ctx context.Context) (*clientv3.Client, error) {
	if c := d.client.Load(); c != nil {
		return c, ctx.Err()
	}
	select {
	case d.opening <- struct{}{}:
		defer func() { <-d.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := d.client.Load(); c != nil {
		return c, ctx.Err()
	}
	if err := d.failed.err; err != nil && time.Since(d.failed.at) < reconnect/4 {
		return nil, err
	}
	c, err := clientv3.New(d.config())
	if err != nil {
		d.failed.at, d.failed.err = time.Now(), fmt.Errorf("logging in: %w", err)
		return nil, d.failed.err
	}
	d.client.Store(c)
	return c, ctx.Err()
}

// call runs one call of the driver, within its time; again if it was refused
// only because the login was forgotten.
func (d *Driver) call(ctx context.Context, what string, do func(context.Context, *clientv3.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	for retried := false; ; retried = true {
		client, err := d.open(ctx)
		if err == nil {
			err = do(ctx, client)
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, errForgotten):
			return fmt.Errorf("cache etcd: %s: %w", what, err)
		}
		d.forget(client)
		if retried {
			return fmt.Errorf("cache etcd: %s: %w", what, err)
		}
	}
}

// Ping implements cache.Driver: a majority answers.
func (d *Driver) Ping(ctx context.Context) error {
	return d.call(ctx, "ping", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Get(ctx, d.o.Prefix+"ping")
		return err
	})
}

// Close implements cache.Driver. Leases stay, and with them the slots.
func (d *Driver) Close() error {
	if c := d.client.Load(); c != nil {
		return c.Close()
	}
	return nil
}

var _ cache.Driver = (*Driver)(nil)
