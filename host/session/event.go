package session

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Teller is who tells of ends of access. Its methods are called concurrently,
// with every end and every look of a sweeper.
type Teller interface {
	// Wants says whether anybody is to be told of a user's ends. Only then are
	// events written.
	Wants(userID string) bool
	// Nudge says that something of a user's waits to be told, or has just ended.
	// It does not block; what it loses a sweeper finds.
	Nudge(userID string)
}

// EventPrefix begins the id of every end of access.
const EventPrefix = "evt_"

const (
	// keepWaiting is how long what waits in a slot is kept for somebody to tell
	// it.
	keepWaiting = 8 * 24 * time.Hour
	// maxNamed bounds the sessions that one event names.
	// A plugin must be able to say all of them in one answer.
	maxNamed = 256
	// maxCertain is of how many sessions a logout everywhere makes certain that
	// nobody else tells of their end.
	maxCertain = 64
	// maxSingleTries is how often an end is tried so that it is told once. From
	// then on it is made though it may be told twice: sessions that are renewed
	// all the time must not hold up a logout.
	maxSingleTries = 3
	// repeated is within what time a second logout everywhere is taken for the
	// first one repeated, if no session was made in between.
	repeated = 30 * time.Second
)

// event is an end of access of which nobody was told yet.
type event struct {
	What     string    `cbor:"1,keyasint"`
	Why      string    `cbor:"2,keyasint"`
	Rank     host.Rank `cbor:"3,keyasint,omitempty"`
	By       string    `cbor:"4,keyasint,omitempty"`
	At       int64     `cbor:"5,keyasint"`
	Issuer   string    `cbor:"6,keyasint,omitempty"`
	Subject  string    `cbor:"7,keyasint,omitempty"`
	Sessions []string  `cbor:"8,keyasint,omitempty"` // public ids
	Tries    int       `cbor:"9,keyasint,omitempty"`
	Next     int64     `cbor:"10,keyasint,omitempty"` // not to be taken up before; 0: at once
	Asked    []string  `cbor:"11,keyasint,omitempty"` // plugins that were
}

// ending is why access ends, and by whom.
type ending struct {
	why string
	by  host.Actor
}

func decodeEvent(b []byte) (*event, error) {
	e := new(event)
	if err := records.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if e.What == "" || e.Why == "" || e.At <= 0 {
		return nil, errors.New("event: the record is not whole")
	}
	return e, nil
}

// overdue says why a session that passed its deadline has ended.
func (s *session) overdue() string {
	if s.Idle < s.Absolute {
		return host.WhyIdle
	}
	return host.WhyAbsolute
}

// about fills in of whom the event is, by any session of the slot: they are all
// of one user.
func (e *event) about(all map[string][]byte) {
	for name, raw := range all {
		if !strings.HasPrefix(name, sessionField) {
			continue
		}
		if sess, err := decodeSession(raw); err == nil && sess.Subject != "" {
			e.Issuer, e.Subject = sess.Issuer, sess.Subject
			return
		}
	}
}

// chronicle writes events into changes of slots.
type chronicle struct {
	rand   io.Reader
	logger *slog.Logger
	teller Teller // nil: nobody wants them
}

func (k *chronicle) wants(userID string) bool { return k.teller != nil && k.teller.Wants(userID) }

func (k *chronicle) nudge(userID string) {
	if k.teller != nil {
		k.teller.Nudge(userID)
	}
}

// telling is a change of a slot that may tell of ends of access, with what the log
// is to say of it.
type telling struct {
	cache.Change
	said []func()
}

// made writes to the log what it is to say of the change, once that was made or,
// after an error, may have been.
func (c *telling) made(applied bool, err error) {
	if applied || err != nil {
		for _, say := range c.said {
			say()
		}
	}
}

