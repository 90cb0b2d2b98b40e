package near

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
)

// query is what a caller asks for.
type query struct {
	slot   string
	fields []string
	key    uint64 // a hash of both: a place to look, and no proof
	stripe uint64 // the slot's number
}

func (c *Cache) query(slot string, fields []string) query {
	hash := maphash.String(c.seed, slot)
	q := query{slot: slot, fields: fields, key: hash, stripe: c.stripe(hash)}
	for _, name := range fields {
		q.key = bits.RotateLeft64(q.key, 7)*0x9e3779b97f4a7c15 ^ maphash.String(c.seed, name)
	}
	return q
}

func (c *Cache) stripe(hash uint64) uint64 { return hash & uint64(len(c.stripes)-1) }

// stamp is the numbers that a read was sent under.
type stamp struct{ epoch, slot uint32 }

// stamp returns the numbers as they are. They are read before a read is sent,
// so that a change while it is under way makes it old.
func (c *Cache) stamp(q *query) stamp {
	return stamp{c.epoch.Load(), c.stripes[q.stripe].Load()}
}

// forget makes every read of a slot old, remembered or under way.
func (c *Cache) forget(slot string) {
	c.stripes[c.stripe(maphash.String(c.seed, slot))].Add(1)
	c.metrics.Invalidated()
}

// empty makes every read old.
func (c *Cache) empty() {
	c.epoch.Add(1)
	c.metrics.Emptied()
}

// read is what is known of a read, remembered or under way.
type read struct {
	slot   string
	fields []string
	sent   time.Time
	wall   int64 // sent, by the wall clock
	stamp  stamp
}

// serves says whether a caller who asked at that moment may be given what the
// read finds, if it was sent at most max before. A clock that stands still
// while the machine sleeps is not trusted alone.
func (c *Cache) serves(r *read, q *query, asked time.Time, max time.Duration) bool {
	return asked.Sub(r.sent) <= max && asked.UnixNano()-r.wall <= int64(max) &&
		r.stamp == c.stamp(q) && r.slot == q.slot && slices.Equal(r.fields, q.fields)
}

// entry is a read that was answered.
type entry struct {
	read
	values [][]byte
}

// weightUnit is how many bytes count for one entry.
const weightUnit = 2 << 10

// memory is a bounded number of answers, by the key of their query.
type memory struct{ *otter.Cache[uint64, *entry] }

func newMemory(entries int) (memory, error) {
	m, err := otter.New(&otter.Options[uint64, *entry]{
		MaximumWeight: uint64(entries),
		Weigher: func(_ uint64, e *entry) uint32 {
			size := len(e.slot)
			for _, name := range e.fields {
				size += len(name)
			}
			for _, v := range e.values {
				size += len(v)
			}
			return uint32(1 + size/weightUnit)
		},
	})
	return memory{m}, err
}

// recall returns what is remembered and serves the caller, or nil.
func (c *Cache) recall(q *query, asked time.Time) *entry {
	if e, ok := c.found.GetIfPresent(q.key); ok && c.serves(&e.read, q, asked, c.max) {
		return e
	}
	if e, ok := c.missed.GetIfPresent(q.key); ok && c.serves(&e.read, q, asked, c.max) {
		return e
	}
	return nil
}

// remember keeps an answer, where those of its kind are, in the place of an
// older one.
func (c *Cache) remember(key uint64, r *read, values [][]byte) {
	e := &entry{read: *r, values: compact(values)}
	e.slot, e.fields = strings.Clone(r.slot), make([]string, len(r.fields))
	for i, name := range r.fields {
		e.fields[i] = strings.Clone(name)
	}
	to, from := c.found, c.missed
	if slices.ContainsFunc(values, func(v []byte) bool { return v == nil }) {
		to, from = from, to
	}
	from.Invalidate(key)
	to.Set(key, e)
}

// compact copies values into memory of their own: those that a driver returns
// may be parts of a whole slot, and keep it all alive.
func compact(values [][]byte) [][]byte {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	own, room := make([][]byte, len(values)), make([]byte, 0, size)
	for i, v := range values {
		if v != nil {
			start := len(room)
			room = append(room, v...)
			own[i] = room[start:len(room):len(room)]
		}
	}
	return own
}
