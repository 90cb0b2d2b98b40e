package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
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
// one. Nothing is promised between slots,
// nor between a slot and a due-list.
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

	// Add adds delta to the number that a field holds, 0 where it is absent, and
	// returns the sum: atomically, and with expires counting for the slot as in
	// Change. A number is kept as its decimal digits, which Get returns and Put
	// may write; to add to a field that holds anything else, or past 64 bits, is
	// an error and changes nothing. After any other error the sum is unknown: a
	// call repeated then may count twice.
	Add(ctx context.Context, slot, field string, delta int64, expires time.Time) (int64, error)

	// PutDue puts member, any bytes but none, on a due-list (0 to DueLists-1),
	// or moves it to an earlier moment if it is there already. A member stays on
	// its list until it is dropped, whatever becomes of the slot that it names.
	// One that is given out at the time is put for afterwards, or, if that is
	// earlier than its lease ends, at once: see DropDue.
	PutDue(ctx context.Context, list int, member string, at time.Time) error

	// LeaseDue returns up to max members whose moment is not after now, the
	// earliest first, and moves each to until: for that long nobody else is
	// given it, and if its taker dies it is given out again. What it was put to
	// before is forgotten. Moments of due-lists are kept in milliseconds,
	// rounded down.
	LeaseDue(ctx context.Context, list int, now, until time.Time, max int) (members []string, err error)

	// DropDue ends what LeaseDue gave out until that moment. The member leaves
	// the list, unless it was put since: then it stays, at the earliest moment
	// that it was put to. So a taker that wants it again puts it and then drops
	// it, and what others put in between is not lost. A lease that has passed to
	// somebody else is nothing to do.
	DropDue(ctx context.Context, list int, member string, until time.Time) error

	// List returns up to max keys of slots that are present, in an order of the
	// driver's own, from where following of the call before points to ("" at
	// first); following is "" after the last page, and a page may be short or
	// empty. A slot that is present throughout is listed at least once; keys may
	// repeat. Where that cannot be kept, because the store was rearranged
	// between two pages, the call is an error, and the list is begun anew.
	List(ctx context.Context, next string, max int) (slots []string, following string, err error)

	// Watch calls changed with the key of each slot that any process, this one
	// included, has changed since ready was called: soon after the change is
	// there to be read, perhaps more than once, and never two calls at a time.
	// ready is called once, when changes from then on are sure to be told. Watch
	// returns, always with an error, when ctx ends or the watch is interrupted:
	// from then on anything may have changed. Slots that expire are not told.
	// changed must not block.
	Watch(ctx context.Context, ready func(), changed func(slot string)) error

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

// CheckAdd refuses an addition that no driver can make.
func CheckAdd(slot, field string, expires time.Time) error {
	switch {
	case slot == "":
		return errors.New("cache: addition to a slot without a key")
	case field == "":
		return errors.New("cache: addition to a field without a name")
	case expires.IsZero():
		return errors.New("cache: addition does not say until when")
	}
	return nil
}

// Sum returns the number that Add makes of a field's value, nil for an absent
// one, also as it is kept: the digits of strconv.FormatInt and nothing else.
func Sum(value []byte, delta int64) (sum int64, kept []byte, err error) {
	var n int64
	if value != nil {
		n, err = strconv.ParseInt(string(value), 10, 64)
		if err != nil || string(value) != strconv.FormatInt(n, 10) {
			return 0, nil, errors.New("cache: the field is no number")
		}
	}
	sum = n + delta
	if (sum > n) != (delta > 0) && delta != 0 {
		return 0, nil, errors.New("cache: the sum is past 64 bits")
	}
	return sum, strconv.AppendInt(nil, sum, 10), nil
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
