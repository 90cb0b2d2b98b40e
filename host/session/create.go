package session

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Create makes a session of what a validated credential says of its user, with
// an id and a secret that nobody had before, and returns its token and its
// absolute deadline.
//
// The slot is read first, the credential judged by what was read, and the
// session written on condition that neither the header nor the credential's
// own revocation has changed since: a login that races a logout, or another
// login, is judged anew. The error is Unauthenticated when the credential was
// revoked or has ended, or its user was deactivated; TooManyRequests
// (session_limit) when the user has as many sessions as are allowed, or as the
// slot can hold, and none is to make room; Unavailable when the cache cannot tell.
//
// A session ends at the latest when the credential does, unless OutliveToken;
// an identity without an expiry has none of its own. terms may shorten its
// deadlines, the idle one for good: as far as it is before now, so long it may
// lie unused later too. Its attributes are written with the session; the error
// is Refused when they are too many or too large.
func (s *Store) Create(ctx context.Context, id *host.Identity, terms host.Terms) (token string, expires time.Time, err error) {
	if err := s.check(id); err != nil {
		return "", time.Time{}, err
	}
	if err := host.CheckAttributes(terms.Attributes); err != nil {
		return "", time.Time{}, err
	}
	text, t, err := s.newToken(id.UserID)
	if err != nil {
		return "", time.Time{}, err
	}
	now := s.o.Now()
	idle, absolute := s.deadlines(id, now)
	if !terms.Absolute.IsZero() && terms.Absolute.Before(absolute) {
		absolute = terms.Absolute
	}
	sess := session{
		Secret: t.secret[:], Created: now.UnixMilli(), Seen: now.UnixMilli(), Absolute: absolute.UnixMilli(),
		Issuer: id.Issuer, Subject: id.Subject, Roles: id.Roles, Groups: id.Groups, Email: id.Email,
	}
	if !terms.Idle.IsZero() && terms.Idle.Before(idle) {
		idle, sess.IdleTime = terms.Idle, terms.Idle.UnixMilli()-now.UnixMilli()
	}
	sess.Idle = min(idle.UnixMilli(), sess.Absolute)
	if sess.deadline() <= now.UnixMilli() {
		return "", time.Time{}, unauthenticated("the session would have ended before it began")
	}
	if err := s.retry(ctx, id.UserID, func() (bool, error) { return s.create(ctx, id, &t, &sess, terms.Attributes) }); err != nil {
		return "", time.Time{}, err
	}
	return text, time.UnixMilli(sess.Absolute).UTC(), nil
}

// Deadlines returns those that a session would have that is made now.
func (s *Store) Deadlines(id *host.Identity) (idle, absolute time.Time) {
	return s.deadlines(id, s.o.Now())
}

func (s *Store) deadlines(id *host.Identity, now time.Time) (idle, absolute time.Time) {
	absolute = now.Add(s.o.Absolute)
	if !s.o.OutliveToken && !id.Expires.IsZero() && id.Expires.Before(absolute) {
		absolute = id.Expires
	}
	idle = now.Add(s.o.Idle)
	if absolute.Before(idle) {
		idle = absolute
	}
	return idle, absolute
}

// create tries once.
func (s *Store) create(ctx context.Context, id *host.Identity, t *Token, sess *session, attributes map[string]string) (bool, error) {
	all, err := s.o.Through.All(ctx, id.UserID)
	if err != nil {
		return false, unavailable(err)
	}
	own := revokedField + id.TokenKey
	revoked, err := s.revoked(id, all[headerField], all[own])
	if err != nil {
		return false, unavailable(err)
	}
	if revoked {
		return false, unauthenticated("the credential was revoked")
	}
	h, err := decodeHeader(all[headerField])
	if err != nil {
		return false, unavailable(err)
	}
	if h == nil {
		if h, err = s.newHeader(); err != nil {
			return false, err
		}
	}
	h.Logins++ // so that logins do not overlook one another
	sess.Generation = h.Generation
	name := sessionField + t.SessionID
	c := telling{Change: cache.Change{
		If:      []cache.Field{{Name: headerField, Value: all[headerField]}, {Name: own, Value: all[own]}, {Name: name}},
		Put:     []cache.Field{{Name: headerField, Value: encode(h)}, {Name: name, Value: encode(sess)}},
		Expires: time.UnixMilli(sess.Absolute).Add(grace),
	}}
	if len(attributes) > 0 {
		c.Put = append(c.Put, cache.Field{Name: attributeField + t.SessionID, Value: encode(attributes)})
	}
	list, err := live(all, h, s.o.Now())
	if err != nil && s.o.MaxSessions > 0 {
		return false, unavailable(err)
	}
	wanted := s.ends.wants(id.UserID)
	if wanted { // its end is told though no sweeper comes for days
		c.Expires = time.UnixMilli(sess.Absolute).Add(keepWaiting)
	}
	over, most := sizeOf(all)-maxLoginBytes, oldMost
	for _, f := range c.Put {
		over += len(f.Name) + len(f.Value)
	}
	if over > 0 {
		most = len(all)
	}
	for _, f := range old(all, h, s.o.Now(), wanted, most) {
		c.If, c.Delete = append(c.If, f), append(c.Delete, f.Name)
		over -= len(f.Name) + len(f.Value)
	}
	stay, err := s.makeRoom(list, all, over, &c.Change)
	if err != nil {
		return false, err
	}
	displaced := list[:len(list)-len(stay)]
	if wanted && len(displaced) > 0 {
		if err := s.ends.add(&c, id.UserID, all, displacement(displaced, sess)); err != nil {
			return false, unavailable(err)
		}
	}
	at, err := s.seeToItsEnd(ctx, id.UserID, sess.deadline(), stay, &c.Change)
	if err == nil && wanted && len(displaced) > 0 {
		at, err = putDue(ctx, s.o.Through, id.UserID, s.o.Now())
	}
	if err != nil {
		return false, unavailable(err)
	}
	applied, err := s.changeDue(ctx, id.UserID, c.Change, at)
	c.made(applied, err)
	if applied && wanted && len(displaced) > 0 {
		s.ends.nudge(id.UserID)
	}
	return applied, err
}

