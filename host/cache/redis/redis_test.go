package redis_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
)

func TestRefusedOptions(t *testing.T) {
	for name, o := range map[string]redis.Options{
		"cluster and sentinel":  {Cluster: true, MasterName: "main"},
		"cluster with database": {Cluster: true, DB: 1},
		"two nodes alone":       {Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}},
		"negative replicas":     {WaitReplicas: -1},
		"tls config without":    {TLSConfig: &tls.Config{}},
	} {
		if _, err := redis.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func put(t *testing.T, d cache.Driver, slot, value string) {
	t.Helper()
	c := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte(value)}}, Expires: time.Now().Add(time.Hour)}
	if _, err := d.Change(t.Context(), slot, c); err != nil {
		t.Fatal(err)
	}
}

func mustHold(t *testing.T, d cache.Driver, slot, value string) {
	t.Helper()
	v, err := d.Get(t.Context(), slot, "a")
	if err != nil || string(v[0]) != value {
		t.Errorf("Get %s = %q, %v, want %q", slot, v, err, value)
	}
}

// mustFail proves that every call fails by itself, well before the caller's
// patience ends.
func mustFail(t *testing.T, d cache.Driver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if v, err := d.Get(ctx, "slot", "a"); err == nil {
			t.Errorf("Get = %q without error", v)
		}
	})
	wg.Go(func() {
		if v, err := d.All(ctx, "slot"); err == nil {
			t.Errorf("All = %q without error", v)
		}
	})
	wg.Go(func() {
		c := cache.Change{Put: []cache.Field{{Name: "b"}}, Expires: time.Now().Add(time.Hour)}
		if applied, err := d.Change(ctx, "slot", c); err == nil || applied {
			t.Errorf("Change = %v without error", applied)
		}
	})
	wg.Go(func() {
		if d.Ping(ctx) == nil {
			t.Error("Ping without error")
		}
	})
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("the calls did not give up by themselves")
	}
}

// A server that stops, hangs or is killed makes errors, and nothing else; once
// it is back, so is all that was acknowledged, without a new driver.
func TestServerAwayAndBack(t *testing.T) {
	s := serve(t, "--appendonly", "yes", "--appendfsync", "always")
	d := connect(t, redis.Options{Addrs: []string{s.addr}})
	put(t, d, "slot", "1")

	s.signal(syscall.SIGSTOP)
	mustFail(t, d)
	s.signal(syscall.SIGCONT)
	until(t, "it answers after a halt", func(ctx context.Context) bool { return d.Ping(ctx) == nil })
	mustHold(t, d, "slot", "1")

	for round := range 3 {
		put(t, d, "slot", fmt.Sprint(round))
		s.kill()
		mustFail(t, d)
		s.start()
		until(t, "it answers after a kill", func(ctx context.Context) bool { return d.Ping(ctx) == nil })
		mustHold(t, d, "slot", fmt.Sprint(round))
	}

	// An idle connection that the server closed is no failure at all.
	s.kill()
	s.start()
	s.wait(goredis.Options{Addr: s.addr})
	mustHold(t, d, "slot", "2")
}

func TestForgottenScript(t *testing.T) {
	s := serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.addr}})
	put(t, d, "slot", "1")
	s.do("script", "flush")
	put(t, d, "slot", "2")
	mustHold(t, d, "slot", "2")
}

func TestEvicting(t *testing.T) {
	s := serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.addr}})
	for policy, want := range map[string]bool{"noeviction": false, "allkeys-lru": true, "volatile-ttl": true} {
		s.do("config", "set", "maxmemory-policy", policy)
		if got, err := d.Evicting(t.Context()); err != nil || got != want {
			t.Errorf("Evicting with %s = %v, %v", policy, got, err)
		}
	}
	s.kill()
	if _, err := d.Evicting(t.Context()); err == nil {
		t.Error("Evicting of a server that is away has an answer")
	}
}

