package kv

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// What indexes hold is within their shares, and so all of it within the bound,
// unless keys were made under another bound, which spread them over other
// indexes or gave those other shares. Then a life counts only if after its entry
// was written the entries of all indexes are no more than the bound: of several
// that are written at once the last one sees the others. Some may be refused
// so while one place is left for them; never is one too many made.

// orderFor is how long a replica takes for granted that every index is within its
// share, or that one which its bound does not use holds nothing, once it found it
// so. While replicas still differ in the bound it may not be so.
const orderFor = 10 * time.Second

func (s *Space) inOrder() bool { return s.now() < s.order.Load() }

// fits says whether all entries are no more than the bound.
func (s *Space) fits(ctx context.Context) (bool, error) {
	n, ordered, err := s.tally(ctx, false)
	if err == nil && n > int64(s.o.Keys) {
		n, ordered, err = s.tally(ctx, true)
	}
	if err != nil {
		return false, err
	}
	if ordered {
		s.order.Store(s.now() + orderFor.Milliseconds())
	}
	return n <= int64(s.o.Keys), nil
}

// tally counts the entries of every index that there may be, without those that
// have ended if it is to sweep, and says whether each has its share at most.
// Indexes that the bound does not use come first: from those lives go over to
// the others (see renew), and must not be missed on the way.
func (s *Space) tally(ctx context.Context, sweeps bool) (total int64, ordered bool, err error) {
	former, none, err := s.sum(ctx, s.indexes(), mostIndexes, sweeps)
	if err != nil {
		return 0, false, err
	}
	total, ordered, err = s.sum(ctx, 0, s.indexes(), sweeps)
	return total + former, ordered && none, err
}

// sum asks for all of some indexes at once: there is little time, and the cache
// may be far away.
func (s *Space) sum(ctx context.Context, from, to int, sweeps bool) (total int64, ordered bool, err error) {
	var all sync.WaitGroup
	var counts [mostIndexes]int64
	var errs [mostIndexes]error
	for index := from; index < to; index++ {
		if s.now() < s.empty[index].Load() {
			continue
		}
		all.Go(func() {
			defer func() {
				if v := recover(); v != nil { // nobody else would
					errs[index] = unavailable(fmt.Errorf("the cache panicked: %v", v))
				}
			}()
			counts[index], errs[index] = s.count(ctx, index, sweeps)
		})
	}
	all.Wait()
	ordered = true
	for index := from; index < to; index++ {
		if errs[index] != nil {
			return 0, false, errs[index]
		}
		total += counts[index]
		ordered = ordered && counts[index] <= s.share(index)
	}
	return total, ordered, nil
}

func (s *Space) count(ctx context.Context, index int, sweeps bool) (n int64, err error) {
	until := s.now() + orderFor.Milliseconds()
	err = s.retry(ctx, func() (bool, error) {
		var soon int64
		var err error
		if n, soon, _, err = s.counts(ctx, index); err != nil || !sweeps || n == 0 || soon > s.now() {
			return true, err
		}
		return false, s.sweep(ctx, index, s.now())
	})
	if err == nil && n == 0 && s.share(index) == 0 {
		s.empty[index].Store(until)
	}
	return n, err
}
