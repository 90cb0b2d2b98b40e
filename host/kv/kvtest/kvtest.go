// Package kvtest is what every store of plugins' keys must do, as tests. It
// asserts nothing of how a store does it. No binary other than a test imports
// it.
package kvtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
)

// Keys is the keys of one plugin.
type Keys interface {
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	Set(ctx context.Context, key string, old, next []byte, force bool, ttl time.Duration) (done bool, err error)
	Add(ctx context.Context, key string, delta int64, ttl time.Duration) (sum int64, ok bool, err error)
}

// Clock is a clock that stands still until it is moved by hand. It begins an hour
// ahead, so that a cache which goes by the system's clock drops nothing that lives
// by this one, however long a test takes.
type Clock struct {
	once  sync.Once
	begin time.Time
	ahead atomic.Int64
}

// Now returns the time by the clock.
func (c *Clock) Now() time.Time {
	c.once.Do(func() { c.begin = time.Now().Add(time.Hour) })
	return c.begin.Add(time.Duration(c.ahead.Load()))
}

// Pass moves the clock ahead.
func (c *Clock) Pass(d time.Duration) { c.ahead.Add(int64(d)) }

const ttl = time.Hour

type check struct {
	*testing.T
	k Keys
}

func (c check) get(key, want string) {
	c.Helper()
	v, ok, err := c.k.Get(c.Context(), key)
	if got := string(v); err != nil || ok != (want != absent) || ok && got != want {
		c.Errorf("Get %q = %q, %v, %v, want %q", key, got, ok, err, want)
	}
}

func (c check) set(key, old, next string, want bool) {
	c.Helper()
	c.setFor(key, old, next, ttl, want)
}

func (c check) setFor(key, old, next string, ttl time.Duration, want bool) {
	c.Helper()
	if done, err := c.k.Set(c.Context(), key, bytes(old), bytes(next), old == any, ttl); err != nil || done != want {
		c.Errorf("Set %q from %q to %q = %v, %v, want %v", key, old, next, done, err, want)
	}
}

func (c check) full(key string) {
	c.Helper()
	_, err := c.k.Set(c.Context(), key, nil, []byte("x"), true, ttl)
	_, _, err2 := c.k.Add(c.Context(), key, 1, ttl)
	for _, err := range []error{err, err2} {
		if e, ok := errors.AsType[*host.Error](err); !ok || e.Kind != host.Refused {
			c.Errorf("a key too many: %v, want it refused", err)
		}
	}
}

func (c check) add(key string, delta, want int64) {
	c.Helper()
	if sum, ok, err := c.k.Add(c.Context(), key, delta, ttl); err != nil || !ok || sum != want {
		c.Errorf("Add %d to %q = %d, %v, %v, want %d", delta, key, sum, ok, err, want)
	}
}

const (
	absent = "\x00absent"
	any    = "\x00any"
)

func bytes(s string) []byte {
	if s == absent || s == any {
		return nil
	}
	return []byte(s)
}

