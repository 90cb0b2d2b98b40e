package near

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// Options says what to remember and for how long. Driver must be set.
type Options struct {
	Driver cache.Driver
	// MaxStaleness is how old an answer may be, from when its read was sent to
	// when a caller asked; 0: nothing is remembered.
	MaxStaleness time.Duration
	// Entries is how many reads are remembered that found every field they
	// asked for, and how many that missed one; 0: 100,000. One that weighs more
	// than 2 KiB counts for several.
	Entries int

	Now     func() time.Time // must not run backwards; nil: time.Now
	Logger  *slog.Logger     // nil: none
	Metrics Metrics          // nil: none
}

// Metrics is told what becomes of reads. Its methods may be called
// concurrently and must not block.
type Metrics interface {
	Hit()         // a caller was given what was remembered, or joined a read under way
	Miss()        // a read was sent
	Invalidated() // the reads of a slot were forgotten: it was changed, here or elsewhere
	Emptied()     // all reads were forgotten
}

const (
	defaultEntries = 100_000
	fewestStripes  = 1 << 10
	mostStripes    = 1 << 20
	flightShards   = 64
)

// Cache is a cache.Driver that remembers what Get returned. Whatever else it
// is asked goes to the driver: All, List and the due-lists are never answered
// from memory. Make one with New, and let Run run.
type Cache struct {
	cache.Driver // Get, Change and Add are its own

	max     time.Duration
	now     func() time.Time
	logger  *slog.Logger
	metrics Metrics

	seed    maphash.Seed    // nobody outside can choose slots that share a number
	epoch   atomic.Uint32   // grows when everything is forgotten
	stripes []atomic.Uint32 // grow when a slot is forgotten; a power of two of them

	found, missed memory
	flights       [flightShards]flights
}

// New returns a cache in front of o.Driver, which it closes when it is closed.
// It starts nothing.
func New(o Options) (*Cache, error) {
	if o.Driver == nil {
		return nil, errors.New("cache near: no driver to read from")
	}
	if o.MaxStaleness < 0 || o.Entries < 0 {
		return nil, errors.New("cache near: max_staleness and entries must not be negative")
	}
	if o.Entries == 0 {
		o.Entries = defaultEntries
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = nobody{}
	}
	c := &Cache{Driver: o.Driver, max: o.MaxStaleness, now: o.Now, logger: o.Logger, metrics: o.Metrics, seed: maphash.MakeSeed()}
	c.stripes = make([]atomic.Uint32, min(max(fewestStripes, 1<<bits.Len(uint(o.Entries-1))), mostStripes))
	var err error
	if c.found, err = newMemory(o.Entries); err != nil {
		return nil, err
	}
	if c.missed, err = newMemory(o.Entries); err != nil {
		return nil, err
	}
	for i := range c.flights {
		c.flights[i].latest = map[uint64]*flight{}
	}
	return c, nil
}

// Get implements cache.Driver. Its answer may be as old as MaxStaleness.
func (c *Cache) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	if c.max == 0 || len(fields) == 0 {
		return c.Driver.Get(ctx, slot, fields...)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asked := c.now()
	q := c.query(slot, fields)
	if e := c.recall(&q, asked); e != nil {
		c.metrics.Hit()
		return e.values, nil
	}
	return c.fetch(ctx, &q, asked)
}

// Change implements cache.Driver. Once it returns, whatever it says, nothing
// that was read from the slot before is used again.
func (c *Cache) Change(ctx context.Context, slot string, change cache.Change) (bool, error) {
	defer c.forget(slot)
	return c.Driver.Change(ctx, slot, change)
}

// Add implements cache.Driver, with the promise of Change.
func (c *Cache) Add(ctx context.Context, slot, field string, delta int64, expires time.Time) (int64, error) {
	defer c.forget(slot)
	return c.Driver.Add(ctx, slot, field, delta, expires)
}

// ReadThrough returns a handle on the same cache whose every read goes to the
// driver, and whose changes are forgotten here like any other. Closing either
// closes both.
func (c *Cache) ReadThrough() cache.Driver { return through{c} }

type through struct{ *Cache }

func (t through) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	return t.Driver.Get(ctx, slot, fields...)
}

type nobody struct{}

func (nobody) Hit()         {}
func (nobody) Miss()        {}
func (nobody) Invalidated() {}
func (nobody) Emptied()     {}

var _ cache.Driver = (*Cache)(nil)
