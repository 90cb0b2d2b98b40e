package kv

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"strings"

	"github.com/authhost/authhost/host/cache"
)

const (
	mostIndexes = 64
	indexShare  = 64  // entries of an index before there are more of them
	sweepMost   = 256 // entries removed in one change
)

// indexes returns over how many slots the bound is spread.
func (s *Space) indexes() int { return min(mostIndexes, (s.o.Keys+indexShare-1)/indexShare) }

// share is how many entries an index may have: those of all make the bound.
func (s *Space) share(index int) int64 {
	if index >= s.indexes() {
		return 0 // it is of another bound
	}
	n := s.o.Keys / s.indexes()
	if index < s.o.Keys%s.indexes() {
		n++
	}
	return int64(n)
}

// seemsFull is an error if no place was found a moment ago and one index looked
// at now has none.
func (s *Space) seemsFull(ctx context.Context) error {
	if s.now() < s.over.Load() {
		return errFull(s.o.Keys)
	}
	if s.now() >= s.full.Load() {
		return nil
	}
	index := mathrand.N(s.indexes())
	n, soon, _, err := s.counts(ctx, index)
	if err == nil && n >= s.share(index) && soon > s.now() {
		err = errFull(s.o.Keys)
	}
	return err
}

// reserve finds a place for a life that is to begin.
func (s *Space) reserve(ctx context.Context, l *life) error {
	ordered := s.inOrder()
	placed, err := s.place(ctx, l)
	if err != nil {
		return err
	}
	until := &s.full
	if placed {
		if ordered {
			return nil
		}
		fits, err := s.fits(ctx)
		if fits {
			return nil
		}
		if failed := s.release(ctx, l); err == nil { // else it may stay until its deadline
			err = failed
		}
		if err != nil {
			return err
		}
		until = &s.over
	}
	until.Store(s.now() + fullFor.Milliseconds())
	return errFull(s.o.Keys)
}

// place enters a life in an index that has room, if there is one.
func (s *Space) place(ctx context.Context, l *life) (placed bool, err error) {
	first, all := mathrand.N(s.indexes()), s.indexes()
	for i := 0; i < all && !placed && err == nil; i++ {
		l.Index, l.Entry = (first+i)%all, entry(l.Deadline, newID())
		err = s.retry(ctx, func() (over bool, err error) {
			placed, over, err = s.take(ctx, l)
			return over, err
		})
	}
	return placed, err
}

// counts reads how many entries an index has, and when the next of them ends;
// raw is both as they are kept.
func (s *Space) counts(ctx context.Context, index int) (n, soon int64, raw [][]byte, err error) {
	if raw, err = s.o.Cache.Get(ctx, indexSlot(s.o.Plugin, index), countField, soonField); err != nil {
		return 0, 0, nil, unavailable(err)
	}
	n, err = number(raw[0], 0)
	soon, wrong := number(raw[1], maxEarliest)
	return n, soon, raw, asUnavailable(errors.Join(err, wrong))
}

// take enters a life in its index; over says that it is, or that there is no
// place.
func (s *Space) take(ctx context.Context, l *life) (taken, over bool, err error) {
	n, soon, got, err := s.counts(ctx, l.Index)
	if err != nil {
		return false, false, err
	}
	if n >= s.share(l.Index) {
		if soon > s.now() {
			return false, true, nil
		}
		err := s.sweep(ctx, l.Index, l.Deadline)
		return false, false, err
	}
	taken, err = s.o.Cache.Change(ctx, indexSlot(s.o.Plugin, l.Index), cache.Change{
		If:      []cache.Field{field(countField, got[0]), field(soonField, got[1])},
		Put:     []cache.Field{field(countField, digits(n+1)), field(soonField, digits(min(soon, l.Deadline))), field(entryField+l.ID, l.Entry)},
		Expires: kept(l.Deadline),
	})
	if err != nil {
		return false, false, unavailable(err)
	}
	return taken, taken, nil
}