// Words tests what the calls mean while no time passes. open returns a store
// of a plugin that has no keys yet.
func Words(t *testing.T, open func(t *testing.T, keys int) Keys) {
	t.Run("set", func(t *testing.T) {
		c := check{t, open(t, 10)}
		odd := "\x00\xff/{}\n" + strings.Repeat("k", 250)
		for _, key := range []string{"a", odd} {
			c.get(key, absent)
			c.set(key, "x", "y", false)
			c.set(key, absent, absent, true)
			c.set(key, any, absent, true)
			c.set(key, absent, "one", true)
			c.set(key, absent, "two", false)
			c.set(key, "two", "three", false)
			c.set(key, "one", "", true)
			c.get(key, "")
			c.set(key, absent, "x", false)
			c.set(key, "", "\x00\xff", true)
			c.get(key, "\x00\xff")
			c.set(key, any, strings.Repeat("v", 4096), true)
			c.get(key, strings.Repeat("v", 4096))
			c.set(key, "x", absent, false)
			c.set(key, strings.Repeat("v", 4096), absent, true)
			c.get(key, absent)
			c.set(key, any, "again", true)
			c.set(key, any, absent, true)
			c.get(key, absent)
		}
	})
	t.Run("add", func(t *testing.T) {
		c := check{t, open(t, 10)}
		c.add("n", 5, 5)
		c.add("n", -7, -2)
		c.add("n", 0, -2)
		c.get("n", "-2")
		c.set("n", "-2", "40", true)
		c.add("n", 2, 42)
		c.set("n", any, absent, true)
		c.add("n", 1, 1)
		c.add("zero", 0, 0)
		c.add("zero", 3, 3)
		c.get("zero", "3")
		for _, no := range []string{"", "x", "01", "1.5", " 1", fmt.Sprint(uint64(math.MaxInt64))} {
			c.set("text", any, no, true)
			sum, ok, err := c.k.Add(t.Context(), "text", 1, ttl)
			if want := no == fmt.Sprint(uint64(math.MaxInt64)); err != nil || ok {
				t.Errorf("Add to %q (%v) = %d, %v, %v", no, want, sum, ok, err)
			}
			c.get("text", no)
		}
	})
	t.Run("quota", func(t *testing.T) {
		c := check{t, open(t, 3)}
		c.set("a", absent, "1", true)
		c.add("b", 1, 1)
		c.set("c", any, "1", true)
		c.full("d")
		c.get("d", absent)
		c.set("d", "x", "y", false) // another value, whatever the quota
		c.add("a", 1, 2)            // those that are there are not more
		c.set("b", "1", "x", true)
		c.set("c", "1", absent, true)
		c.add("d", 1, 1)
		c.full("c")
	})
	t.Run("apart", func(t *testing.T) {
		a, b := check{t, open(t, 1)}, check{t, open(t, 1)}
		a.set("k", absent, "a", true)
		b.get("k", absent)
		b.set("k", absent, "b", true)
		a.get("k", "a")
	})
}

// Shared is one plugin's keys as several replicas see them, on a clock.
type Shared struct {
	Replicas []Keys
	Clock    *Clock
}

// Run tests a store that replicas share. open returns that of a plugin that has
// no keys yet.
func Run(t *testing.T, open func(t *testing.T, keys int) Shared) {
	Words(t, func(t *testing.T, keys int) Keys { return turns{open(t, keys).Replicas, new(atomic.Int64)} })
	t.Run("deadlines", func(t *testing.T) { deadlines(t, open) })
	t.Run("no update is lost", func(t *testing.T) { noneLost(t, open) })
	t.Run("the bound is exact", func(t *testing.T) { bound(t, open) })
}

// turns asks one replica after the other.
type turns struct {
	all []Keys
	n   *atomic.Int64
}

func (s turns) next() Keys { return s.all[int(s.n.Add(1))%len(s.all)] }

func (s turns) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.next().Get(ctx, key)
}

func (s turns) Set(ctx context.Context, key string, old, next []byte, force bool, ttl time.Duration) (bool, error) {
	return s.next().Set(ctx, key, old, next, force, ttl)
}

func (s turns) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, bool, error) {
	return s.next().Add(ctx, key, delta, ttl)
}

func deadlines(t *testing.T, open func(t *testing.T, keys int) Shared) {
	s := open(t, 3)
	c := check{t, turns{s.Replicas, new(atomic.Int64)}}
	c.setFor("short", absent, "1", time.Second, true)
	c.setFor("renewed", absent, "1", time.Second, true)
	c.setFor("cut", absent, "1", 500*time.Hour, true)
	c.setFor("renewed", "1", "2", 3*time.Second, true)
	c.setFor("cut", "1", "2", 1500*time.Millisecond, true)
	if sum, ok, err := c.k.Add(t.Context(), "short", 1, time.Hour); sum != 2 || !ok || err != nil { // the deadline stays
		t.Errorf("Add = %d, %v, %v", sum, ok, err)
	}
	c.full("more")
	s.Clock.Pass(1200 * time.Millisecond)
	c.get("short", absent)
	c.get("renewed", "2")
	c.get("cut", "2")
	c.add("short", 7, 7) // nothing of the old sum returns, and its place is free
	c.full("more")
	s.Clock.Pass(time.Second)
	c.get("cut", absent)
	c.get("renewed", "2")
	c.get("short", "7")
	c.set("more", absent, "1", true) // in the place of what was cut short
	c.full("fifth")
	s.Clock.Pass(time.Second)
	c.get("renewed", absent)
	c.set("renewed", absent, "3", true)
	c.full("fifth")
	s.Clock.Pass(2 * time.Hour)
	for i := range 3 {
		c.add(fmt.Sprint("fresh", i), 1, 1)
	}
	c.full("fifth")
}

