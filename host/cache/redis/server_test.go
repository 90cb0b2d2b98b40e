package redis_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/authhost/authhost/host/cache/redis"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.NewTextHandler(io.Discard, nil)))
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // they wait for servers, not for processors
		panic(err)
	}
	os.Exit(m.Run())
}

// server is a redis-server of the test's own.
type server struct {
	t    *testing.T
	addr string
	with goredis.Options // how the test itself talks to it
	args []string
	dir  string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// ports are those that were given out, so that no two tests are given one.
var ports sync.Map

// freePort returns a loopback port that was free a moment ago, below those
// that the system gives to outgoing connections.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := fmt.Sprint(10000 + rand.IntN(20000))
		if _, taken := ports.LoadOrStore(port, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// serve starts a server on a port of its own and waits until it answers.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	port := freePort(t)
	s := newServer(t, port)
	s.args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", ""}, args...)
	t.Cleanup(s.kill)
	s.start()
	s.wait()
	return s
}

// newServer is a server that is yet to be started.
func newServer(t *testing.T, port string) *server {
	addr := "127.0.0.1:" + port
	return &server{t: t, addr: addr, dir: t.TempDir(), with: goredis.Options{Addr: addr, Protocol: 2}}
}

// start runs the server, also after a kill: on the same port and directory.
func (s *server) start() {
	s.t.Helper()
	s.out.Reset()
	s.cmd = exec.Command("redis-server", s.args...)
	s.cmd.Stdout = &s.out
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

// wait waits until the server answers.
func (s *server) wait() {
	s.t.Helper()
	c := s.client()
	defer c.Close()
	until(s.t, "the server at "+s.addr+" answers", func(ctx context.Context) bool { return c.Ping(ctx).Err() == nil })
}

func (s *server) client() *goredis.Client {
	o := s.with
	return goredis.NewClient(&o)
}

// do sends one command and returns its answer as text.
func (s *server) do(args ...any) string {
	s.t.Helper()
	c := s.client()
	defer c.Close()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(v)
}

// until waits for what a server does in its own time.
func until(t *testing.T, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !ok(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// patient is the CallTimeout of tests that are not about it: a machine may be
// busy.
const patient = 10 * time.Second

func connect(t testing.TB, o redis.Options) *redis.Driver {
	t.Helper()
	d, err := redis.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
