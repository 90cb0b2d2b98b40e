package redis_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/authhost/authhost/host/cache/redis"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.NewTextHandler(io.Discard, nil)))
	os.Exit(m.Run())
}

// server is a redis-server of the test's own.
type server struct {
	t    *testing.T
	addr string
	args []string
	dir  string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// freePort returns a loopback port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// serve starts a server on a port of its own and waits until it answers.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	port := freePort(t)
	s := &server{t: t, addr: "127.0.0.1:" + port, dir: t.TempDir()}
	s.args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", ""}, args...)
	t.Cleanup(s.kill)
	s.start()
	s.wait(goredis.Options{Addr: s.addr})
	return s
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

// wait waits until the server answers a client of the given options.
func (s *server) wait(o goredis.Options) {
	s.t.Helper()
	c := goredis.NewClient(&o)
	defer c.Close()
	until(s.t, "the server at "+s.addr+" answers", func(ctx context.Context) bool { return c.Ping(ctx).Err() == nil })
}

// do sends one command and returns its answer as text.
func (s *server) do(args ...any) string {
	s.t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.addr, Protocol: 2})
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
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !ok(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func connect(t testing.TB, o redis.Options) *redis.Driver {
	t.Helper()
	d, err := redis.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// clusterOfOne is a cluster whose only node holds every slot.
func clusterOfOne(t *testing.T) *server {
	s := serve(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	s.do("cluster", "addslotsrange", 0, 16383)
	until(t, "the cluster is ready", func(context.Context) bool { return strings.Contains(s.do("cluster", "info"), "cluster_state:ok") })
	return s
}

// sentinel watches a master under the name "main".
func sentinel(t *testing.T, master *server) *server {
	t.Helper()
	port := freePort(t)
	s := &server{t: t, addr: "127.0.0.1:" + port, dir: t.TempDir()}
	host, masterPort, _ := net.SplitHostPort(master.addr)
	config := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor main %s %s 1\n", port, s.dir, host, masterPort)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{config, "--sentinel"}
	t.Cleanup(s.kill)
	s.start()
	s.wait(goredis.Options{Addr: s.addr})
	return s
}