// displacement is the event of sessions that make room for a new one.
func displacement(list []entry, by *session) *event {
	e := &event{What: host.EndedSession, Why: host.WhyDisplaced, At: by.Created, Issuer: by.Issuer, Subject: by.Subject}
	for _, d := range list {
		e.Sessions = append(e.Sessions, d.id)
	}
	return e
}

// makeRoom adds to a login what keeps its user within the limit of sessions, and
// the slot, which would be so many bytes over, within its own; or refuses it. It
// returns the sessions that stay. What expired is not in the list. The
// sessions that must end are conditions of the change: if one was given another
// id meanwhile they are counted anew.
func (s *Store) makeRoom(list []entry, all map[string][]byte, over int, c *cache.Change) ([]entry, error) {
	most := 0
	for most < len(list) && (over > 0 || s.o.MaxSessions > 0 && len(list)-most >= s.o.MaxSessions) {
		e := list[most]
		over -= len(sessionField) + len(e.id) + len(e.raw) + len(all[attributeField+e.id])
		most++
	}
	if most == 0 && over <= 0 {
		return list, nil
	}
	if s.o.WhenFull == Refuse || over > 0 {
		return nil, &host.Error{Kind: host.TooManyRequests, Public: "session_limit"}
	}
	for _, e := range list[:most] {
		c.If = append(c.If, cache.Field{Name: sessionField + e.id, Value: e.raw})
		c.Delete = append(c.Delete, sessionField+e.id, attributeField+e.id)
	}
	return list[most:], nil
}

// seeToItsEnd puts the user of a login on a due-list, and returns for when,
// unless a session that ends before it has seen to that: on condition that it is
// still there, for then whoever looks after the one cannot but see the other.
func (s *Store) seeToItsEnd(ctx context.Context, userID string, deadline int64, list []entry, c *cache.Change) (at time.Time, err error) {
	soon := s.o.Now().Add(time.Minute).UnixMilli()
	for _, e := range slices.Backward(list) {
		if e.deadline() <= deadline && e.deadline() > soon {
			c.If = append(c.If, cache.Field{Name: sessionField + e.id, Value: e.raw})
			return time.Time{}, nil
		}
	}
	return putDue(ctx, s.o.Through, userID, time.UnixMilli(deadline))
}

// oldMost bounds how much one login cleans up, unless there is too much.
const oldMost = 32

// old returns fields, not many more than most, that a login may clean up while
// they are as they were read, whatever replica's clock is asked.
// Sessions of whose end somebody is to be told are left to the Sweeper, and so is
// what could not be read, for it says so.
func old(all map[string][]byte, h *header, now time.Time, wanted bool, most int) (list []cache.Field) {
	fields, _ := dead(all, h, now, grace, most)
	for _, f := range fields {
		id, ok := strings.CutPrefix(f.Name, attributeField)
		if !ok {
			id = strings.TrimPrefix(f.Name, sessionField)
		}
		if f.Name == headerField || isTask(f.Name) || strings.HasPrefix(f.Name, unreadField) || wanted && inForce(h, all[sessionField+id]) {
			continue
		}
		list = append(list, f)
	}
	return list
}

// newToken makes a token that nobody had before.
func (s *Store) newToken(userID string) (text string, t Token, err error) {
	var random [publicBytes + secretBytes]byte
	if _, err := io.ReadFull(s.o.Rand, random[:]); err != nil {
		return "", Token{}, unavailable(err)
	}
	if text, t, err = formToken(userID, &random); err != nil {
		return "", Token{}, unavailable(err)
	}
	return text, t, nil
}

// newHeader returns a header with a generation that no session carries.
func (s *Store) newHeader() (*header, error) {
	h := &header{Generation: make([]byte, generationLen)}
	if _, err := io.ReadFull(s.o.Rand, h.Generation); err != nil {
		return nil, unavailable(err)
	}
	return h, nil
}

func unauthenticated(cause string) error {
	return &host.Error{Kind: host.Unauthenticated, Public: "no valid credential", Cause: errors.New(cause)}
}
