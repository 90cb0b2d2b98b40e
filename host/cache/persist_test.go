package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authhost/authhost/host/cache"
)

func TestPersist(t *testing.T) {
	failure := errors.New("away")
	for name, test := range map[string]struct {
		change   func(try int) (bool, error)
		within   time.Duration
		tries    int // at least
		want     error
		duration time.Duration // at most
	}{
		"at once":           {change: func(int) (bool, error) { return true, nil }, within: time.Hour, tries: 1},
		"after many losses": {change: func(try int) (bool, error) { return try == 300, nil }, within: time.Hour, tries: 300, duration: 300 * 16 * time.Millisecond},
		"it fails":          {change: func(try int) (bool, error) { return false, failure }, within: time.Hour, tries: 1, want: failure},
		"never":             {change: func(int) (bool, error) { return false, nil }, within: time.Hour, tries: 600, want: cache.ErrContended, duration: 10*time.Second + 16*time.Millisecond},
		"out of time":       {change: func(int) (bool, error) { return false, nil }, within: time.Second, tries: 60, want: context.DeadlineExceeded, duration: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.within)
				defer cancel()
				tries, start := 0, time.Now()
				err := cache.Persist(ctx, func() (bool, error) { tries++; return test.change(tries) })
				if !errors.Is(err, test.want) || tries < test.tries || time.Since(start) > test.duration {
					t.Errorf("%v after %d tries and %v", err, tries, time.Since(start))
				}
			})
		})
	}
}