// add makes a change of a slot, which was read as all, write an event too: more
// than one if it is of more sessions than an event names, of which the others are
// of sessions alone. With as many as may wait in the slot two are told together.
func (k *chronicle) add(c *telling, userID string, all map[string][]byte, e *event) error {
	for _, part := range e.parts() {
		write := []*event{part}
		if waiting, fresh := events(all, &c.Change), countEvents(c.Put); len(waiting)+fresh >= maxEvents {
			write = k.makeRoom(c, userID, all, waiting, part)
		}
		for _, one := range write {
			if err := k.put(&c.Change, one); err != nil {
				return err
			}
		}
	}
	return nil
}

// parts returns the event as events none of which names too many sessions.
func (e *event) parts() (list []*event) {
	for names := range slices.Chunk(e.Sessions, maxNamed) {
		part := *e
		part.Sessions = names
		if len(list) > 0 {
			part.What = host.EndedSession
		}
		list = append(list, &part)
	}
	if len(list) == 0 {
		return []*event{e}
	}
	return list
}

// put makes a change write an event under an id that none has.
func (k *chronicle) put(c *cache.Change, e *event) error {
	var random [publicBytes]byte
	if _, err := io.ReadFull(k.rand, random[:]); err != nil {
		return err
	}
	name := eventField + EventPrefix + tokenEncoding.EncodeToString(random[:])
	c.Put = append(c.Put, cache.Field{Name: name, Value: encode(e)})
	if keep := time.UnixMilli(e.At).Add(keepWaiting); keep.After(c.Expires) {
		c.Expires = keep
	}
	return nil
}

// addEnds makes a change that removes the sessions among fields, because their
// time is over, tell of those that counted until then.
func (k *chronicle) addEnds(c *telling, userID string, all map[string][]byte, h *header, fields []cache.Field) (some bool, err error) {
	ends := map[string]*event{}
	for _, f := range fields {
		id, ok := strings.CutPrefix(f.Name, sessionField)
		if !ok || !inForce(h, f.Value) {
			continue
		}
		sess, err := decodeSession(f.Value)
		if err != nil {
			continue // it is not among those that are removed
		}
		why := sess.overdue()
		if ends[why] == nil {
			ends[why] = &event{What: host.EndedSession, Why: why, Issuer: sess.Issuer, Subject: sess.Subject}
		}
		ends[why].At = max(ends[why].At, sess.deadline())
		ends[why].Sessions = append(ends[why].Sessions, id)
	}
	for _, why := range []string{host.WhyIdle, host.WhyAbsolute} {
		if e := ends[why]; e != nil {
			slices.Sort(e.Sessions)
			if err := k.add(c, userID, all, e); err != nil {
				return false, err
			}
		}
	}
	return len(ends) > 0, nil
}

// inForce says whether a session was not ended by its user's header, whatever
// its deadlines. The end of any other was told with what ended it.
func inForce(h *header, raw []byte) bool {
	sess, err := decodeSession(raw)
	return err == nil && sess != nil && h != nil && !h.ends(sess)
}

// endOfAll is the event of a logout everywhere, and what the change must find as
// it was; nil if it ended nothing that was not told before: access of a user who
// was deactivated, or the same logout repeated.
func endOfAll(all map[string][]byte, h *header, end ending, now time.Time) (e *event, certain []cache.Field) {
	if h != nil && h.deactivated() {
		return nil, nil
	}
	e = &event{What: host.EndedUser, Why: end.why, Rank: end.by.Rank, By: end.by.ID, At: now.UnixMilli()}
	for name, raw := range all {
		if id, ok := strings.CutPrefix(name, sessionField); ok && inForce(h, raw) {
			e.Sessions = append(e.Sessions, id)
			certain = append(certain, cache.Field{Name: name, Value: raw})
		}
	}
	if len(e.Sessions) == 0 && end.why != host.WhyDeactivated && h != nil && h.Told != 0 && now.Sub(time.UnixMilli(h.Told)) < repeated {
		return nil, nil
	}
	slices.Sort(e.Sessions)
	e.about(all)
	if len(certain) > maxCertain {
		certain = nil
	}
	return e, certain
}
