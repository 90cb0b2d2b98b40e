package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Driver is one open store. Its methods may be called by many goroutines at
// once, and by many processes that opened the same store.
//
// An error means that there is no answer: the caller cannot tell what the slot
// holds, nor, after Change, whether the change was made. A driver never turns
// a failure, a damaged record or a store that is gone into "absent".
//
// Reads and changes of one slot are linearizable: a call that begins after a
// Change was acknowledged, in whatever process, finds that Change or a later
// one. Nothing is promised between slots.
//
// Slot keys and field names are any bytes but none; values are any bytes.
// A driver does not keep or alter the slices it is given, and a caller does
// not alter those it is handed.
type Driver interface {
	// Get returns the values of the named fields, parallel to fields, as they
	// were at one moment; nil for a field that is absent. It is one round trip.
	Get(ctx context.Context, slot string, fields ...string) ([][]byte, error)

	// All returns every field of the slot as they were at one moment; an empty
	// map if the slot is absent.
	All(ctx context.Context, slot string) (map[string][]byte, error)

	// Change makes one change, atomically, and says whether it did: false means
	// that a condition did not hold and that this call has changed nothing.
	// True means that what the call found and what it made holds as firmly as
	// the driver can promise, so that a call repeated after an error confirms
	// the first even where nothing is left to change.
	Change(ctx context.Context, slot string, c Change) (applied bool, err error)

	// Ping says whether the store answers.
	Ping(ctx context.Context) error

	// Close lets go of the store. No call may be under way or follow.
	Close() error
}

// Field is one named value of a slot.
type Field struct {
	Name  string
	Value []byte
}

// Change is one atomic change of one slot.
type Change struct {
	// If holds what must be so for the change to be made: each field has
	// exactly this value, or is absent where the value is nil.
	If []Field
	// Put holds fields to write; nil is written as an empty value.
	Put []Field
	// Delete names fields to remove, present or not. A slot without fields is
	// absent, its deadline forgotten.
	Delete []string
	// Expires is until when the slot must be kept at least. The later of it and
	// of what was said before counts, and nothing is added. Once it is past,
	// the slot is absent as a whole. Drivers keep milliseconds, rounded up.
	// A change that puts a field must say it.
	Expires time.Time
}

// Check refuses a change that no driver can make. Drivers call it first.
func (c *Change) Check(slot string) error {
	if slot == "" {
		return errors.New("cache: change of a slot without a key")
	}
	if len(c.Put) > 0 && c.Expires.IsZero() {
		return errors.New("cache: change puts fields but does not say until when")
	}
	for _, f := range c.If {
		if f.Name == "" {
			return errors.New("cache: condition on a field without a name")
		}
	}
	for i, f := range c.Put {
		if f.Name == "" {
			return errors.New("cache: change puts a field without a name")
		}
		for _, g := range c.Put[:i] {
			if f.Name == g.Name {
				return fmt.Errorf("cache: change puts field %q twice", f.Name)
			}
		}
	}
	for _, name := range c.Delete {
		if name == "" {
			return errors.New("cache: change deletes a field without a name")
		}
		for _, f := range c.Put {
			if f.Name == name {
				return fmt.Errorf("cache: change both puts and deletes field %q", name)
			}
		}
	}
	return nil
}

// Holds says whether every condition holds of fields. It is for drivers that
// hold a slot in memory while they change it.
func (c *Change) Holds(fields map[string][]byte) bool {
	for _, f := range c.If {
		v, ok := fields[f.Name]
		if ok != (f.Value != nil) || !bytes.Equal(v, f.Value) {
			return false
		}
	}
	return true
}

// Apply carries the change out on fields, with copies of its own, and says
// whether that made a difference. It is for drivers that hold a slot in memory
// while they change it.
func (c *Change) Apply(fields map[string][]byte) (changed bool) {
	for _, name := range c.Delete {
		if _, ok := fields[name]; ok {
			delete(fields, name)
			changed = true
		}
	}
	for _, f := range c.Put {
		fields[f.Name] = append([]byte{}, f.Value...)
		changed = true
	}
	return changed
}

// Millis returns a moment as the milliseconds since 1970 in which drivers keep
// deadlines, rounded up so that a slot is never dropped early; 0 for the zero
// time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return ms
}
