package kv

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// MaxKeys is the most keys that one plugin can be given.
const MaxKeys = 100_000

// Options says whose keys are kept where. All must be set but Now.
type Options struct {
	Cache  cache.Driver // reads go through
	Plugin string       // the name that the keys belong to
	Keys   int          // how many may live at once, over all replicas
	Now    func() time.Time
}

// Space is the keys of one plugin. Its methods may be called by many goroutines
// at once. Every error is a *host.Error: Refused when a key more would be too
// many, else Unavailable.
type Space struct {
	o Options
	// Until when, in milliseconds since 1970, a place is looked for in one index,
	// or in none at all; and every index is known to have its share at most.
	full, over, order atomic.Int64
	empty             [mostIndexes]atomic.Int64 // and each that the bound does not use, to hold nothing
}

const (
	// claimFor is how long a key that is being made is its maker's: longer than a
	// call may take.
	claimFor = time.Second
	// fullFor is how long a replica that found no place looks for one in a single
	// index, unless it makes one itself: who asks for more keys than there may be
	// must not cost a look at all of them each time.
	fullFor = 100 * time.Millisecond
)

// New returns a plugin's keys.
func New(o Options) (*Space, error) {
	if o.Cache == nil || o.Plugin == "" || strings.Contains(o.Plugin, "/") {
		return nil, errors.New("kv: a cache and a plugin's name are needed")
	}
	if o.Keys < 1 || o.Keys > MaxKeys {
		return nil, fmt.Errorf("kv: %d keys are not between 1 and %d", o.Keys, MaxKeys)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Space{o: o}, nil
}

// state is what a key's slot holds.
type state struct {
	slot  string
	raw   []byte // of life
	life  *life  // the last one, also if it has ended; nil: none
	value []byte // nil: the key is absent
	stale []string
}

func (s *state) field() string { return s.life.field() }

func (s *Space) read(ctx context.Context, key string) (*state, error) {
	st := &state{slot: keySlot(s.o.Plugin, key)}
	all, err := s.o.Cache.All(ctx, st.slot)
	if err != nil {
		return nil, unavailable(err)
	}
	if st.raw = all[lifeField]; st.raw != nil {
		if st.life, err = decodeLife(st.raw); err != nil {
			return nil, unavailable(err)
		}
		if st.life.Claim == 0 && st.life.Deadline > s.now() {
			v, ok := all[st.field()]
			if !ok {
				return nil, unavailable(errors.New("key: its value is missing"))
			}
			st.value = append([]byte{}, v...) // never nil
		}
	}
	for name := range all {
		if name != lifeField && (st.value == nil || name != st.field()) {
			st.stale = append(st.stale, name)
		}
	}
	return st, nil
}

// Get returns the value of a key, and whether it is there.
func (s *Space) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	st, err := s.read(ctx, key)
	if err != nil {
		return nil, false, err
	}
	return st.value, st.value != nil, nil
}

// Set makes next the value of a key for ttl, or deletes the key where next is
// nil, if its value is old, nil for absent, or whatever it is with force. It
// says whether it was; if not nothing has changed.
func (s *Space) Set(ctx context.Context, key string, old, next []byte, force bool, ttl time.Duration) (done bool, err error) {
	err = s.retry(ctx, func() (bool, error) {
		st, err := s.read(ctx, key)
		if err != nil {
			return false, err
		}
		switch {
		case !force && ((old == nil) != (st.value == nil) || !bytes.Equal(old, st.value)):
			return true, nil
		case st.value == nil && next == nil:
			done = true
		case st.value == nil:
			done, err = s.begin(ctx, st, next, ttl)
		case next == nil:
			done, err = s.end(ctx, st, force)
		default:
			done, err = s.replace(ctx, st, next, force, ttl)
		}
		return done, err
	})
	return done && err == nil, err
}

// Add adds delta to a number, kept as its decimal digits, and returns the sum.
// A key that is absent is made with ttl; one that is there keeps its deadline.
// It is false, and nothing has changed, if the value is no such number or the
// sum is past 64 bits.
func (s *Space) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (sum int64, ok bool, err error) {
	err = s.retry(ctx, func() (bool, error) {
		st, err := s.read(ctx, key)
		if err != nil {
			return false, err
		}
		if st.value == nil {
			sum, ok = delta, true
			return s.begin(ctx, st, digits(delta), ttl)
		}
		if _, _, err := cache.Sum(st.value, delta); err != nil {
			ok = false
			return true, nil
		}
		ok = true
		added := false
		sum, added, err = s.addTo(ctx, st, key, delta)
		return added, err
	})
	if err != nil || !ok {
		return 0, false, err
	}
	return sum, true, nil
}

// addTo adds to the life of a key that was found. It is false if that life had
// ended by then, and another may have begun: nothing was added to that.
func (s *Space) addTo(ctx context.Context, st *state, key string, delta int64) (sum int64, added bool, err error) {
	sum, failed := s.o.Cache.Add(ctx, st.slot, st.field(), delta, kept(st.life.Deadline))
	now, err := s.read(ctx, key)
	if err != nil {
		return 0, false, err
	}
	if now.life != nil && now.life.ID == st.life.ID {
		if failed != nil && now.value != nil {
			if _, _, err := cache.Sum(now.value, delta); err != nil {
				return 0, false, nil // somebody has made something else of it: judge anew
			}
		}
		if failed != nil {
			return 0, false, unavailable(failed)
		}
		return sum, true, nil
	}
	// What was added to is no life's.
	if _, err := s.o.Cache.Change(ctx, st.slot, cache.Change{Delete: []string{st.field()}}); err != nil {
		return 0, false, unavailable(err)
	}
	return 0, false, nil
}

