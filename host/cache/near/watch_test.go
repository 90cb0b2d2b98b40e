package near_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/near"
)

// watched returns a cache whose watch is ready, inside a bubble.
func watched(t *testing.T, o near.Options) *near.Cache {
	t.Helper()
	c := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
	synctest.Wait()
	return c
}

func TestChangesElsewhereAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRemote(), new(counts)
		c := watched(t, near.Options{Driver: r, MaxStaleness: time.Hour, Metrics: m})
		for _, slot := range []string{"u", "neighbour"} {
			r.change(slot, put("a", "in"))
			want(t, r, c, slot, "in", 1)
		}
		r.change("u", put("a", "out"))
		want(t, r, c, "u", "in", 0)
		r.tell("u")
		want(t, r, c, "u", "out", 1)
		want(t, r, c, "u", "out", 0)
		want(t, r, c, "neighbour", "in", 0)
		if n := m.invalidated.Load(); n != 1 {
			t.Errorf("%d invalidations counted, want 1", n)
		}
	})
}

// A read that was under way when a change was told of, or made here, is not
// remembered, and nobody who comes later joins it.
func TestReadUnderWayWhenItsSlotChanges(t *testing.T) {
	ways := map[string]func(t *testing.T, r *remote, c *near.Cache){
		"told": func(t *testing.T, r *remote, c *near.Cache) {
			r.change("u", put("a", "out"))
			r.tell("u")
		},
		"changed here": func(t *testing.T, r *remote, c *near.Cache) {
			if applied, err := c.Change(t.Context(), "u", put("a", "out")); err != nil || !applied {
				t.Error(applied, err)
			}
		},
		"changed here through": func(t *testing.T, r *remote, c *near.Cache) {
			if applied, err := c.ReadThrough().Change(t.Context(), "u", put("a", "out")); err != nil || !applied {
				t.Error(applied, err)
			}
		},
		"changed here, not acknowledged": func(t *testing.T, r *remote, c *near.Cache) {
			r.answer(func(context.Context) error { return errors.New("lost") })
			if _, err := c.Change(t.Context(), "u", put("a", "out")); err == nil {
				t.Error("no error")
			}
		},
		"changed elsewhere, found here": func(t *testing.T, r *remote, c *near.Cache) {
			r.change("u", put("a", "out"))
			if applied, err := c.Change(t.Context(), "u", cache.Change{If: []cache.Field{{Name: "a", Value: []byte("in")}}}); err != nil || applied {
				t.Error(applied, err)
			}
		},
		"interrupted": func(t *testing.T, r *remote, c *near.Cache) {
			r.change("u", put("a", "out"))
			r.interrupt()
			synctest.Wait()
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRemote()
				c := watched(t, near.Options{Driver: r, MaxStaleness: time.Hour})
				r.change("u", put("a", "in"))
				r.answer(taking(time.Second))
				go get(t, c, "u")
				synctest.Wait()
				r.answer(nil)
				way(t, r, c)
				r.answer(nil)
				want(t, r, c, "u", "out", 1)
				time.Sleep(time.Minute) // the first is answered
				r.change("u", put("a", "unseen"))
				if name == "interrupted" {
					return // the watch is back, and everything was forgotten once more
				}
				want(t, r, c, "u", "out", 0)
			})
		})
	}
}

func TestAddIsForgotten(t *testing.T) {
	r := newRemote()
	c := open(t, near.Options{Driver: r, MaxStaleness: time.Hour})
	want(t, r, c, "u", "-", 1)
	if n, err := c.Add(t.Context(), "u", "a", 7, time.Now()); n != 7 || err != nil {
		t.Fatal(n, err)
	}
	want(t, r, c, "u", "7", 1)
}

// An interrupted watch forgets everything, and so does one that is ready
// again: what was read in between may have been changed untold. Meanwhile
// answers are still remembered, for MaxStaleness.
func TestInterruptedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRemote(), new(counts)
		c := watched(t, near.Options{Driver: r, MaxStaleness: time.Hour, Metrics: m})
		for i := range 5 {
			r.change(fmt.Sprint("u", i), put("a", "in"))
			want(t, r, c, fmt.Sprint("u", i), "in", 1)
			want(t, r, c, fmt.Sprint("u", i), "in", 0)
		}
		r.interrupt()
		synctest.Wait()
		for i := range 5 {
			want(t, r, c, fmt.Sprint("u", i), "in", 1)
			want(t, r, c, fmt.Sprint("u", i), "in", 0)
		}
		r.change("u1", put("a", "out")) // told to nobody
		time.Sleep(time.Second)
		if n := r.watches.Load(); n != 2 {
			t.Fatalf("watched %d times, want 2", n)
		}
		want(t, r, c, "u1", "out", 1)
		r.change("u1", put("a", "in"))
		r.tell("u1")
		want(t, r, c, "u1", "in", 1)
		if n := m.emptied.Load(); n != 3 {
			t.Errorf("emptied %d times, want 3: ready, interrupted, ready", n)
		}
	})
}

// unwatchable is a driver whose watch does not come about.
type unwatchable struct {
	*remote
	mu sync.Mutex
	at []time.Time
}

func (u *unwatchable) Watch(context.Context, func(), func(string)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.at = append(u.at, time.Now())
	return errors.New("nobody there")
}

// A watch that fails is tried again, less and less often, and the bound holds
// all the same.
func TestWatchThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unwatchable{remote: newRemote()}
		c := watched(t, near.Options{Driver: u, MaxStaleness: time.Second})
		u.change("u", put("a", "in"))
		time.Sleep(30*time.Second + time.Nanosecond)
		synctest.Wait()
		u.mu.Lock()
		at := slices.Clone(u.at)
		u.mu.Unlock()
		if n := len(at); n < 8 || n > 25 {
			t.Errorf("tried %d times in half a minute: %v", n, at)
		}
		for i := range len(at) - 1 {
			if d := at[i+1].Sub(at[i]); d < 25*time.Millisecond || d > 7500*time.Millisecond {
				t.Errorf("waited %v", d)
			}
		}
		want(t, u.remote, c, "u", "in", 1)
		u.change("u", put("a", "out"))
		time.Sleep(time.Second + 1)
		want(t, u.remote, c, "u", "out", 1)
	})
}
