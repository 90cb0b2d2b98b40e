package cachetest

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

const hammeredList = 11

// hammerDue takes from one list by many goroutines at once. In each round they
// drop some members for good, put some again before or after they drop them,
// and leave some as a taker that dies would: each member that is due is given
// to one of them, and no other is given to anybody.
func hammerDue(t *testing.T, s Store) {
	var wg sync.WaitGroup
	expected := map[string]int{}
	for i := range 32 {
		expected[fmt.Sprint("member ", i)] = 1
	}
	for g := range hammers {
		wg.Go(func() {
			for i := range 32 {
				if i%4 == g/2 { // the same one by two at once
					putDue(t, s.handle(g), hammeredList, fmt.Sprint("member ", i), moment(i%10))
				}
			}
		})
	}
	wg.Wait()
	for round := range 5 {
		now, until := moment(10*round+10), moment(10*round+20)
		given, again := takers(t, s, round, now, until)
		if !maps.Equal(given, expected) {
			t.Errorf("round %d: given out %v, want %v", round, given, expected)
		}
		expected = again
	}
}

// takers run until nothing more is due at now, and return how often each
// member was given out, and what is due when their leases end.
func takers(t *testing.T, s Store, round int, now, until time.Time) (given, again map[string]int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	given, again = map[string]int{}, map[string]int{}
	for g := range hammers {
		d := s.handle(g)
		wg.Go(func() {
			for {
				got, err := d.LeaseDue(t.Context(), hammeredList, now, until, 3)
				if err != nil {
					t.Errorf("LeaseDue: %v", err)
				}
				if len(got) == 0 {
					return
				}
				for _, member := range got {
					stays := treat(t, d, member, round, until)
					mu.Lock()
					given[member]++
					if stays {
						again[member] = 1
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return given, again
}

// treat does with a member what its number and the round say, and returns
// whether it is due again when the lease ends.
func treat(t *testing.T, d cache.Driver, member string, round int, until time.Time) (stays bool) {
	var n int
	fmt.Sscanf(member, "member %d", &n)
	before, after := until.Add(-time.Millisecond), until.Add(time.Millisecond)
	switch (n + round) % 5 {
	case 0: // done with
		dropDue(t, d, hammeredList, member, until)
		return false
	case 1: // wanted again
		putDue(t, d, hammeredList, member, before)
		dropDue(t, d, hammeredList, member, until)
	case 2: // wanted later than the next round looks
		putDue(t, d, hammeredList, member, until)
		putDue(t, d, hammeredList, member, after)
		dropDue(t, d, hammeredList, member, until)
	case 3: // put after it was dropped
		dropDue(t, d, hammeredList, member, until)
		putDue(t, d, hammeredList, member, before)
	case 4: // its taker dies
	}
	return true
}
