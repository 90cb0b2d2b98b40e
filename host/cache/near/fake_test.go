package near_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/near"
)

// remote is a store elsewhere. Its calls take what the test says before and
// after the moment that they tell of; its messages are told by the test.
type remote struct {
	cache.Driver // what near has no business with

	before        func(ctx context.Context) error // nil: nothing
	gets, watches atomic.Int64

	mu       sync.Mutex
	after    func(ctx context.Context) error // nil: nothing
	slots    map[string]map[string][]byte
	watchers map[*watcher]bool
}

type watcher struct {
	changed     func(string)
	interrupted chan struct{}
}

func newRemote() *remote {
	return &remote{slots: map[string]map[string][]byte{}, watchers: map[*watcher]bool{}}
}

// answer says what happens to a call after it was carried out.
func (r *remote) answer(after func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = after
}

func (r *remote) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	r.gets.Add(1)
	if err := wait(ctx, r.before); err != nil {
		return nil, err
	}
	r.mu.Lock()
	values := make([][]byte, len(fields))
	for i, name := range fields {
		values[i] = r.slots[slot][name]
	}
	after := r.after
	r.mu.Unlock()
	if err := wait(ctx, after); err != nil {
		return nil, err
	}
	return values, ctx.Err()
}

func (r *remote) All(ctx context.Context, slot string) (map[string][]byte, error) {
	r.gets.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.slots[slot]), nil
}

func (r *remote) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	if err := wait(ctx, r.before); err != nil {
		return false, err
	}
	applied := r.change(slot, c)
	r.mu.Lock()
	after := r.after
	r.mu.Unlock()
	return applied, wait(ctx, after)
}

// change is made by another replica, at once.
func (r *remote) change(slot string, c cache.Change) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	fields := maps.Clone(r.slots[slot])
	if fields == nil {
		fields = map[string][]byte{}
	}
	if !c.Holds(fields) {
		return false
	}
	c.Apply(fields)
	r.slots[slot] = fields
	return true
}

func (r *remote) Add(ctx context.Context, slot, field string, delta int64, expires time.Time) (int64, error) {
	r.change(slot, put(field, fmt.Sprint(delta)))
	return delta, nil
}

func (r *remote) Watch(ctx context.Context, ready func(), changed func(string)) error {
	r.watches.Add(1)
	w := &watcher{changed, make(chan struct{})}
	r.mu.Lock()
	r.watchers[w] = true
	r.mu.Unlock()
	ready()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, w)
	}()
	select {
	case <-w.interrupted:
		return errors.New("interrupted")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell tells whoever watches that a slot was changed.
func (r *remote) tell(slot string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.watchers {
		w.changed(slot)
	}
}

// interrupt ends every watch.
func (r *remote) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.watchers {
		close(w.interrupted)
		delete(r.watchers, w)
	}
}

func (r *remote) Close() error { return nil }

func wait(ctx context.Context, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

// taking returns a wait of that long.
func taking(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func put(name, value string) cache.Change {
	return cache.Change{Put: []cache.Field{{Name: name, Value: []byte(value)}}, Expires: time.Now().Add(time.Hour)}
}

// counts is near.Metrics.
type counts struct{ hits, misses, invalidated, emptied atomic.Int64 }

func (c *counts) Hit()         { c.hits.Add(1) }
func (c *counts) Miss()        { c.misses.Add(1) }
func (c *counts) Invalidated() { c.invalidated.Add(1) }
func (c *counts) Emptied()     { c.emptied.Add(1) }

func open(t testing.TB, o near.Options) *near.Cache {
	t.Helper()
	c, err := near.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get returns the value of field a as text, "-" if it is absent.
func get(t testing.TB, d cache.Driver, slot string) string {
	t.Helper()
	v, err := d.Get(t.Context(), slot, "a")
	if err != nil || len(v) != 1 {
		t.Errorf("Get = %q, %v", v, err)
		return ""
	}
	if v[0] == nil {
		return "-"
	}
	return string(v[0])
}

// want checks what a caller is given, and whether it took a read of its own.
func want(t *testing.T, r *remote, d cache.Driver, slot, value string, reads int64) {
	t.Helper()
	before := r.gets.Load()
	if got := get(t, d, slot); got != value {
		t.Errorf("slot %s holds %s, want %s", slot, got, value)
	}
	if n := r.gets.Load() - before; n != reads {
		t.Errorf("slot %s: %d reads were sent, want %d", slot, n, reads)
	}
}
