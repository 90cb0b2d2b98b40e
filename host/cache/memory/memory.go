package memory

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// sweep is how many other slots a change looks at for expired ones, so that
// the map does not grow for ever.
const sweep = 4

// Driver is a cache.Driver in memory. Make one with New.
type Driver struct {
	now func() time.Time

	mu    sync.RWMutex
	slots map[string]*slot
	due   [cache.DueLists]map[string]cache.Due

	watching sync.Mutex
	watchers map[*watcher]struct{}
}

// slot holds values that are never changed, only replaced.
type slot struct {
	expires int64 // milliseconds since 1970
	fields  map[string][]byte
}

// New returns an empty store. now is the clock that slots expire by; nil is
// the system's.
func New(now func() time.Time) *Driver {
	if now == nil {
		now = time.Now
	}
	d := &Driver{now: now, slots: map[string]*slot{}, watchers: map[*watcher]struct{}{}}
	for i := range d.due {
		d.due[i] = map[string]cache.Due{}
	}
	return d
}

// Get implements cache.Driver.
func (d *Driver) Get(ctx context.Context, key string, fields ...string) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	values := make([][]byte, len(fields))
	d.mu.RLock()
	defer d.mu.RUnlock()
	if s := d.live(key); s != nil {
		for i, name := range fields {
			values[i] = s.fields[name]
		}
	}
	return values, nil
}

// All implements cache.Driver.
func (d *Driver) All(ctx context.Context, key string) (map[string][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := map[string][]byte{}
	if s := d.live(key); s != nil {
		maps.Copy(all, s.fields)
	}
	return all, nil
}

// Change implements cache.Driver. What it acknowledges holds for as long as
// the process lives.
func (d *Driver) Change(ctx context.Context, key string, c cache.Change) (bool, error) {
	if err := c.Check(key); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	applied := false
	err := d.update(key, c.Expires, func(fields map[string][]byte) (bool, error) {
		if applied = c.Holds(fields); applied {
			c.Apply(fields)
		}
		return applied, nil
	})
	return applied, err
}

// Add implements cache.Driver.
func (d *Driver) Add(ctx context.Context, key, field string, delta int64, expires time.Time) (sum int64, err error) {
	if err := cache.CheckAdd(key, field, expires); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	err = d.update(key, expires, func(fields map[string][]byte) (bool, error) {
		n, kept, err := cache.Sum(fields[field], delta)
		if err == nil {
			fields[field], sum = kept, n
		}
		return err == nil, err
	})
	return sum, err
}

// update makes one change of a slot and tells the watchers.
func (d *Driver) update(key string, expires time.Time, change func(fields map[string][]byte) (bool, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	s := d.live(key)
	if s == nil {
		s = &slot{fields: map[string][]byte{}}
	}
	if ok, err := change(s.fields); !ok || err != nil {
		return err
	}
	s.expires = max(s.expires, cache.Millis(expires))
	if len(s.fields) == 0 {
		delete(d.slots, key)
	} else {
		d.slots[key] = s
	}
	d.tell(key)
	return nil
}

// Ping implements cache.Driver.
func (d *Driver) Ping(ctx context.Context) error { return ctx.Err() }

// Close implements cache.Driver. It does nothing.
func (d *Driver) Close() error { return nil }

// Len returns how many slots are kept, expired ones that were not yet dropped
// among them.
func (d *Driver) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.slots)
}

// live returns a slot that has not expired, or nil. The lock is held.
func (d *Driver) live(key string) *slot {
	s := d.slots[key]
	if s == nil || s.expires <= d.now().UnixMilli() {
		return nil
	}
	return s
}

// sweep drops expired ones among a few slots; ranging over a map begins
// anywhere. The lock is held.
func (d *Driver) sweep() {
	now, left := d.now().UnixMilli(), sweep
	for key, s := range d.slots {
		if s.expires <= now {
			delete(d.slots, key)
		}
		if left--; left == 0 {
			return
		}
	}
}
