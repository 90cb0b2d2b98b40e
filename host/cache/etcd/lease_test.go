package etcd_test

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/etcd"
)

func putUntil(t testing.TB, d cache.Driver, slot string, expires time.Time) {
	t.Helper()
	c := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte("1")}}, Expires: expires}
	if applied, err := d.Change(t.Context(), slot, c); err != nil || !applied {
		t.Fatalf("Change = %v, %v", applied, err)
	}
}

// leaseOf returns the lease that a slot is on and how long it lasts.
func leaseOf(t testing.TB, c *clientv3.Client, slot string) (clientv3.LeaseID, time.Duration) {
	t.Helper()
	got, err := c.Get(t.Context(), "authhost/slot/"+slot)
	if err != nil || len(got.Kvs) != 1 {
		t.Fatalf("slot %s: %v, %v", slot, got, err)
	}
	id := clientv3.LeaseID(got.Kvs[0].Lease)
	left, err := c.TimeToLive(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return id, time.Duration(left.TTL) * time.Second
}

func leaseCount(t testing.TB, c *clientv3.Client) int {
	t.Helper()
	all, err := c.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(all.Leases)
}

// Every slot is on a lease that lasts as long as the slot does and not much
// longer, and few leases carry all.
func TestLeases(t *testing.T) {
	s := serve(t)
	d, c := connect(t, etcd.Options{Endpoints: []string{s.addr}}), s.client(clientv3.Config{})
	defer c.Close()
	lives := []time.Duration{time.Second, time.Minute, 20 * time.Minute, time.Hour, 8 * time.Hour, 24 * time.Hour, 25 * time.Hour, 90 * 24 * time.Hour, 100 * 365 * 24 * time.Hour}
	check := func(slot string, life time.Duration) clientv3.LeaseID {
		t.Helper()
		id, left := leaseOf(t, c, slot)
		if left < life+9*time.Minute || left > life+life/4+30*time.Minute {
			t.Errorf("a slot for %v is on a lease for %v", life, left)
		}
		return id
	}
	for i, life := range lives {
		slot := fmt.Sprint("slot ", i)
		putUntil(t, d, slot, time.Now().Add(life))
		check(slot, life)
	}
	before := leaseCount(t, c)
	for i := range 300 { // logins of a while
		putUntil(t, d, fmt.Sprint("user ", i), time.Now().Add(24*time.Hour+time.Duration(i)*time.Second))
		check(fmt.Sprint("user ", i), 24*time.Hour)
	}
	if n := leaseCount(t, c) - before; n > 1 {
		t.Errorf("300 slots for about a day took %d more leases", n)
	}

	// A change that moves no deadline stays on the lease; one that does moves.
	was := check("user 7", 24*time.Hour)
	for range 3 {
		putUntil(t, d, "user 7", time.Now().Add(time.Hour))
	}
	if now := check("user 7", 24*time.Hour); now != was {
		t.Error("a slot whose deadline stayed is on another lease")
	}
	putUntil(t, d, "user 7", time.Now().Add(80*24*time.Hour))
	check("user 7", 80*24*time.Hour)
	if _, err := c.Revoke(t.Context(), was); err != nil { // as if it had ended
		t.Fatal(err)
	}
	for slot, want := range map[string]int{"user 7": 1, "user 8": 0} {
		if got, err := c.Get(t.Context(), "authhost/slot/"+slot); err != nil || len(got.Kvs) != want {
			t.Errorf("once the first lease has ended, %s has %d keys, %v, want %d", slot, len(got.Kvs), err, want)
		}
	}

	// One lease does not carry too many: they are all removed at once.
	for i := range 1100 {
		putUntil(t, d, fmt.Sprint("more ", i), time.Now().Add(24*time.Hour))
	}
	if a, b := check("more 0", 24*time.Hour), check("more 1099", 24*time.Hour); a == b {
		t.Error("over 1000 slots are on one lease")
	}
}

// A lease that the server does not know any more, or that it ended while slots
// were on it, is nothing to a slot that is written.
func TestLeaseGone(t *testing.T) {
	s := serve(t)
	d, c := connect(t, etcd.Options{Endpoints: []string{s.addr}}), s.client(clientv3.Config{})
	defer c.Close()
	for i := range 3 {
		putUntil(t, d, "slot", time.Now().Add(time.Hour))
		id, _ := leaseOf(t, c, "slot")
		if _, err := c.Revoke(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if all, err := d.All(t.Context(), "slot"); err != nil || len(all) != 0 {
			t.Errorf("a slot whose lease ended holds %q, %v", all, err)
		}
		if n, err := d.Add(t.Context(), fmt.Sprint("number ", i), "n", 1, time.Now().Add(time.Hour)); err != nil || n != 1 {
			t.Errorf("Add = %d, %v", n, err)
		}
	}
}
