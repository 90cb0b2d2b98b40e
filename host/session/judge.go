package session

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Resolve judges a session token (host.SessionResolver). One whose secret is
// right but whose session has ended is Revoked or Expired and still names its
// user; whatever else does not match is Unknown. It costs one round trip to
// the cache, none where the token's form or realm is wrong, and Touch another;
// that is set when the idle deadline is to be moved.
//
// What is remembered may be of before a login or a use elsewhere: it lets a
// session pass, and never turns one away before the cache was asked anew.
func (s *Store) Resolve(ctx context.Context, token string) (host.Validation, error) {
	t, err := ParseToken(token)
	if err != nil {
		return host.Validation{Verdict: host.BadForm}, nil
	}
	v, err := s.resolve(ctx, s.o.Cache, &t)
	if s.near && err == nil && v.Verdict != host.Valid {
		return s.resolve(ctx, s.o.Through, &t)
	}
	return v, err
}

func (s *Store) resolve(ctx context.Context, d cache.Driver, t *Token) (host.Validation, error) {
	r, err := s.read(ctx, d, t.UserID, t.SessionID)
	if err != nil {
		return host.Validation{}, err
	}
	if r.session != nil && !t.matches(r.session.Secret) {
		r.session = nil
	}
	now := s.o.Now()
	v := host.Validation{Verdict: r.verdict(now)}
	if v.Verdict != host.Unknown {
		v.Identity = r.session.identity(s.o.Realm, t.UserID, t.SessionID)
	}
	if v.Verdict == host.Expired && s.ends.wants(t.UserID) {
		s.ends.nudge(t.UserID)
	}
	if v.Verdict == host.Valid {
		v.Touch = s.touching(t, r.session, r.raw[1], now)
	}
	return v, nil
}

// record is what one session is judged by.
type record struct {
	header  *header
	session *session
	raw     [][]byte // of the header, the session, and what else was asked for
}

// verdict judges a session: Valid, Expired, Revoked, or Unknown if there is
// none.
func (r *record) verdict(now time.Time) host.Verdict {
	switch {
	case r.header == nil || r.session == nil:
		return host.Unknown
	case r.header.ends(r.session):
		return host.Revoked
	case r.session.deadline() <= now.UnixMilli():
		return host.Expired
	}
	return host.Valid
}

// read fetches what a session is judged by, and more fields of its slot. Of
// another realm's there is nothing to fetch.
func (s *Store) read(ctx context.Context, d cache.Driver, userID, sessionID string, more ...string) (record, error) {
	if !host.IsUserIDOf(userID, s.o.Realm) {
		return record{raw: make([][]byte, 2+len(more))}, nil
	}
	raw, err := d.Get(ctx, userID, append([]string{headerField, sessionField + sessionID}, more...)...)
	if err != nil {
		return record{}, unavailable(err)
	}
	return s.decode(raw)
}

// decode reads a header, a session and what else was asked for.
func (s *Store) decode(raw [][]byte) (r record, err error) {
	r.raw = raw
	if r.header, err = s.headers.decode(raw[0], decodeHeader); err != nil {
		return record{}, unavailable(err)
	}
	if r.session, err = s.sessions.decode(raw[1], decodeSession); err != nil {
		return record{}, unavailable(err)
	}
	return r, nil
}

// touching returns what moves the idle deadline of a session in use, not more
// often than every sixteenth of the idle time.
func (s *Store) touching(t *Token, sess *session, raw []byte, now time.Time) func(context.Context) {
	idle := s.idleTime(sess)
	if now.UnixMilli()-sess.Seen < min(max(idle/16, time.Second), idle/2).Milliseconds() {
		return nil
	}
	return func(ctx context.Context) { s.moveIdle(ctx, t, *sess, raw, now) }
}

// idleTime is how long a session may lie unused.
func (s *Store) idleTime(sess *session) time.Duration {
	if sess.IdleTime > 0 {
		return time.Duration(sess.IdleTime) * time.Millisecond
	}
	return s.o.Idle
}