// sweep removes the entries of an index that have ended, and says in it when
// the next will. Who was faster has done the same.
func (s *Space) sweep(ctx context.Context, index int, deadline int64) error {
	slot, now := indexSlot(s.o.Plugin, index), s.now()
	all, err := s.o.Cache.All(ctx, slot)
	if err != nil {
		return unavailable(err)
	}
	n, soon := int64(0), int64(maxEarliest)
	c := cache.Change{If: []cache.Field{field(countField, all[countField]), field(soonField, all[soonField])}, Expires: kept(deadline)}
	for name, raw := range all {
		if !strings.HasPrefix(name, entryField) {
			continue
		}
		at, err := entryDeadline(raw)
		if err != nil {
			return unavailable(err)
		}
		if at <= now && len(c.Delete) < sweepMost {
			c.If, c.Delete = append(c.If, field(name, raw)), append(c.Delete, name)
			continue
		}
		n, soon = n+1, min(soon, at)
	}
	c.Put = []cache.Field{field(countField, digits(n)), field(soonField, digits(soon))}
	if _, err = s.o.Cache.Change(ctx, slot, c); err != nil {
		return unavailable(err)
	}
	return nil
}

// rely sees to it that a life is counted until its new deadline at least, under
// a mark that nobody else knows yet. It returns until when, 0 if the life has
// no entry any more.
func (s *Space) rely(ctx context.Context, l *life) (most int64, err error) {
	slot, name := indexSlot(s.o.Plugin, l.Index), entryField+l.ID
	known := l.Entry
	err = s.retry(ctx, func() (bool, error) {
		if most, err = entryDeadline(known); err != nil {
			return false, unavailable(err)
		}
		most = max(most, l.Deadline)
		l.Entry = entry(most, newID())
		done, err := s.o.Cache.Change(ctx, slot, cache.Change{
			If: []cache.Field{field(name, known)}, Put: []cache.Field{field(name, l.Entry)}, Expires: kept(most),
		})
		if err != nil || done {
			return done, asUnavailable(err)
		}
		got, err := s.o.Cache.Get(ctx, slot, name)
		if err != nil {
			return false, unavailable(err)
		}
		if known = got[0]; known == nil {
			most = 0
		}
		return known == nil, nil
	})
	return most, err
}

// shorten has a life counted no longer than it lives, unless somebody has come
// to rely on its entry.
func (s *Space) shorten(ctx context.Context, l *life) error {
	slot, name := indexSlot(s.o.Plugin, l.Index), entryField+l.ID
	err := s.retry(ctx, func() (bool, error) {
		got, err := s.o.Cache.Get(ctx, slot, soonField)
		if err != nil {
			return false, unavailable(err)
		}
		soon, err := number(got[0], maxEarliest)
		if err != nil {
			return false, unavailable(err)
		}
		c := cache.Change{
			If:      []cache.Field{field(soonField, got[0]), field(name, l.Entry)},
			Put:     []cache.Field{field(soonField, digits(min(soon, l.Deadline))), field(name, entry(l.Deadline, newID()))},
			Expires: kept(l.Deadline),
		}
		done, err := s.o.Cache.Change(ctx, slot, c)
		if err != nil || done {
			return done, asUnavailable(err)
		}
		if got, err = s.o.Cache.Get(ctx, slot, name); err != nil {
			return false, unavailable(err)
		}
		return string(got[0]) != string(l.Entry), nil
	})
	return err
}

// release removes the entry of a life that has ended, or did not begin.
func (s *Space) release(ctx context.Context, l *life) error {
	slot, name := indexSlot(s.o.Plugin, l.Index), entryField+l.ID
	s.full.Store(0)
	s.over.Store(0)
	return s.retry(ctx, func() (bool, error) {
		got, err := s.o.Cache.Get(ctx, slot, countField, name)
		if err != nil {
			return false, unavailable(err)
		}
		if got[1] == nil {
			return true, nil
		}
		n, err := number(got[0], 0)
		if err == nil && n == 0 {
			err = errors.New("index: it has more entries than it counts")
		}
		if err != nil {
			return false, unavailable(err)
		}
		c := cache.Change{If: []cache.Field{field(countField, got[0]), field(name, got[1])}, Delete: []string{name}}
		if n == 1 {
			c.Delete = append(c.Delete, countField, soonField)
		} else {
			c.Put, c.Expires = []cache.Field{field(countField, digits(n-1))}, kept(l.Deadline)
		}
		done, err := s.o.Cache.Change(ctx, slot, c)
		return done, asUnavailable(err)
	})
}

func asUnavailable(err error) error {
	if err == nil {
		return nil
	}
	return unavailable(err)
}
