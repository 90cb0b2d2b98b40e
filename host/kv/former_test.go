package kv_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/kv"
	"github.com/authhost/authhost/host/kv/kvtest"
)

// era is one cache through which the bound of a plugin's keys changes.
type era struct {
	t     *testing.T
	clock *kvtest.Clock
	d     *reading
}

// reading counts what is asked of a cache.
type reading struct {
	cache.Driver
	asked atomic.Int64
}

func (r *reading) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	r.asked.Add(1)
	return r.Driver.Get(ctx, slot, fields...)
}

func (r *reading) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	r.asked.Add(1)
	return r.Driver.Change(ctx, slot, c)
}

func newEra(t *testing.T) *era {
	clock := &kvtest.Clock{}
	return &era{t, clock, &reading{Driver: memory.New(clock.Now)}}
}

func (e *era) bound(keys int) *kv.Space {
	return open(e.t, kv.Options{Cache: e.d, Plugin: "p", Keys: keys, Now: e.clock.Now})
}

// make makes keys with that prefix until one is refused, or there are most.
func (e *era) make(s *kv.Space, prefix string, most int, ttl time.Duration) (made int) {
	e.t.Helper()
	for made < most {
		_, _, err := s.Add(e.t.Context(), fmt.Sprint(prefix, made), 1, ttl)
		if full(err) {
			return made
		} else if err != nil {
			e.t.Fatal(err)
		}
		made++
	}
	return made
}

func full(err error) bool {
	e, ok := errors.AsType[*host.Error](err)
	return ok && e.Kind == host.Refused
}

// keys returns how many live.
func (e *era) keys() int {
	e.t.Helper()
	return survey(e.t, e.d.Driver, e.clock, "").Keys
}

// Whatever the bound was when keys were made, as many live as it says now, and
// not one more or less; those past it live on and none is made beside them.
func TestTheBoundChanges(t *testing.T) {
	for _, c := range []struct{ before, live, after int }{
		{1000, 1000, 100}, {1000, 120, 100}, {1000, 99, 100}, {1000, 60, 100}, {1000, 3, 2}, {5000, 300, 1},
		{100, 100, 130}, {100, 70, 1000}, {64, 64, 65}, {1, 1, 5000}, {130, 130, 100}, {4096, 400, 4097},
	} {
		t.Run(fmt.Sprintf("%d of %d to %d", c.live, c.before, c.after), func(t *testing.T) {
			e := newEra(t)
			if made := e.make(e.bound(c.before), "old", c.live, time.Hour); made != c.live {
				t.Fatalf("%d were made", made)
			}
			want := max(0, c.after-c.live)
			if made := e.make(e.bound(c.after), "new", c.after+1, 2*time.Hour); made != want {
				t.Errorf("%d more were made, want %d", made, want)
			}
			if n := e.keys(); n != max(c.live, c.after) {
				t.Errorf("%d live", n)
			}
			e.clock.Pass(90 * time.Minute) // the older ones end
			if made := e.make(e.bound(c.after), "late", c.after+1, time.Hour); made != c.after-want {
				t.Errorf("%d were made in the places of the older ones, want %d", made, c.after-want)
			}
			if n := e.keys(); n != c.after {
				t.Errorf("%d live in the end", n)
			}
		})
	}
}

// One key that is deleted makes room for none while there are too many, and for
// one once there are not; by whichever replica.
func TestLoweredBoundIsMadeRoomFor(t *testing.T) {
	e := newEra(t)
	e.make(e.bound(1000), "old", 103, time.Hour)
	for n := range 103 {
		a, b := e.bound(100), e.bound(100)
		if done, err := a.Set(t.Context(), fmt.Sprint("old", n), nil, nil, true, 0); !done || err != nil {
			t.Fatal(done, err)
		}
		if made, want := e.make(b, fmt.Sprint("new", n, "-"), 2, time.Hour), map[bool]int{true: 1}[n >= 3]; made != want {
			t.Fatalf("%d were made after %d were deleted, want %d", made, n+1, want)
		}
	}
}

// Several replicas that make keys at once after the bound was lowered make no
// more than it allows.
func TestLoweredBoundUnderManyMakers(t *testing.T) {
	e := newEra(t)
	e.make(e.bound(2000), "old", 150, time.Hour)
	var all sync.WaitGroup
	for replica := range 3 {
		s := e.bound(170)
		for worker := range 2 {
			all.Go(func() {
				for i := range 20 {
					if _, err := s.Set(t.Context(), fmt.Sprint(replica, worker, i), nil, []byte("x"), false, time.Hour); err != nil && !full(err) {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	if n := e.keys(); n > 170 {
		t.Errorf("%d keys live", n)
	}
	e.make(e.bound(170), "more", 20, time.Hour)
	if n := e.keys(); n != 170 {
		t.Errorf("%d keys live in the end", n)
	}
}

// Keys of before that never end, for they are renewed, come to be counted where
// the others are, so that a look at those is enough in the end.
func TestRenewedKeysAreCountedAnew(t *testing.T) {
	e := newEra(t)
	e.make(e.bound(4000), "old", 90, time.Hour)
	s := e.bound(100)
	for n := range 90 {
		key := fmt.Sprint("old", n)
		if done, err := s.Set(t.Context(), key, []byte("1"), []byte("2"), false, 2*time.Hour); !done || err != nil {
			t.Fatal(done, err)
		}
		if sum, ok, err := s.Add(t.Context(), key, 1, time.Hour); sum != 3 || !ok || err != nil {
			t.Fatal(sum, ok, err)
		}
	}
	if got := survey(t, e.d.Driver, e.clock, ""); got.Entries != 90 || got.Keys != 90 {
		t.Errorf("%+v", got)
	}
	e.make(s, "first", 1, time.Hour) // finds that all is in order
	before := e.d.asked.Load()
	if made := e.make(s, "new", 20, time.Hour); made != 9 {
		t.Errorf("%d were made", made)
	}
	if n := e.d.asked.Load() - before; n > 10*20 {
		t.Errorf("the cache was asked %d times", n)
	}
	e.clock.Pass(90 * time.Minute)
	if n := e.keys(); n != 90 {
		t.Errorf("%d of the renewed live", n)
	}
}

// While keys of a former bound live, a key more costs a look at the indexes that
// hold some, and not at all that there may be; from time to time those are looked
// at too, for another replica may still have the former bound.
func TestKeyBesideFormerOnes(t *testing.T) {
	e := newEra(t)
	e.make(e.bound(200), "old", 100, time.Hour) // in 4 indexes
	s := e.bound(120)                           // of which it has 2
	e.make(s, "first", 1, 2*time.Hour)
	before := e.d.asked.Load()
	if made := e.make(s, "new", 5, 2*time.Hour); made != 5 {
		t.Fatalf("%d were made", made)
	}
	if n := e.d.asked.Load() - before; n > 5*15 {
		t.Errorf("the cache was asked %d times for 5 keys", n)
	}
	e.make(e.bound(1000), "elsewhere", 50, 2*time.Hour) // in 16
	e.clock.Pass(11 * time.Second)
	if made := e.make(s, "more", 1, time.Hour); made != 0 {
		t.Error("a key was made past the bound")
	}
}