// begin makes a key that is absent. Of those who want to make it at once one
// looks for a place at a time, lest they take all there are from one another.
func (s *Space) begin(ctx context.Context, st *state, value []byte, ttl time.Duration) (done bool, err error) {
	if st.life != nil && st.life.Claim > s.now() {
		return false, nil
	}
	if err := s.seemsFull(ctx); err != nil {
		return false, err
	}
	l := &life{Deadline: s.deadline(ttl), ID: newID(), Claim: s.deadline(claimFor)}
	claim := l.encode()
	done, err = s.o.Cache.Change(ctx, st.slot, cache.Change{
		If: []cache.Field{field(lifeField, st.raw)}, Put: []cache.Field{field(lifeField, claim)}, Delete: st.stale, Expires: kept(l.Claim),
	})
	if err != nil || !done {
		return false, asUnavailable(err)
	}
	if err := s.reserve(ctx, l); err != nil {
		if _, failed := s.o.Cache.Change(ctx, st.slot, cache.Change{If: []cache.Field{field(lifeField, claim)}, Delete: []string{lifeField}}); failed != nil {
			return false, unavailable(failed)
		}
		return false, err
	}
	l.Claim = 0
	done, err = s.o.Cache.Change(ctx, st.slot, cache.Change{
		If:  []cache.Field{field(lifeField, claim)},
		Put: []cache.Field{field(lifeField, l.encode()), field(l.field(), value)}, Expires: kept(l.Deadline),
	})
	switch {
	case err != nil: // it may have begun: its entry stays
		return false, unavailable(err)
	case !done:
		return false, s.release(ctx, l)
	}
	return true, nil
}

// end deletes a key that is there.
func (s *Space) end(ctx context.Context, st *state, force bool) (done bool, err error) {
	done, err = s.o.Cache.Change(ctx, st.slot, cache.Change{
		If:     st.conditions(force),
		Delete: append(st.stale, lifeField, st.field()),
	})
	if err != nil {
		return false, unavailable(err)
	}
	if done {
		err = s.release(ctx, st.life)
	}
	return done, err
}

// replace gives a key that is there another value and deadline.
func (s *Space) replace(ctx context.Context, st *state, value []byte, force bool, ttl time.Duration) (done bool, err error) {
	next := *st.life
	next.Deadline = s.deadline(ttl)
	if next.Index >= s.indexes() {
		if done, placed, err := s.renew(ctx, st, value, force, next.Deadline); placed || err != nil {
			return done, err
		}
	}
	most, err := s.rely(ctx, &next)
	if err != nil {
		return false, err
	}
	if most == 0 { // by another replica's clock the key has ended
		_, err := s.end(ctx, st, true)
		return false, err
	}
	done, err = s.o.Cache.Change(ctx, st.slot, cache.Change{
		If:     st.conditions(force),
		Put:    []cache.Field{field(lifeField, next.encode()), field(st.field(), value)},
		Delete: st.stale, Expires: kept(next.Deadline),
	})
	if err != nil {
		return false, unavailable(err)
	}
	if done && most > next.Deadline {
		err = s.shorten(ctx, &next)
	}
	return done, err
}

// renew is replace by another life, where the one there is is counted in an
// index of a former bound. Nothing is done if there is no place for it.
func (s *Space) renew(ctx context.Context, st *state, value []byte, force bool, deadline int64) (done, placed bool, err error) {
	next := &life{Deadline: deadline, ID: newID()}
	if placed, err = s.place(ctx, next); err != nil || !placed {
		return false, false, err
	}
	done, err = s.o.Cache.Change(ctx, st.slot, cache.Change{
		If:     st.conditions(force),
		Put:    []cache.Field{field(lifeField, next.encode()), field(next.field(), value)},
		Delete: append(st.stale, st.field()), Expires: kept(deadline),
	})
	switch {
	case err != nil: // it may be so: both entries stay
		return false, true, unavailable(err)
	case done:
		return true, true, s.release(ctx, st.life)
	}
	return false, true, s.release(ctx, next)
}

func (s *state) conditions(force bool) []cache.Field {
	if force {
		return []cache.Field{field(lifeField, s.raw)}
	}
	return []cache.Field{field(lifeField, s.raw), field(s.field(), s.value)}
}

// retry makes a change until it is made or nothing is left to do.
func (s *Space) retry(ctx context.Context, change func() (over bool, err error)) error {
	err := cache.Persist(ctx, change)
	if _, told := errors.AsType[*host.Error](err); err != nil && !told {
		err = unavailable(fmt.Errorf("the key: %w", err))
	}
	return err
}

func (s *Space) now() int64 { return s.o.Now().UnixMilli() }

func (s *Space) deadline(ttl time.Duration) int64 { return s.now() + max(1, ttl.Milliseconds()) }

// newID returns the id of a life, or the mark of an entry.
func newID() string {
	var b [idLen / 2]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func unavailable(cause error) error {
	return &host.Error{Kind: host.Unavailable, Public: "the keys of plugins cannot be reached", Cause: cause}
}

func errFull(keys int) error {
	return host.Errorf(host.Refused, "key_limit", "%d keys live, which are all that are granted", keys)
}
