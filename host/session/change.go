package session

import (
	"bytes"
	"context"
	"errors"
	"io"
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
// own revocation has changed since: a login that races a logout fails. The
// error is Unauthenticated when the credential was revoked or has ended, or
// its user was deactivated; Unavailable when the cache cannot tell.
//
// A session ends at the latest when the credential does, unless OutliveToken;
// an identity without an expiry has none of its own.
func (s *Store) Create(ctx context.Context, id *host.Identity) (token string, expires time.Time, err error) {
	if err := s.check(id); err != nil {
		return "", time.Time{}, err
	}
	var random [publicBytes + secretBytes]byte
	if _, err := io.ReadFull(s.o.Rand, random[:]); err != nil {
		return "", time.Time{}, unavailable(err)
	}
	text, t, err := formToken(id.UserID, &random)
	if err != nil {
		return "", time.Time{}, unavailable(err)
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
	if err := s.retry(ctx, func() (bool, error) { return s.create(ctx, id, &t, &sess) }); err != nil {
		return "", time.Time{}, err
	}
	return text, time.UnixMilli(sess.Absolute).UTC(), nil
}

// create tries once.
func (s *Store) create(ctx context.Context, id *host.Identity, t *Token, sess *session) (bool, error) {
	all, err := s.o.Cache.All(ctx, id.UserID)
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
	c := cache.Change{
		If:      []cache.Field{{Name: headerField, Value: all[headerField]}, {Name: own, Value: all[own]}},
		Expires: time.UnixMilli(sess.Absolute).Add(grace),
	}
	h, err := decodeHeader(all[headerField])
	if err != nil {
		return false, unavailable(err)
	}
	if h == nil {
		if h, err = s.newHeader(); err != nil {
			return false, err
		}
		c.Put = append(c.Put, cache.Field{Name: headerField, Value: encode(h)})
	}
	sess.Generation = h.Generation
	name := sessionField + t.SessionID
	c.If = append(c.If, cache.Field{Name: name})
	c.Put = append(c.Put, cache.Field{Name: name, Value: encode(sess)})
	c.Delete = stale(all, h, s.o.Now(), own)
	applied, err := s.o.Cache.Change(ctx, id.UserID, c)
	if err != nil {
		return false, unavailable(err)
	}
	return applied, nil
}

func unauthenticated(cause string) error {
	return &host.Error{Kind: host.Unauthenticated, Public: "no valid credential", Cause: errors.New(cause)}
}

// newHeader returns a header with a generation that no session carries.
func (s *Store) newHeader() (*header, error) {
	h := &header{Generation: make([]byte, generationLen)}
	if _, err := io.ReadFull(s.o.Rand, h.Generation); err != nil {
		return nil, unavailable(err)
	}
	return h, nil
}

// staleMost bounds how much one login cleans up.
const staleMost = 32

// stale names fields of a slot that count no more, whatever replica's clock is
// asked: sessions of another generation, and what ended more than an hour ago.
// What cannot be read stays, for it may be of a later version. keep is a field
// that the change is conditional on.
func stale(all map[string][]byte, h *header, now time.Time, keep string) (names []string) {
	before := now.Add(-grace).UnixMilli()
	for name, raw := range all {
		dead := false
		switch {
		case name == keep:
		case strings.HasPrefix(name, sessionField):
			sess, err := decodeSession(raw)
			dead = err == nil && (sess.deadline() <= before || !bytes.Equal(sess.Generation, h.Generation))
		case strings.HasPrefix(name, revokedField):
			until, err := decodeMoment(raw)
			dead = err == nil && until <= before
		}
		if dead {
			names = append(names, name)
			if len(names) == staleMost {
				break
			}
		}
	}
	return names
}

// End ends the session that a token is of. A token that is malformed, unknown
// or of a session that was ended before is nothing to do, and is said to be
// done only once the cache confirms it.
func (s *Store) End(ctx context.Context, token string) error {
	t, err := ParseToken(token)
	if err != nil {
		return nil
	}
	return s.retry(ctx, func() (bool, error) { return s.end(ctx, &t) })
}

// end tries once.
func (s *Store) end(ctx context.Context, t *Token) (bool, error) {
	h, sess, raw, err := s.read(ctx, t)
	if err != nil {
		return false, err
	}
	if h == nil && sess == nil || sess != nil && !t.matches(sess.Secret) {
		return true, nil
	}
	name := sessionField + t.SessionID
	c := cache.Change{If: []cache.Field{{Name: name, Value: raw}}}
	if sess != nil {
		c.Delete = []string{name}
	} // else it may have been ended by a call whose acknowledgement was lost
	applied, err := s.o.Cache.Change(ctx, t.UserID, c)
	if err != nil {
		return false, unavailable(err)
	}
	return applied, nil
}

// EndAll logs a user out everywhere in one write: by a new generation for the
// sessions, and not_before for the JWTs. A JWT issued within its leeway after
// this may be refused too. The ended sessions' records are cleaned up later.
func (s *Store) EndAll(ctx context.Context, userID string) error {
	if !host.IsUserIDOf(userID, s.o.Realm) {
		return unavailable(errors.New("a user id that is not of realm " + s.o.Realm))
	}
	return s.retry(ctx, func() (bool, error) {
		got, err := s.o.Cache.Get(ctx, userID, headerField)
		if err != nil {
			return false, unavailable(err)
		}
		old, err := decodeHeader(got[0])
		if err != nil {
			return false, unavailable(err)
		}
		h, err := s.newHeader()
		if err != nil {
			return false, err
		}
		now := s.o.Now()
		h.NotBefore = millis(now)
		if old != nil {
			h.NotBefore, h.Flags = max(h.NotBefore, old.NotBefore), old.Flags
		}
		applied, err := s.o.Cache.Change(ctx, userID, cache.Change{
			If:      []cache.Field{{Name: headerField, Value: got[0]}},
			Put:     []cache.Field{{Name: headerField, Value: encode(h)}},
			Expires: now.Add(s.o.TokenLife + grace),
		})
		if err != nil {
			return false, unavailable(err)
		}
		return applied, nil
	})
}
