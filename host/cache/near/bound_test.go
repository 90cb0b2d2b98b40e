package near_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/near"
)

// world is a random history of one store: readers behind a cache, writers
// before and behind it, messages that are late or lost, a watch that breaks.
type world struct {
	r        *remote
	c        *near.Cache
	max      time.Duration
	loss     float64 // of the messages
	mu       sync.Mutex
	random   *rand.Rand
	versions []version // of each slot
}

// version is what is known of one slot: its value is a number that grows by
// one with each change.
type version struct {
	mu          sync.Mutex
	overwritten []time.Time // when the change that ended each value was acknowledged
	here        uint64      // the last one acknowledged by the cache itself
}

const (
	worldSlots   = 3
	worldReaders = 6
	worldWriters = 3
	worldSteps   = 30 // of each of them
)

func newWorld(t *testing.T, seed uint64, max time.Duration, loss float64) *world {
	w := &world{r: newRemote(), max: max, loss: loss, random: rand.New(rand.NewPCG(seed, 1)), versions: make([]version, worldSlots)}
	w.c = open(t, near.Options{Driver: w.r, MaxStaleness: max, Entries: 1 << w.below(4)})
	for i := range w.versions {
		w.r.change(fmt.Sprint(i), setTo(0))
	}
	// Every call takes up to three times the bound, before and after its moment.
	w.r.before = func(ctx context.Context) error { return taking(w.some(30))(ctx) }
	w.r.after = func(ctx context.Context) error { return taking(w.some(30))(ctx) }
	return w
}

func (w *world) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// some returns a time of 0 to n milliseconds, and of 0 rather often.
func (w *world) some(n int) time.Duration {
	return time.Duration(max(0, w.below(n+n/3)-n/3)) * time.Millisecond
}

func setTo(n uint64) cache.Change {
	v := binary.BigEndian.AppendUint64(nil, n)
	return cache.Change{Put: []cache.Field{{Name: "a", Value: v}, {Name: "b", Value: v}}, Expires: time.Now().Add(time.Hour)}
}

// read reads once and judges what it is given.
func (w *world) read(t *testing.T, from cache.Driver, bound time.Duration) {
	i := w.below(worldSlots)
	v := &w.versions[i]
	v.mu.Lock()
	asked, here, now := time.Now(), v.here, uint64(len(v.overwritten))
	v.mu.Unlock()
	got, err := from.Get(t.Context(), fmt.Sprint(i), "a", "b")
	if err != nil || got[0] == nil || !bytes.Equal(got[0], got[1]) {
		t.Errorf("Get = %x, %v", got, err)
		return
	}
	n := binary.BigEndian.Uint64(got[0])
	if n < here {
		t.Errorf("value %d was given to a caller who asked after %d was acknowledged here", n, here)
	}
	if bound == 0 && n < now {
		t.Errorf("value %d was given to a caller who asked after %d was acknowledged", n, now)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if n < uint64(len(v.overwritten)) {
		if age := asked.Sub(v.overwritten[n]); age > bound {
			t.Errorf("value %d was given to a caller who asked %v after it was overwritten, at most %v is allowed", n, age, bound)
		}
	}
}

// write changes a slot through one of three handles; of what another replica
// changes a message may come.
func (w *world) write(t *testing.T, turns []chan struct{}) {
	i := w.below(worldSlots)
	v, slot := &w.versions[i], fmt.Sprint(i)
	turns[i] <- struct{}{} // so that the order of changes is known; a mutex would stop the clock
	defer func() { <-turns[i] }()
	next := uint64(len(v.overwritten)) + 1
	way := w.below(3)
	to := []cache.Driver{w.c, w.c.ReadThrough(), w.r}[way]
	if applied, err := to.Change(t.Context(), slot, setTo(next)); err != nil || !applied {
		t.Errorf("Change = %v, %v", applied, err)
	}
	v.mu.Lock()
	v.overwritten = append(v.overwritten, time.Now())
	if way < 2 {
		v.here = next
	}
	v.mu.Unlock()
	if float64(w.below(1000)) >= 1000*w.loss {
		late := w.some(30)
		go func() {
			time.Sleep(late)
			w.r.tell(slot)
		}()
	}
}

func (w *world) live(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var actors, others sync.WaitGroup
	others.Go(func() { _ = w.c.Run(ctx) })
	others.Go(func() {
		for ctx.Err() == nil {
			_ = taking(w.some(300))(ctx)
			_ = taking(time.Millisecond)(ctx)
			w.r.interrupt()
		}
	})
	turns := make([]chan struct{}, worldSlots)
	for i := range turns {
		turns[i] = make(chan struct{}, 1)
	}
	for range worldReaders {
		actors.Go(func() {
			for range worldSteps {
				if w.below(8) == 0 {
					w.read(t, w.c.ReadThrough(), 0)
				} else {
					w.read(t, w.c, w.max)
				}
				time.Sleep(w.some(12))
			}
		})
	}
	for range worldWriters {
		actors.Go(func() {
			for range worldSteps / 3 {
				w.write(t, turns)
				time.Sleep(w.some(40))
			}
		})
	}
	actors.Wait()
	cancel()
	others.Wait()
	time.Sleep(time.Second) // the last messages
}

func bound(t *testing.T, seed uint64, max time.Duration, loss float64) {
	synctest.Test(t, func(t *testing.T) { newWorld(t, seed, max, loss).live(t) })
}

// No value is given to a caller who asked more than MaxStaleness after it was
// overwritten, in any history.
func TestStalenessIsBounded(t *testing.T) {
	for _, loss := range []float64{0, 0.5, 1} {
		for _, max := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 40 * time.Millisecond} {
			t.Run(fmt.Sprintf("%v staleness, %v of the messages lost", max, loss), func(t *testing.T) {
				for seed := range uint64(20) {
					bound(t, seed, max, loss)
				}
			})
		}
	}
}

