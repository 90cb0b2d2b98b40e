// Package redistest starts real Redis servers for tests, on loopback ports of
// their own, and stops them when the test ends: one node, replicas, Sentinels, a
// cluster. It asserts nothing but that they come up. No binary other than a
// test imports it.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Server is a redis-server of the test's own.
type Server struct {
	Addr string          // host:port
	With goredis.Options // how the test itself talks to it
	Args []string        // of redis-server
	Dir  string          // a folder of its own

	t   testing.TB
	cmd *exec.Cmd
	out bytes.Buffer
}

// ports are those that were given out, so that no two tests are given one.
var ports sync.Map

// freePort returns a loopback port that was free a moment ago, below those
// that the system gives to outgoing connections, and those of the tests of etcd
// and of the whole program, which run beside these.
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := fmt.Sprint(10_000 + rand.IntN(8_000))
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

// New is a server that is yet to be started, with Args to be set; it is stopped
// when the test ends.
func New(t testing.TB) (s *Server, port string) {
	t.Helper()
	port = freePort(t)
	addr := "127.0.0.1:" + port
	s = &Server{t: t, Addr: addr, Dir: t.TempDir(), With: goredis.Options{Addr: addr, Protocol: 2}}
	t.Cleanup(s.Kill)
	return s, port
}

// Serve starts a server that keeps nothing unless args say so, and waits until
// it answers.
func Serve(t testing.TB, args ...string) *Server {
	t.Helper()
	s, port := New(t)
	s.Args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.Dir, "--save", ""}, args...)
	s.Start()
	s.Wait()
	return s
}

// Start runs the server, also after a kill: on the same port and folder.
func (s *Server) Start() {
	s.t.Helper()
	s.out.Reset()
	s.cmd = exec.Command("redis-server", s.Args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		s.t.Fatal(err)
	}
}

// Kill is kill -9.
func (s *Server) Kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// Signal sends a signal to the server.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Wait waits until the server answers.
func (s *Server) Wait() {
	s.t.Helper()
	c := s.Client()
	defer c.Close()
	Until(s.t, "the server at "+s.Addr+" answers", func(ctx context.Context) bool { return c.Ping(ctx).Err() == nil })
}

// Client talks to the server, and is closed by the caller.
func (s *Server) Client() *goredis.Client {
	o := s.With
	return goredis.NewClient(&o)
}

// Do sends one command and returns its answer as text.
func (s *Server) Do(args ...any) string {
	s.t.Helper()
	c := s.Client()
	defer c.Close()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(v)
}

// Until waits for what a server does in its own time.
func Until(t testing.TB, what string, ok func(context.Context) bool) {
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
