package near_test

import (
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/cache/near"
)

// Whoever changes what it reads through one cache finds its own changes at
// once, so that the suite, whose clock stands still while it does, sees no
// difference to the driver; nor do replicas that remember nothing.
func TestConformance(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	t.Run("remembering", func(t *testing.T) {
		cachetest.Run(t, func(t *testing.T) cachetest.Store {
			clock := cachetest.NewClock(start)
			c := open(t, near.Options{Driver: memory.New(clock.Now), MaxStaleness: 10 * time.Millisecond, Now: clock.Now})
			return cachetest.Store{A: c, B: c.ReadThrough(), Now: clock.Now, Pass: clock.Pass}
		})
	})
	t.Run("both remembering", func(t *testing.T) {
		cachetest.Run(t, func(t *testing.T) cachetest.Store {
			clock := cachetest.NewClock(start)
			c := open(t, near.Options{Driver: memory.New(clock.Now), MaxStaleness: 10 * time.Millisecond, Now: clock.Now})
			return cachetest.Store{A: c, B: c, Now: clock.Now, Pass: clock.Pass}
		})
	})
	t.Run("reading through", func(t *testing.T) {
		cachetest.Run(t, func(t *testing.T) cachetest.Store {
			clock := cachetest.NewClock(start)
			d := memory.New(clock.Now)
			replica := func() cache.Driver { return open(t, near.Options{Driver: d, Now: clock.Now}) }
			return cachetest.Store{A: replica(), B: replica(), Now: clock.Now, Pass: clock.Pass}
		})
	})
}
