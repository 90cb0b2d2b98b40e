package cachetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

const (
	hammers = 8  // goroutines, half of them on each handle
	blows   = 25 // acknowledged changes of each
)

// hammerCounter counts in one field from many goroutines through both handles
// by compare-and-put alone: a lost update, or one made but denied, shows in
// the sum.
func hammerCounter(t *testing.T, s Store) {
	var wg sync.WaitGroup
	for g := range hammers {
		d := s.handle(g)
		wg.Go(func() {
			for done := 0; done < blows; {
				v, err := d.Get(t.Context(), "slot", "count")
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				applied, err := d.Change(t.Context(), "slot", cache.Change{
					If:      []cache.Field{{Name: "count", Value: v[0]}},
					Put:     []cache.Field{{Name: "count", Value: number(read(v[0]) + 1)}, {Name: fmt.Sprintf("own %d", g), Value: number(uint64(done + 1))}},
					Expires: s.Now().Add(time.Hour),
				})
				if err != nil {
					t.Errorf("Change: %v", err)
					return
				}
				if applied {
					done++
				}
			}
		})
	}
	wg.Wait()
	all, err := s.A.All(t.Context(), "slot")
	if err != nil {
		t.Fatal(err)
	}
	if n := read(all["count"]); n != hammers*blows {
		t.Errorf("count = %d after %d acknowledged additions", n, hammers*blows)
	}
	for g := range hammers {
		if n := read(all[fmt.Sprintf("own %d", g)]); n != blows {
			t.Errorf("goroutine %d left %d, want %d", g, n, blows)
		}
	}
}

// hammerAdd adds to the same number from many goroutines: every sum is given
// to one of them.
func hammerAdd(t *testing.T, s Store) {
	var mu sync.Mutex
	var sums []int64
	var wg sync.WaitGroup
	for g := range hammers {
		d := s.handle(g)
		wg.Go(func() {
			for range blows {
				n, err := d.Add(t.Context(), "slot", "n", 1, s.Now().Add(time.Hour))
				if err != nil {
					t.Errorf("Add: %v", err)
					return
				}
				mu.Lock()
				sums = append(sums, n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(sums)
	for i, n := range sums {
		if n != int64(i+1) {
			t.Fatalf("the sum after %d additions is %d", i+1, n)
		}
	}
	want(t, s.B, "slot", map[string][]byte{"n": fmt.Append(nil, hammers*blows)})
}

// hammerFirst lets many goroutines make the same slot at once, if it is
// absent: one of them does, and its value is what stays.
func hammerFirst(t *testing.T, s Store) {
	for round := range 10 {
		slot := fmt.Sprintf("slot %d", round)
		var wg sync.WaitGroup
		var winners atomic.Int32
		var value atomic.Value
		for g := range hammers {
			d := s.handle(g)
			wg.Go(func() {
				mine := fmt.Append(nil, g)
				applied, err := d.Change(t.Context(), slot, cache.Change{
					If: []cache.Field{{Name: "a"}}, Put: []cache.Field{{Name: "a", Value: mine}}, Expires: s.Now().Add(time.Hour)})
				if err != nil {
					t.Errorf("Change: %v", err)
				}
				if applied {
					winners.Add(1)
					value.Store(mine)
				}
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Fatalf("%d goroutines made the same slot", winners.Load())
		}
		want(t, s.B, slot, map[string][]byte{"a": value.Load().([]byte)})
	}
}

// hammerSnapshot reads while others write two fields that always change
// together: no read may see one without the other, none may go back in time.
func hammerSnapshot(t *testing.T, s Store) {
	put(t, s, s.A, "slot", map[string][]byte{"x": number(0), "y": number(0)})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer func() { close(stop); readers.Wait() }() // also when a change fails
	for g := range hammers / 2 {
		d := s.handle(g)
		readers.Go(func() {
			for last := uint64(0); ; {
				select {
				case <-stop:
					return
				default:
				}
				v, err := d.Get(t.Context(), "slot", "x", "y")
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				if !bytes.Equal(v[0], v[1]) || v[0] == nil {
					t.Errorf("Get saw half a change: %x and %x", v[0], v[1])
					return
				}
				if n := read(v[0]); n < last {
					t.Errorf("Get went back from %d to %d", last, n)
					return
				} else {
					last = n
				}
				all, err := d.All(t.Context(), "slot")
				if err != nil || !bytes.Equal(all["x"], all["y"]) || read(all["x"]) < last {
					t.Errorf("All after %d saw %x, error %v", last, all, err)
					return
				}
			}
		})
	}
	for i := range uint64(hammers * blows / 2) {
		n := number(i + 1)
		change(t, s.handle(int(i)), "slot", cache.Change{Put: []cache.Field{{Name: "x", Value: n}, {Name: "y", Value: n}}, Expires: s.Now().Add(time.Hour)}, true)
		// What was acknowledged is seen at once through the other handle.
		if got := get(t, s.handle(int(i)+1), "slot", "y")[0]; !bytes.Equal(got, n) {
			t.Errorf("after change %d was acknowledged, %x is read", i+1, got)
		}
	}
}

func (s Store) handle(i int) cache.Driver {
	if i%2 == 0 {
		return s.A
	}
	return s.B
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func read(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
