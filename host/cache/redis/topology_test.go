package redis_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

// What somebody wrote and could not have confirmed is confirmed to nobody else
// before the replica has it, even where nothing is left to write.
func TestWaitForWhatOthersWrote(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t, "--repl-diskless-sync-delay", "0")
	replica := redistest.ReplicaOf(t, s)
	o := redis.Options{Addrs: []string{s.Addr}, WaitReplicas: 1}
	d := connect(t, redis.Options{Addrs: o.Addrs, WaitReplicas: 1, CallTimeout: patient})
	soon := time.Now().Add(time.Hour)
	put(t, d, "slot", "1")
	put(t, d, "deleted", "1")
	if err := d.PutDue(t.Context(), 0, "leased", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.LeaseDue(t.Context(), 0, soon, soon.Add(time.Hour), 9); err != nil || len(got) != 1 {
		t.Fatalf("LeaseDue = %q, %v", got, err)
	}
	change := func(slot string, c cache.Change) func(d *redis.Driver, ctx context.Context) error {
		return func(d *redis.Driver, ctx context.Context) error {
			_, err := d.Change(ctx, slot, c)
			return err
		}
	}
	putDue := func(member string, at time.Time) func(d *redis.Driver, ctx context.Context) error {
		return func(d *redis.Driver, ctx context.Context) error { return d.PutDue(ctx, 0, member, at) }
	}
	writes := map[string]func(d *redis.Driver, ctx context.Context) error{
		"a deadline":               change("slot", cache.Change{Expires: soon.Add(time.Hour)}),
		"a deletion":               change("deleted", cache.Change{Delete: []string{"a"}}),
		"a member":                 putDue("member", soon),
		"a member that is leased":  putDue("leased", soon.Add(2*time.Hour)),
		"a confirmation of a slot": change("slot", cache.Change{If: []cache.Field{{Name: "a", Value: []byte("1")}}}),
	}
	replica.Signal(syscall.SIGSTOP)
	var wg sync.WaitGroup
	for name, write := range writes {
		wg.Go(func() {
			for _, whose := range []string{"its own", "another"} { // handle, with a connection that has written nothing
				if write(connect(t, o), t.Context()) == nil {
					t.Errorf("%s is acknowledged to %s handle without the replica", name, whose)
				}
			}
		})
	}
	wg.Wait()
	replica.Signal(syscall.SIGCONT)
	for name, write := range writes {
		redistest.Until(t, name+" is acknowledged", func(ctx context.Context) bool { return write(d, ctx) == nil })
	}
}