// moveIdle may fail: the deadline as it is stored still holds, and the next
// request tries again.
func (s *Store) moveIdle(ctx context.Context, t *Token, sess session, raw []byte, now time.Time) {
	before := sess.Idle
	sess.Seen = now.UnixMilli()
	sess.Idle = min(now.Add(s.idleTime(&sess)).UnixMilli(), sess.Absolute)
	var applied bool
	var err error
	if sess.Idle < before { // the realm's idle time was made shorter: nobody would come so soon
		_, err = putDue(ctx, s.o.Through, t.UserID, time.UnixMilli(sess.Idle))
	}
	if name := sessionField + t.SessionID; err == nil {
		applied, err = s.o.Cache.Change(ctx, t.UserID, cache.Change{
			If:      []cache.Field{{Name: name, Value: raw}},
			Put:     []cache.Field{{Name: name, Value: encode(&sess)}},
			Expires: time.UnixMilli(sess.Absolute).Add(grace),
		})
	}
	if err != nil || !applied {
		s.o.Logger.LogAttrs(ctx, slog.LevelDebug, "idle deadline not moved", slog.String("session", t.SessionID), slog.Any("error", err))
	}
}

// Revoked says whether a valid JWT was logged out, alone or with everything of
// its user (host.RevocationChecker). It costs one round trip to the cache. A
// user without a slot was never logged out.
func (s *Store) Revoked(ctx context.Context, id *host.Identity) (bool, error) {
	if err := s.check(id); err != nil {
		return false, err
	}
	got, err := s.o.Cache.Get(ctx, id.UserID, headerField, revokedField+id.TokenKey)
	if err != nil {
		return false, unavailable(err)
	}
	revoked, err := s.revoked(id, got[0], got[1])
	if err != nil {
		return false, unavailable(err)
	}
	return revoked, nil
}

// revoked judges a JWT by its user's header and its own entry.
func (s *Store) revoked(id *host.Identity, rawHeader, rawEntry []byte) (bool, error) {
	until, err := decodeMoment(rawEntry)
	if err != nil {
		return false, err
	}
	h, err := s.headers.decode(rawHeader, decodeHeader)
	if err != nil {
		return false, err
	}
	return until > s.o.Now().UnixMilli() || h != nil && h.revokes(id), nil
}

// RevokeToken logs one JWT out, until it would have ended anyway: its expiry
// and the leeway. One that has is nothing to do.
func (s *Store) RevokeToken(ctx context.Context, id *host.Identity) error {
	if err := s.check(id); err != nil {
		return err
	}
	if id.TokenKey == "" {
		return unavailable(errors.New("a JWT without a key cannot be revoked alone"))
	}
	until := id.Expires.Add(id.Leeway)
	if !until.After(s.o.Now()) {
		return nil
	}
	name := revokedField + id.TokenKey
	wanted := s.ends.wants(id.UserID)
	return s.retry(ctx, id.UserID, func() (bool, error) {
		all, err := s.fields(ctx, id.UserID, true)
		if err != nil {
			return false, err
		}
		before, err := decodeMoment(all[name])
		if err != nil {
			return false, unavailable(err)
		}
		last := max(before, millis(until)) // two JWTs may share a jti
		c := telling{Change: cache.Change{
			If:      []cache.Field{{Name: name, Value: all[name]}},
			Put:     []cache.Field{{Name: name, Value: encode(last)}},
			Expires: time.UnixMilli(last).Add(grace),
		}}
		if before >= last {
			return s.change(ctx, id.UserID, c.Change)
		}
		if before == 0 && sizeOf(all) > maxSlotBytes {
			return false, unavailable(errors.New("so many JWTs of the user were logged out alone that there is no room for another: log the user out everywhere"))
		}
		// For when it need not be kept any longer: a user who never logs in has
		// nobody else come to clean up.
		if _, err := putDue(ctx, s.o.Through, id.UserID, c.Expires); err != nil {
			return false, unavailable(err)
		}
		told := false
		if wanted {
			if told, err = s.tokenEnded(&c, id, all); err != nil {
				return false, err
			}
		}
		return s.changeTold(ctx, id.UserID, c, told)
	})
}

// tokenEnded makes the change that revokes a JWT tell of it, unless it had ended
// with everything of its user. A header that cannot be read does not say so, and
// holds up neither the end nor what is told of it.
func (s *Store) tokenEnded(c *telling, id *host.Identity, all map[string][]byte) (told bool, err error) {
	if h, err := decodeHeader(all[headerField]); err == nil && h != nil && h.revokes(id) {
		return false, nil
	}
	e := &event{What: host.EndedToken, Why: host.WhyToken, Rank: host.Self, By: id.UserID, At: s.o.Now().UnixMilli(),
		Issuer: id.Issuer, Subject: id.Subject}
	if err := s.ends.add(c, id.UserID, all, e); err != nil {
		return false, unavailable(err)
	}
	return true, nil
}