func FuzzStalenessIsBounded(f *testing.F) {
	f.Add(uint64(1), uint8(10), uint8(0))
	f.Add(uint64(2), uint8(0), uint8(255))
	f.Add(uint64(3), uint8(30), uint8(128))
	f.Fuzz(func(t *testing.T, seed uint64, max, loss uint8) {
		bound(t, seed, time.Duration(max)*time.Millisecond, float64(loss)/255)
	})
}

// The same in real time, for the race detector: what a caller is given was the
// value at most MaxStaleness before it asked.
func TestHammer(t *testing.T) {
	const max = 5 * time.Millisecond
	r, m := newRemote(), new(counts)
	c := open(t, near.Options{Driver: r, MaxStaleness: max, Entries: 8, Metrics: m})
	ctx, cancel := context.WithCancel(t.Context())
	var others, readers sync.WaitGroup
	others.Go(func() { _ = c.Run(ctx) })
	var acknowledged [4]atomic.Pointer[[]time.Time]
	for i := range acknowledged {
		acknowledged[i].Store(&[]time.Time{})
		r.change(fmt.Sprint(i), setTo(0))
	}
	for i := range acknowledged {
		others.Go(func() {
			for n := uint64(1); ctx.Err() == nil; n++ {
				if n%3 == 0 {
					_, _ = c.Change(ctx, fmt.Sprint(i), setTo(n))
				} else {
					r.change(fmt.Sprint(i), setTo(n))
				}
				times := append((*acknowledged[i].Load())[:n-1:n-1], time.Now())
				acknowledged[i].Store(&times)
				if n%2 == 0 {
					r.tell(fmt.Sprint(i))
				}
				if n%16 == 0 {
					r.interrupt()
				}
				time.Sleep(time.Duration(rand.IntN(2_000_000)))
			}
		})
	}
	for range 8 {
		readers.Go(func() {
			for range 20_000 {
				i := rand.IntN(len(acknowledged))
				asked := time.Now()
				v, err := c.Get(t.Context(), fmt.Sprint(i), "a", "b")
				if err != nil || !bytes.Equal(v[0], v[1]) {
					t.Errorf("Get = %x, %v", v, err)
					return
				}
				n, times := binary.BigEndian.Uint64(v[0]), *acknowledged[i].Load()
				if n < uint64(len(times)) && asked.Sub(times[n]) > max {
					t.Errorf("value %d was given to a caller who asked %v after it was overwritten", n, asked.Sub(times[n]))
					return
				}
			}
		})
	}
	readers.Wait()
	cancel()
	others.Wait()
	if m.hits.Load() == 0 || m.misses.Load() == 0 || m.invalidated.Load() == 0 || m.emptied.Load() == 0 {
		t.Errorf("nothing was proved: %d hits, %d misses, %d invalidations, emptied %d times",
			m.hits.Load(), m.misses.Load(), m.invalidated.Load(), m.emptied.Load())
	}
}
