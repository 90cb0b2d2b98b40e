package near

import (
	"context"
	"errors"
	"sync"
	"time"
)

// flights are the reads under way whose keys share a lock: of each key the one
// sent last, which alone may still be joined and remembered.
type flights struct {
	mu     sync.Mutex
	latest map[uint64]*flight
}

// flight is a read under way. values, err and abandoned are set before done is
// closed.
type flight struct {
	read
	done      chan struct{}
	values    [][]byte
	err       error
	abandoned bool // whoever sent it gave up: that says nothing to others
}

var errNoAnswer = errors.New("cache near: the driver did not answer")

// fetch joins a read under way, or sends one. A read that failed says nothing
// to a caller who asked after it was sent, since the store may be back since:
// that caller takes a later one, which again is shared.
func (c *Cache) fetch(ctx context.Context, q *query, asked time.Time) ([][]byte, error) {
	max := c.max
	for {
		f, joined := c.board(q, asked, max)
		if !joined {
			c.metrics.Miss()
			return c.lead(ctx, q, f)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case f.abandoned:
		case f.err != nil && f.sent.Before(asked):
			max = 0
		default:
			c.metrics.Hit()
			return f.values, f.err
		}
	}
}

// board returns a read under way that was sent at most max before the caller
// asked and serves it, or a new one that the caller is to send.
func (c *Cache) board(q *query, asked time.Time, max time.Duration) (f *flight, joined bool) {
	all := &c.flights[q.key%flightShards]
	all.mu.Lock()
	defer all.mu.Unlock()
	if f := all.latest[q.key]; f != nil && c.serves(&f.read, q, asked, max) {
		return f, true
	}
	f = &flight{read: read{slot: q.slot, fields: q.fields, stamp: c.stamp(q)}, done: make(chan struct{}), err: errNoAnswer}
	f.sent = c.now()
	f.wall = f.sent.UnixNano()
	all.latest[q.key] = f
	return f, false
}

// lead sends the read and lands it, also if the driver panics.
func (c *Cache) lead(ctx context.Context, q *query, f *flight) ([][]byte, error) {
	defer c.land(q, f)
	f.values, f.err = c.Driver.Get(ctx, f.slot, f.fields...)
	f.abandoned = f.err != nil && ctx.Err() != nil
	return f.values, f.err
}

// land remembers what was found, unless a later read was sent meanwhile or the
// slot was changed, and tells those who joined.
func (c *Cache) land(q *query, f *flight) {
	all := &c.flights[q.key%flightShards]
	all.mu.Lock()
	if all.latest[q.key] == f {
		delete(all.latest, q.key)
		if f.err == nil && f.stamp == c.stamp(q) {
			c.remember(q.key, &f.read, f.values)
		}
	}
	all.mu.Unlock()
	close(f.done)
}
