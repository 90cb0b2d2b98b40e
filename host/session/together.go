package session

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// maxEvents is how many events wait in one slot. With as many, each further one
// has two of them, or itself and another, told together: those that lose least
// by it, see loss.
//
// What tells of more is another event, with an id of its own. A plugin may have
// been asked about one of them in vain, and another cache may have got a copy:
// who has seen the old id must not take this for a repetition. Plugins that said
// what they want sent are told nothing twice, for events are first looked for
// about which the same plugins were asked: that one plugin fails, or is full,
// for days is how so many come to wait, and then there are such.
//
// The moment is that of the later end, by which all of it had ended, so that
// each is kept for as long as it would have been alone.
const maxEvents = 32

// What is lost when two events are told together.
const (
	lostClaim = 1 << iota // who asks about one of them now asks in vain
	lostAsked             // plugins are asked again about what they were told
	lostActor             // who ended one of them
	lostWhy               // why it ended
	lostNames             // of sessions, past what an event names
)

// loss says what is lost when two events are told together, at a moment.
func loss(a, b *event, now int64) (n int) {
	if a.Tries > 0 && a.Next > now || b.Tries > 0 && b.Next > now {
		n |= lostClaim
	}
	if len(a.Asked) != len(b.Asked) || len(inBoth(a.Asked, b.Asked)) != len(a.Asked) {
		n |= lostAsked
	}
	if a.Rank != b.Rank || a.By != b.By {
		n |= lostActor
	}
	if a.Why != b.Why {
		n |= lostWhy
	}
	if len(a.Sessions)+len(b.Sessions) > maxNamed {
		n |= lostNames
	}
	return n
}

// closest returns two events of the same thing that lose least by being told
// together, the newest of them; nil if there are none. The list is of the newest
// first.
func closest(list []waitingEvent, now int64) (newer, older *waitingEvent, least int) {
	for i := range list {
		for j := i + 1; j < len(list); j++ {
			if list[i].What != list[j].What {
				continue
			}
			if n := loss(list[i].event, list[j].event, now); newer == nil || n < least {
				newer, older, least = &list[i], &list[j], n
			}
		}
	}
	return newer, older, least
}

// merged returns the event that tells of both: that the user was deactivated
// before anything else, and what the higher rank did.
func merged(newer, older *event) *event {
	one := *newer
	if weight(older) > weight(newer) {
		one.Why, one.Rank, one.By = older.Why, older.Rank, older.By
	}
	one.At = max(newer.At, older.At)
	one.Issuer, one.Subject = cmp.Or(newer.Issuer, older.Issuer), cmp.Or(newer.Subject, older.Subject)
	one.Sessions = slices.Clone(older.Sessions)
	for _, id := range newer.Sessions {
		if !slices.Contains(one.Sessions, id) {
			one.Sessions = append(one.Sessions, id)
		}
	}
	one.Tries, one.Next = max(newer.Tries, older.Tries), min(newer.Next, older.Next)
	one.Asked = inBoth(newer.Asked, older.Asked)
	return &one
}

func weight(e *event) int {
	n := int(e.Rank)
	if e.Why == host.WhyDeactivated {
		n += 1 << 8
	}
	return n
}

func inBoth(a, b []string) (list []string) {
	for _, s := range a {
		if slices.Contains(b, s) {
			list = append(list, s)
		}
	}
	return list
}

// waitingEvent is an event as it was found in a slot.
type waitingEvent struct {
	*event
	name string // of its field; empty: not written yet
}

// events returns those of a slot that can be read and that a change leaves
// there, the newest first.
func events(all map[string][]byte, c *cache.Change) (list []waitingEvent) {
	for name, raw := range all {
		if !strings.HasPrefix(name, eventField) || slices.Contains(c.Delete, name) {
			continue
		}
		if e, err := decodeEvent(raw); err == nil {
			list = append(list, waitingEvent{e, name})
		}
	}
	slices.SortFunc(list, func(a, b waitingEvent) int {
		return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(a.name, b.name))
	})
	return list
}

func countEvents(fields []cache.Field) (n int) {
	for _, f := range fields {
		if strings.HasPrefix(f.Name, eventField) {
			n++
		}
	}
	return n
}

// makeRoom has two events told together, of those that wait in a slot and one
// that is to be written, and returns what is to be written now. What is lost by
// it will stand in the log.
func (k *chronicle) makeRoom(c *telling, userID string, all map[string][]byte, waiting []waitingEvent, e *event) []*event {
	newer, older, lost := closest(append([]waitingEvent{{event: e}}, waiting...), e.At)
	if newer == nil {
		return []*event{e}
	}
	one := merged(newer.event, older.event)
	level, more := slog.LevelWarn, []slog.Attr{slog.String("user_id", userID), slog.Int("events", len(waiting))}
	if lost >= lostAsked {
		level = slog.LevelError
		more = append(more, slog.String("why", one.Why), slog.Any("of", []string{newer.Why, older.Why}), slog.Any("by", []string{newer.By, older.By}))
	}
	if n := min(len(one.Sessions), maxNamed); n < len(one.Sessions) {
		more = append(more, slog.Any("not_named", one.Sessions[n:]))
		one.Sessions = one.Sessions[:n]
	}
	c.said = append(c.said, func() {
		k.logger.LogAttrs(context.Background(), level, "many ends of a user's access wait to be told: two are told together", more...)
	})
	list := []*event{one, e}
	for _, w := range []*waitingEvent{newer, older} {
		if w.name == "" {
			list = list[:1]
			continue
		}
		c.If = append(c.If, cache.Field{Name: w.name, Value: all[w.name]})
		c.Delete = append(c.Delete, w.name)
	}
	return list
}
