package redis_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

// begin lists the first page of a store of many slots.
func begin(t *testing.T, d cache.Driver) (next string) {
	t.Helper()
	slots, next, err := d.List(t.Context(), "", 5)
	if err != nil || next == "" || len(slots) > 5 {
		t.Fatalf("List = %q, %q, %v", slots, next, err)
	}
	return next
}

// goOn follows a list to its end or first error.
func goOn(t *testing.T, d cache.Driver, next string) (err error) {
	t.Helper()
	for range 1000 {
		if _, next, err = d.List(t.Context(), next, 5); err != nil || next == "" {
			return err
		}
	}
	t.Fatal("the list does not end")
	return nil
}

// A server that was started anew scans in another order: a list that began
// before it says so instead of leaving slots out.
func TestListAcrossARestart(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t, "--appendonly", "yes", "--appendfsync", "always")
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	for i := range 100 {
		put(t, d, fmt.Sprint(i), "1")
	}
	next := begin(t, d)
	if err := goOn(t, d, next); err != nil {
		t.Errorf("List = %v", err)
	}
	s.Kill()
	s.Start()
	s.Wait()
	if err := goOn(t, d, next); err == nil {
		t.Error("a list went on after the server was started anew")
	}
	if err := goOn(t, d, ""); err != nil {
		t.Errorf("a list begun anew: %v", err)
	}
}

// Slots of a cluster that move during a list may be missed: the list says so,
// both while one moves and after it has.
func TestListWhileAClusterIsRearranged(t *testing.T) {
	t.Parallel()
	all := redistest.Cluster(t, 3)
	d := connect(t, redis.Options{Addrs: all.Addrs(), Cluster: true, CallTimeout: patient})
	for i := range 100 {
		put(t, d, fmt.Sprint(i), "1")
	}
	next := begin(t, d)
	from, to := all[2].Do("cluster", "myid"), all[0].Do("cluster", "myid")
	const slot = 16383
	all[0].Do("cluster", "setslot", slot, "importing", from)
	all[2].Do("cluster", "setslot", slot, "migrating", to)
	if err := goOn(t, d, next); err == nil {
		t.Error("a list went on while a slot was moved")
	}
	if err := goOn(t, d, ""); err == nil {
		t.Error("a list was begun and ended while a slot was moved")
	}
	for _, s := range all {
		s.Do("cluster", "setslot", slot, "node", to)
	}
	if err := goOn(t, d, next); err == nil {
		t.Error("a list went on after a slot was moved")
	}
	if err := goOn(t, d, ""); err != nil {
		t.Errorf("a list begun anew: %v", err)
	}
}

// Where a list goes on is said by the driver alone.
func TestListFromElsewhere(t *testing.T) {
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	for _, next := range []string{"0", "!", "YQ", base64.RawURLEncoding.EncodeToString([]byte("\x85\x6b127.0.0.1:1\x60\x60\x00\x80"))} {
		if slots, _, err := d.List(t.Context(), next, 5); err == nil {
			t.Errorf("List from %q = %q", next, slots)
		}
	}
}

// A prefix is no pattern: a store does not list another's slots.
func TestListOfAnOddPrefix(t *testing.T) {
	s := redistest.Serve(t)
	for _, prefix := range []string{"a*:", "a?:", "[ab]:", `a\:`, "a}:", "a{:"} {
		odd := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient, Prefix: prefix})
		put(t, odd, "own", "1")
		put(t, connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient, Prefix: "aa:"}), "other", "1")
		put(t, connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient, Prefix: "b:"}), "other", "1")
		if slots, next, err := odd.List(t.Context(), "", 100); err != nil || next != "" || fmt.Sprint(slots) != "[own]" {
			t.Errorf("prefix %q: List = %q, %q, %v", prefix, slots, next, err)
		}
	}
}
