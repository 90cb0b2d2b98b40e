package redis_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

// watching runs a watch until it ends.
func watching(t *testing.T, d cache.Driver) (told chan string, ended chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	told, ended = make(chan string, 1000), make(chan error, 1)
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ended <- d.Watch(ctx, func() { close(ready) }, func(slot string) { told <- slot })
	}()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("Watch = %v", err)
	case <-time.After(time.Minute):
		t.Fatal("Watch is not ready")
	}
	return told, ended
}

func mustEnd(t *testing.T, ended chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an interrupted Watch returns no error")
		}
	case <-time.After(time.Minute):
		t.Error("an interrupted Watch goes on")
	}
}

// A connection on which nothing comes any more looks like one on which nothing
// happens: it is asked.
func TestWatchOfAHaltedServer(t *testing.T) {
	t.Parallel()
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	told, ended := watching(t, d)
	time.Sleep(2500 * time.Millisecond) // quiet for more than two beats
	put(t, d, "slot", "1")
	select {
	case <-told:
	case err := <-ended:
		t.Fatalf("a quiet Watch = %v", err)
	case <-time.After(time.Minute):
		t.Fatal("a quiet Watch tells nothing")
	}
	s.Signal(syscall.SIGSTOP)
	defer s.Signal(syscall.SIGCONT)
	mustEnd(t, ended)
}

// Each master of a cluster is watched by itself: a change is told although no
// master hears of the others any more, and one that is lost interrupts.
func TestWatchOfACutCluster(t *testing.T) {
	t.Parallel()
	all := redistest.Cluster(t, 3)
	d := connect(t, redis.Options{Addrs: all.Addrs(), Cluster: true, CallTimeout: patient})
	told, ended := watching(t, d)
	for _, s := range all {
		// Each has a subscriber of its own.
		if n := s.Do("pubsub", "numsub", "authhost:changed"); !strings.HasSuffix(n, " 1]") {
			t.Errorf("at %s listen: %s", s.Addr, n)
		}
	}
	for i := range 20 {
		slot := fmt.Sprint(i)
		put(t, d, slot, "1")
		for got := ""; got != slot; {
			select {
			case got = <-told:
			case <-time.After(time.Minute):
				t.Fatalf("slot %s is not told", slot)
			}
		}
	}
	all[1].Kill()
	mustEnd(t, ended)
}

// A failover is errors for a while, and an interruption; then all that was
// acknowledged is there.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master := redistest.Serve(t, "--repl-diskless-sync-delay", "0")
	for range 2 {
		redistest.ReplicaOf(t, master)
	}
	d := connect(t, redis.Options{Addrs: redistest.Sentinels(t, master, 3).Addrs(), MasterName: "main", WaitReplicas: 1, CallTimeout: patient})
	soon := time.Now().Add(time.Hour)
	put(t, d, "slot", "1")
	if _, err := d.Add(t.Context(), "slot", "n", 41, soon); err != nil {
		t.Fatal(err)
	}
	if err := d.PutDue(t.Context(), 9, "member", soon); err != nil {
		t.Fatal(err)
	}
	_, ended := watching(t, d)
	master.Kill()
	mustEnd(t, ended)
	settled := 0 // sentinels may contradict each other, the other replica be away
	redistest.Until(t, "all have settled", func(ctx context.Context) bool {
		_, err := d.Change(ctx, "slot", cache.Change{Put: []cache.Field{{Name: "b"}}, Expires: soon})
		if settled++; err != nil {
			settled = 0
		}
		return settled == 20
	})
	mustHold(t, d, "slot", "1")
	if n, err := d.Add(t.Context(), "slot", "n", 1, soon); err != nil || n != 42 {
		t.Errorf("Add = %d, %v", n, err)
	}
	if got, err := d.LeaseDue(t.Context(), 9, soon, soon.Add(time.Hour), 1); err != nil || len(got) != 1 {
		t.Errorf("LeaseDue = %q, %v", got, err)
	}
	told, _ := watching(t, d)
	put(t, d, "slot", "2")
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Error("a watch of the new master tells nothing")
	}
}
