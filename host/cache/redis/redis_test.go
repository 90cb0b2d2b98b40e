package redis_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
		if n, err := d.Add(ctx, "slot", "n", 1, time.Now().Add(time.Hour)); err == nil {
			t.Errorf("Add = %d without error", n)
		}
	})
	wg.Go(func() {
		if d.PutDue(ctx, 0, "slot", time.Now()) == nil || d.DropDue(ctx, 0, "slot", time.Now()) == nil {
			t.Error("PutDue or DropDue without error")
		}
	})
	wg.Go(func() {
		if members, err := d.LeaseDue(ctx, 0, time.Now(), time.Now().Add(time.Hour), 1); err == nil {
			t.Errorf("LeaseDue = %q without error", members)
		}
	})
	wg.Go(func() {
		if slots, _, err := d.List(ctx, "", 10); err == nil {
			t.Errorf("List = %q without error", slots)
		}
	})
	wg.Go(func() {
		err := d.Watch(ctx, func() { t.Error("a watch of a server that is away is ready") }, func(string) {})
		if err == nil || ctx.Err() != nil {
			t.Errorf("Watch = %v", err)
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
	t.Parallel()
	s := redistest.Serve(t, "--appendonly", "yes", "--appendfsync", "always")
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: 3 * time.Second})
	put(t, d, "slot", "1")

	s.Signal(syscall.SIGSTOP)
	mustFail(t, d)
	s.Signal(syscall.SIGCONT)
	redistest.Until(t, "it answers after a halt", func(ctx context.Context) bool { return d.Ping(ctx) == nil })
	mustHold(t, d, "slot", "1")

	for round := range 3 {
		put(t, d, "slot", fmt.Sprint(round))
		s.Kill()
		mustFail(t, d)
		s.Start()
		redistest.Until(t, "it answers after a kill", func(ctx context.Context) bool { return d.Ping(ctx) == nil })
		mustHold(t, d, "slot", fmt.Sprint(round))
	}

	// An idle connection that the server closed is no failure at all.
	s.Kill()
	s.Start()
	s.Wait()
	mustHold(t, d, "slot", "2")
}

func TestForgottenScript(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	put(t, d, "slot", "1")
	s.Do("script", "flush")
	put(t, d, "slot", "2")
	mustHold(t, d, "slot", "2")
}

func TestEvicting(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	for policy, want := range map[string]bool{"noeviction": false, "allkeys-lru": true, "volatile-ttl": true} {
		s.Do("config", "set", "maxmemory-policy", policy)
		if got, err := d.Evicting(t.Context()); err != nil || got != want {
			t.Errorf("Evicting with %s = %v, %v", policy, got, err)
		}
	}
	s.Kill()
	if _, err := d.Evicting(t.Context()); err == nil {
		t.Error("Evicting of a server that is away has an answer")
	}
}

// A change is acknowledged once the replicas have it, and not before; repeated,
// it waits for them again, even where nothing is left to change.
func TestWaitForReplicas(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t, "--repl-diskless-sync-delay", "0")
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, WaitReplicas: 1, CallTimeout: 1500 * time.Millisecond})
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
	soon := time.Now().Add(time.Hour)
	if n, err := d.Add(t.Context(), "count", "n", 5, soon); err == nil {
		t.Errorf("without a replica: Add = %d without error", n)
	}
	for _, again := range []string{"made", "repeated", "moved to a later moment"} {
		if d.PutDue(t.Context(), 5, "slot", soon) == nil {
			t.Errorf("without a replica: PutDue, %s, without error", again)
		}
		if again == "repeated" {
			soon = soon.Add(time.Hour)
		}
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	replica := redistest.Serve(t, "--replicaof", host+" "+port)
	redistest.Until(t, "the delete is acknowledged", func(ctx context.Context) bool {
		applied, err := d.Change(ctx, "slot", end)
		return err == nil && applied
	})
	d = connect(t, redis.Options{Addrs: []string{s.Addr}, WaitReplicas: 1, CallTimeout: patient})
	if keys := s.Do("exists", "authhost:{slot}"); keys != "0" {
		t.Errorf("waiting left the slot behind: %s", keys)
	}
	if applied, err := d.Change(t.Context(), "slot", one); err != nil || !applied {
		t.Errorf("with a replica: Change = %v, %v", applied, err)
	}
	if got := replica.Do("hget", "authhost:{slot}", "a"); got != "1" {
		t.Errorf("the replica holds %q", got)
	}
	if n, err := d.Add(t.Context(), "count", "n", 1, soon); err != nil || replica.Do("hget", "authhost:{count}", "n") != fmt.Sprint(n) {
		t.Errorf("with a replica: Add = %d, %v", n, err)
	}
	if err := d.PutDue(t.Context(), 5, "slot", time.UnixMilli(99)); err != nil || replica.Do("zscore", "authhost:due:{05}", "slot") != "99" {
		t.Errorf("with a replica: PutDue = %v", err)
	}
}
