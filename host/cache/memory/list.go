package memory

import (
	"context"
	"maps"
	"slices"
)

// List implements cache.Driver. Pages follow the order of the keys, and next
// is the last key of the page before.
func (d *Driver) List(ctx context.Context, next string, most int) (slots []string, following string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	most = max(1, most)
	for _, key := range slices.Sorted(maps.Keys(d.slots)) {
		if key <= next || d.live(key) == nil {
			continue
		}
		if len(slots) == most {
			return slots, slots[most-1], nil
		}
		slots = append(slots, key)
	}
	return slots, "", nil
}

// watcher gathers what one Watch has yet to tell.
type watcher struct {
	changed map[string]struct{}
	wake    chan struct{}
}

// Watch implements cache.Driver. Nothing interrupts it but its context.
func (d *Driver) Watch(ctx context.Context, ready func(), changed func(slot string)) error {
	w := &watcher{changed: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	d.watching.Lock()
	d.watchers[w] = struct{}{}
	d.watching.Unlock()
	defer func() {
		d.watching.Lock()
		delete(d.watchers, w)
		d.watching.Unlock()
	}()
	ready()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		d.watching.Lock()
		told := w.changed
		w.changed = map[string]struct{}{}
		d.watching.Unlock()
		for key := range told {
			changed(key)
		}
	}
}

// tell tells every watcher of a changed slot. The slots' lock is held, so that
// nobody is told of what is not yet there.
func (d *Driver) tell(key string) {
	d.watching.Lock()
	defer d.watching.Unlock()
	for w := range d.watchers {
		w.changed[key] = struct{}{}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}