// A change is acknowledged once the replicas have it, and not before; repeated,
// it waits for them again, even where nothing is left to change.
func TestWaitForReplicas(t *testing.T) {
	s := serve(t, "--repl-diskless-sync-delay", "0")
	d := connect(t, redis.Options{Addrs: []string{s.addr}, WaitReplicas: 1})
	one := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte("1")}}, Expires: time.Now().Add(time.Hour)}
	end := cache.Change{Delete: []string{"a"}}
	refused := cache.Change{If: []cache.Field{{Name: "a", Value: []byte("9")}}, Delete: []string{"a"}}
	if applied, err := d.Change(t.Context(), "slot", one); err == nil || applied {
		t.Errorf("without a replica: Change = %v without error", applied)
	}
	if applied, err := d.Change(t.Context(), "slot", refused); err != nil || applied {
		t.Errorf("a change whose condition fails = %v, %v, want false and no error: nothing waits", applied, err)
	}
	for _, again := range []string{"made", "repeated"} {
		if applied, err := d.Change(t.Context(), "slot", end); err == nil || applied {
			t.Errorf("without a replica: the delete, %s, = %v without error", again, applied)
		}
	}
	host, port, _ := net.SplitHostPort(s.addr)
	replica := serve(t, "--replicaof", host+" "+port)
	until(t, "the delete is acknowledged", func(ctx context.Context) bool {
		applied, err := d.Change(ctx, "slot", end)
		return err == nil && applied
	})
	if keys := s.do("keys", "*"); keys != "[]" {
		t.Errorf("waiting left keys behind: %s", keys)
	}
	if applied, err := d.Change(t.Context(), "slot", one); err != nil || !applied {
		t.Errorf("with a replica: Change = %v, %v", applied, err)
	}
	if got := replica.do("hget", "authhost:{slot}", "a"); got != "1" {
		t.Errorf("the replica holds %q", got)
	}
}

// A check is one command, whatever the slot holds; nothing asks for the keys
// that there are.
func TestCommandsSent(t *testing.T) {
	s := serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.addr}})
	put(t, d, "slot", "1")
	s.do("config", "resetstat")
	for range 10 {
		mustHold(t, d, "slot", "1")
	}
	if _, err := d.All(t.Context(), "slot"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(s.do("info", "commandstats")) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		calls, _, _ := strings.Cut(rest, ",")
		if ok && name != "config|resetstat" && name != "info" && name != "hello" && name != "client|setinfo" && name != "client|maint_notifications" {
			got = append(got, name+" "+calls)
		}
	}
	if fmt.Sprint(got) != "[hmget 10 hgetall 1]" && fmt.Sprint(got) != "[hgetall 1 hmget 10]" {
		t.Errorf("sent: %q", got)
	}
}

// mute accepts commands, counts them, and closes the connection instead of
// answering.
func mute(t *testing.T, counts map[string]*atomic.Int32) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewScanner(c)
				for lines.Scan() {
					if n := counts[strings.ToLower(lines.Text())]; n != nil {
						n.Add(1)
						return
					}
					if strings.EqualFold(lines.Text(), "hello") {
						fmt.Fprint(c, "-ERR unknown command\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A write whose answer was lost may have been done: sent again, its answer
// would tell of the second and deny the first.
func TestWritesAreSentOnce(t *testing.T) {
	for _, replicas := range []int{0, 1} {
		writes, reads := new(atomic.Int32), new(atomic.Int32)
		d := connect(t, redis.Options{WaitReplicas: replicas, Addrs: []string{
			mute(t, map[string]*atomic.Int32{"evalsha": writes, "eval": writes, "hmget": reads})}})
		c := cache.Change{Put: []cache.Field{{Name: "a"}}, Expires: time.Now().Add(time.Hour)}
		if applied, err := d.Change(t.Context(), "slot", c); err == nil || applied {
			t.Errorf("Change = %v without error", applied)
		}
		if n := writes.Load(); n != 1 {
			t.Errorf("wait for %d replicas: the write was sent %d times", replicas, n)
		}
		if v, err := d.Get(t.Context(), "slot", "a"); err == nil {
			t.Errorf("Get = %q without error", v)
		}
		if n := reads.Load(); n != 2 {
			t.Errorf("the read was sent %d times, want 2", n)
		}
	}
}
