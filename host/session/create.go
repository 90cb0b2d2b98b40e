package session

import (
	"context"
	"errors"
	"io"
	"slices"
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
// (session_limit) when the user has as many sessions as are allowed and none
// is to make room; Unavailable when the cache cannot tell.
//
// A session ends at the latest when the credential does, unless OutliveToken;
// an identity without an expiry has none of its own.
func (s *Store) Create(ctx context.Context, id *host.Identity) (token string, expires time.Time, err error) {
	if err := s.check(id); err != nil {
		return "", time.Time{}, err
	}
	text, t, err := s.newToken(id.UserID)
	if err != nil {
		return "", time.Time{}, err
	}
	now := s.o.Now()
	absolute := now.Add(s.o.Absolute)
	if !s.o.OutliveToken && !id.Expires.IsZero() && id.Expires.Before(absolute) {
		absolute = id.Expires
	}
	if absolute.UnixMilli() <= now.UnixMilli() {
		return "", time.Time{}, unauthenticated("the credential has ended")
	}
	sess := session{
		Secret: t.secret[:], Created: now.UnixMilli(), Seen: now.UnixMilli(),
		Idle: min(now.Add(s.o.Idle).UnixMilli(), absolute.UnixMilli()), Absolute: absolute.UnixMilli(),
		Issuer: id.Issuer, Subject: id.Subject, Roles: id.Roles, Groups: id.Groups, Email: id.Email,
	}
	if err := s.retry(ctx, id.UserID, func() (bool, error) { return s.create(ctx, id, &t, &sess) }); err != nil {
		return "", time.Time{}, err
	}
	return text, time.UnixMilli(sess.Absolute).UTC(), nil
}

// create tries once.
func (s *Store) create(ctx context.Context, id *host.Identity, t *Token, sess *session) (bool, error) {
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
	c := cache.Change{
		If:      []cache.Field{{Name: headerField, Value: all[headerField]}, {Name: own, Value: all[own]}, {Name: name}},
		Put:     []cache.Field{{Name: headerField, Value: encode(h)}, {Name: name, Value: encode(sess)}},
		Expires: time.UnixMilli(sess.Absolute).Add(grace),
	}
	list, err := live(all, h, s.o.Now())
	if err != nil && s.o.MaxSessions > 0 {
		return false, unavailable(err)
	}
	if list, err = s.makeRoom(list, &c); err != nil {
		return false, err
	}
	c.Delete = append(c.Delete, old(all, h, s.o.Now())...)
	at, err := s.seeToItsEnd(ctx, id.UserID, sess.deadline(), list, &c)
	if err != nil {
		return false, unavailable(err)
	}
	return s.changeDue(ctx, id.UserID, c, at)
}

// makeRoom adds to a login what keeps its user within the limit of sessions, or
// refuses it, and returns those that stay. What expired is not in the list. The
// sessions that must end are conditions of the change: if one was given another
// id meanwhile they are counted anew.
func (s *Store) makeRoom(list []entry, c *cache.Change) ([]entry, error) {
	most := len(list) + 1 - s.o.MaxSessions
	if s.o.MaxSessions == 0 || most <= 0 {
		return list, nil
	}
	if s.o.WhenFull == Refuse {
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

// oldMost bounds how much one login cleans up.
const oldMost = 32

// old names fields that a login may clean up, whatever replica's clock is asked.
func old(all map[string][]byte, h *header, now time.Time) (names []string) {
	fields, _ := dead(all, h, now, grace, oldMost)
	for _, f := range fields {
		if f.Name != headerField {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
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
