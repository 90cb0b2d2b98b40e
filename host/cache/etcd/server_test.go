package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/authhost/authhost/host/cache/etcd"
)

// server is an etcd of the test's own.
type server struct {
	t    testing.TB
	addr string // host:port for clients
	args []string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// addrs are those that were given out, so that no two tests are given one.
var addrs sync.Map

// freeAddr returns a loopback address that was free a moment ago. Its port is
// below those that the system gives to outgoing connections, so that it is free
// again after a kill, and not one of those that the tests of other packages take.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprint("127.0.0.1:", 18_000+rand.IntN(2_000))
		if _, taken := addrs.LoadOrStore(addr, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// prepare says how a member named name is run; scheme is that of its clients.
func prepare(t testing.TB, name, scheme, peer, cluster string, args ...string) *server {
	s := &server{t: t, addr: freeAddr(t)}
	client := (&url.URL{Scheme: scheme, Host: s.addr}).String()
	s.args = append([]string{"--name", name, "--data-dir", t.TempDir(), "--logger", "zap",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--heartbeat-interval", "50", "--election-timeout", "500", "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster}, args...)
	t.Cleanup(s.kill)
	return s
}

// serve starts a server of one member and waits until it answers.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	peer := "http://" + freeAddr(t)
	s := prepare(t, "one", "http", peer, "one="+peer, args...)
	s.start()
	s.answers(clientv3.Config{})
	return s
}

// start runs the server, also after a kill.
func (s *server) start() {
	s.t.Helper()
	s.out.Reset()
	s.cmd = exec.Command("etcd", s.args...)
	s.cmd.Stderr = &s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// answers waits until the server answers a client of that configuration.
func (s *server) answers(config clientv3.Config) {
	s.t.Helper()
	c := s.client(config)
	defer c.Close()
	until(s.t, "the server at "+s.addr+" answers", func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := c.Get(ctx, "ready")
		return err == nil
	})
}

// client is a plain client of the library.
func (s *server) client(config clientv3.Config) *clientv3.Client {
	s.t.Helper()
	config.Endpoints, config.Logger = []string{s.addr}, zap.NewNop()
	often := backoff.Config{BaseDelay: 20 * time.Millisecond, MaxDelay: 20 * time.Millisecond}
	config.DialOptions = []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: often, MinConnectTimeout: time.Second})}
	c, err := clientv3.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// until waits for what a server does in its own time.
func until(t testing.TB, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !ok(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// patience is how long a call of a driver may take where nothing is wrong, on
// a machine that has much else to do.
const patience = time.Minute

func connect(t testing.TB, o etcd.Options) *etcd.Driver {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	d, err := etcd.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// prefixes are those of the stores that tests keep on one server.
var prefixes = struct {
	sync.Mutex
	n int
}{}

func freshPrefix() string {
	prefixes.Lock()
	defer prefixes.Unlock()
	prefixes.n++
	return fmt.Sprint("test ", prefixes.n, "/")
}

// gate passes connections on to a server, and can cut them off.
type gate struct {
	addr string
	to   string

	mu     sync.Mutex
	open   map[net.Conn]bool
	silent bool // what goes back is swallowed
}

func newGate(t testing.TB, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String(), to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); g.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.pass(c)
		}
	}()
	return g
}

func (g *gate) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer s.Close()
	g.mu.Lock()
	g.open[c] = true
	g.mu.Unlock()
	go func() { _, _ = io.Copy(s, c); s.Close() }()
	_, _ = io.Copy(muffled{g, c}, s)
}

// cut ends every connection.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.Close()
		delete(g.open, c)
	}
}

func (g *gate) setSilent(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = on
}

type muffled struct {
	g *gate
	c net.Conn
}

func (m muffled) Write(b []byte) (int, error) {
	m.g.mu.Lock()
	silent := m.g.silent
	m.g.mu.Unlock()
	if silent {
		return len(b), nil
	}
	return m.c.Write(b)
}
