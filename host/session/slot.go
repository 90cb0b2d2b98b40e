package session

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// What a slot may hold, beside what waits to be told, for a login to add to it, or
// an attribute or the logout of one JWT. Some drivers write a slot as a whole, and
// etcd takes 1.5 MiB at a time: whoever logs in or out without end must leave room
// for what ends it all, and for all that may wait.
const (
	maxLoginBytes = 512 << 10 // some 1,800 sessions
	maxSlotBytes  = 768 << 10
)

// sizeOf is the size of what a slot holds, beside what waits to be told.
func sizeOf(all map[string][]byte) (n int) {
	for name, value := range all {
		if !isTask(name) {
			n += len(name) + len(value)
		}
	}
	return n
}

// entry is one session of a slot, as it was read.
type entry struct {
	*session
	id  string
	raw []byte
}

// live returns the sessions of a slot that count, the oldest first.
func live(all map[string][]byte, h *header, now time.Time) ([]entry, error) {
	if h == nil {
		return nil, nil
	}
	var list []entry
	for name, raw := range all {
		id, ok := strings.CutPrefix(name, sessionField)
		if !ok {
			continue
		}
		sess, err := decodeSession(raw)
		if err != nil {
			return nil, err
		}
		if !h.ends(sess) && sess.deadline() > now.UnixMilli() {
			list = append(list, entry{sess, id, raw})
		}
	}
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.id, b.id))
	})
	return list, nil
}

// dead returns the fields of a slot that need not be kept any longer, not many
// more than most, and when the next of the others will be: 0 for never.
//
// A session need not once another generation has begun, or slack after its
// deadline; its attributes go with it; a revocation stays an hour longer than
// it must, lest a replica whose clock is behind take its JWT for a valid one; so
// does the mark of a copy. The header goes last. What cannot be read stays, for it
// may be of a later version; what waits to be told for as long as unread.go says.
func dead(all map[string][]byte, h *header, now time.Time, slack time.Duration, most int) (fields []cache.Field, next int64) {
	until := func(at int64) bool {
		if at <= now.UnixMilli() {
			return true
		}
		if next == 0 || at < next {
			next = at
		}
		return false
	}
	for name, raw := range all {
		if gone(all, h, name, raw, slack, until) {
			fields = append(fields, cache.Field{Name: name, Value: present(raw)})
		}
	}
	if len(fields) > most {
		return fields[:most], now.UnixMilli()
	}
	if h != nil && !h.deactivated() && (h.NotBefore == 0 || h.Keep != 0 && until(h.Keep)) && len(fields) == len(all)-1 {
		fields = append(fields, cache.Field{Name: headerField, Value: all[headerField]})
	}
	return fields, next
}

// gone judges one field other than the header. until says whether a moment is
// past, and remembers it if it is not.
func gone(all map[string][]byte, h *header, name string, raw []byte, slack time.Duration, until func(int64) bool) bool {
	if id, ok := strings.CutPrefix(name, attributeField); ok {
		name, raw = sessionField+id, all[sessionField+id]
		if raw == nil {
			return true
		}
	}
	switch {
	case strings.HasPrefix(name, sessionField):
		sess, err := decodeSession(raw)
		return err == nil && (h == nil || !bytes.Equal(sess.Generation, h.Generation) || until(sess.deadline()+slack.Milliseconds()))
	case strings.HasPrefix(name, revokedField):
		moment, err := decodeMoment(raw)
		return err == nil && until(moment+grace.Milliseconds())
	case name == markField:
		m, err := decodeMark(raw)
		return err == nil && until(max(m.Until, m.Keep)+grace.Milliseconds())
	case isTask(name):
		return unreadGone(all, name, raw, until)
	case strings.HasPrefix(name, unreadField):
		return markGone(all, name, raw, until)
	}
	return false
}
