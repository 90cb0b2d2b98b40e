package redis_test

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

// A check is one command, whatever the slot holds; nothing asks for the keys
// that there are.
func TestCommandsSent(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	put(t, d, "slot", "1")
	s.Do("config", "resetstat")
	for range 10 {
		mustHold(t, d, "slot", "1")
	}
	for range 7 {
		put(t, d, "slot", "1")
	}
	if _, err := d.All(t.Context(), "slot"); err != nil {
		t.Fatal(err)
	}
	sent := map[string]string{}
	for line := range strings.Lines(s.Do("info", "commandstats")) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		sent[name], _, _ = strings.Cut(rest, ",")
	}
	for name := range sent {
		switch name {
		case "hset", "pexpiretime", "pexpireat", "publish": // the script's own
			delete(sent, name)
		case "# Commandstats\r\n", "config|resetstat", "info", "hello", "client|setinfo", "client|maint_notifications":
			delete(sent, name)
		}
	}
	if want := map[string]string{"hmget": "10", "hgetall": "1", "evalsha": "7"}; !maps.Equal(sent, want) {
		t.Errorf("sent: %v, want %v", sent, want)
	}
}

// What the store keeps is under these keys, whatever happens; what is done with
// leaves nothing behind.
func TestKeys(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	put(t, d, "slot", "1")
	now, until := time.UnixMilli(1000), time.UnixMilli(2000)
	due := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lease := func(now, until time.Time) {
		t.Helper()
		if got, err := d.LeaseDue(t.Context(), 5, now, until, 1); err != nil || len(got) != 1 {
			t.Fatalf("LeaseDue = %q, %v", got, err)
		}
	}
	due(d.PutDue(t.Context(), 5, "slot", now))
	lease(now, until)
	due(d.PutDue(t.Context(), 5, "slot", until))
	keys := strings.Fields(strings.Trim(s.Do("keys", "*"), "[]"))
	slices.Sort(keys)
	if want := []string{"authhost:due:{05}", "authhost:due:{05}:again", "authhost:{slot}"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	for name, end := range map[string]func(){
		"dropped":       func() { due(d.DropDue(t.Context(), 5, "slot", until)) },
		"leased again":  func() { lease(until, until.Add(time.Second)); until = until.Add(time.Second) },
		"put to before": func() { due(d.PutDue(t.Context(), 5, "slot", until.Add(-1))) },
	} {
		due(d.PutDue(t.Context(), 5, "slot", until))
		end()
		if n := s.Do("exists", "authhost:due:{05}:again"); n != "0" {
			t.Errorf("%s: what it was put to is still kept", name)
		}
		lease(until, until.Add(time.Second))
		until = until.Add(time.Second)
	}
	due(d.DropDue(t.Context(), 5, "slot", until))
	if keys := s.Do("keys", "*due*"); keys != "[]" {
		t.Errorf("left behind: %s", keys)
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
	t.Parallel()
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
		writes.Store(0)
		if n, err := d.Add(t.Context(), "slot", "n", 1, time.Now().Add(time.Hour)); err == nil {
			t.Errorf("Add = %d without error", n)
		}
		if d.PutDue(t.Context(), 0, "slot", time.Now()) == nil || d.DropDue(t.Context(), 0, "slot", time.Now()) == nil {
			t.Error("PutDue or DropDue without error")
		}
		if members, err := d.LeaseDue(t.Context(), 0, time.Now(), time.Now().Add(time.Hour), 1); err == nil {
			t.Errorf("LeaseDue = %q without error", members)
		}
		if n := writes.Load(); n != 4 {
			t.Errorf("wait for %d replicas: four writes were sent %d times", replicas, n)
		}
	}
}