// together calls do n times from each of the replicas at once.
func together(t *testing.T, s Shared, workers, n int, do func(k Keys, worker, i int) error) {
	t.Helper()
	var all sync.WaitGroup
	for r, k := range s.Replicas {
		for w := range workers {
			all.Go(func() {
				for i := range n {
					if err := do(k, r*workers+w, i); err != nil {
						t.Errorf("replica %d: %v", r, err)
						return
					}
				}
			})
		}
	}
	all.Wait()
}

func noneLost(t *testing.T, open func(t *testing.T, keys int) Shared) {
	const workers, each = 2, 15
	s := open(t, 4)
	var lives atomic.Int64
	together(t, s, workers, each, func(k Keys, worker, i int) error {
		if _, ok, err := k.Add(t.Context(), "added", 1, ttl); err != nil || !ok {
			return fmt.Errorf("add: %v, %w", ok, err)
		}
		for done := false; !done; {
			old, there, err := k.Get(t.Context(), "swapped")
			if err != nil {
				return err
			}
			if !there {
				old = nil
			}
			if done, err = k.Set(t.Context(), "swapped", old, []byte(string(old)+"x"), false, ttl); err != nil {
				return err
			}
		}
		// What is added before a key is deleted does not count after.
		sum, ok, err := k.Add(t.Context(), "ends", 1, ttl)
		if err != nil || !ok {
			return fmt.Errorf("add: %v, %w", ok, err)
		}
		if sum == 1 {
			lives.Add(1)
		}
		if i%5 == 4 {
			_, err = k.Set(t.Context(), "ends", nil, nil, true, ttl)
		}
		return err
	})
	c := check{t, s.Replicas[0]}
	total := workers * each * len(s.Replicas)
	c.get("added", fmt.Sprint(total))
	c.get("swapped", strings.Repeat("x", total))
	if n := int(lives.Load()); n < 1 || n > workers*len(s.Replicas)*each/5+1 {
		t.Errorf("a key that was deleted %d times at most began %d times", workers*len(s.Replicas)*each/5, n)
	}
	c.set("ends", any, absent, true)
	c.add("1", 1, 1)
	c.add("2", 1, 1)
	c.full("3")
}

func bound(t *testing.T, open func(t *testing.T, keys int) Shared) {
	const keys, workers, each = 70, 2, 20
	s := open(t, keys)
	var made, refused atomic.Int64
	together(t, s, workers, each, func(k Keys, worker, i int) error {
		_, err := k.Set(t.Context(), fmt.Sprint(worker, "-", i), nil, []byte("x"), false, time.Hour)
		if e, ok := errors.AsType[*host.Error](err); ok && e.Kind == host.Refused {
			refused.Add(1)
			return nil
		}
		made.Add(1)
		return err
	})
	if made.Load() != keys || refused.Load() != int64(len(s.Replicas)*workers*each-keys) {
		t.Errorf("%d keys were made and %d refused, want %d made", made.Load(), refused.Load(), keys)
	}
	// Whoever makes room gets it, and nobody else more.
	s.Clock.Pass(time.Second)
	together(t, s, workers, each, func(k Keys, worker, i int) error {
		_, err := k.Set(t.Context(), fmt.Sprint(worker, "-", i), nil, nil, true, 0)
		return err
	})
	c := check{t, s.Replicas[0]}
	for i := range keys {
		c.add(fmt.Sprint("again", i), 1, 1)
	}
	c.full("one more")
}
