package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Options says how sessions of one realm live. Realm and Cache must be set.
type Options struct {
	Realm    string
	Cache    cache.Driver
	Idle     time.Duration // how long a session may lie unused; 0: 8 hours
	Absolute time.Duration // how long it may live at all; 0: 24 hours
	// OutliveToken lets a session live on when the credential it was made from
	// ends.
	OutliveToken bool
	// TokenLife is the longest that a JWT of the realm may still count after it
	// was issued, leeway included; 0: 25 hours. That is how long a slot
	// remembers a logout everywhere.
	TokenLife time.Duration

	Now    func() time.Time // nil: the system's clock
	Rand   io.Reader        // of ids and secrets; nil: crypto/rand
	Logger *slog.Logger     // nil: none
}

// Store is the sessions of one realm. Its methods may be called concurrently.
// Every error it returns is a *host.Error.
type Store struct {
	o     Options
	touch time.Duration // the shortest time between two writes of an idle deadline
}

const (
	// grace is how much longer a record is kept than anything that is judged by
	// it: replicas' clocks may differ by that much.
	grace = time.Hour
	// attempts bounds how often a change is tried anew because somebody else
	// changed the slot.
	attempts = 12
)

// New returns a store.
func New(o Options) (*Store, error) {
	if o.Realm == "" || o.Cache == nil {
		return nil, errors.New("session: a store needs a realm and a cache")
	}
	if o.Idle < 0 || o.Absolute < 0 || o.TokenLife < 0 {
		return nil, errors.New("session: a negative duration")
	}
	if o.Idle == 0 {
		o.Idle = 8 * time.Hour
	}
	if o.Absolute == 0 {
		o.Absolute = 24 * time.Hour
	}
	if o.TokenLife == 0 {
		o.TokenLife = 25 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{o: o, touch: min(max(o.Idle/16, time.Second), o.Idle/2)}, nil
}

// Resolve judges a session token (host.SessionResolver). One whose secret is
// right but whose session has ended is Revoked or Expired and still names its
// user; whatever else does not match is Unknown. It costs one round trip to
// the cache, none where the token's form or realm is wrong, and another when
// the idle deadline is moved.
func (s *Store) Resolve(ctx context.Context, token string) (host.Validation, error) {
	t, err := ParseToken(token)
	if err != nil {
		return host.Validation{Verdict: host.BadForm}, nil
	}
	h, sess, raw, err := s.read(ctx, &t)
	if err != nil {
		return host.Validation{}, err
	}
	if h == nil || sess == nil || !t.matches(sess.Secret) {
		return host.Validation{Verdict: host.Unknown}, nil
	}
	v := host.Validation{Verdict: host.Valid, Identity: sess.identity(s.o.Realm, &t)}
	now := s.o.Now()
	switch {
	case h.ends(sess):
		v.Verdict = host.Revoked
	case sess.deadline() <= now.UnixMilli():
		v.Verdict = host.Expired
	default:
		s.moveIdle(ctx, &t, *sess, raw, now)
	}
	return v, nil
}

// read fetches what a session token is judged by. Of another realm's token
// there is nothing to fetch.
func (s *Store) read(ctx context.Context, t *Token) (h *header, sess *session, raw []byte, err error) {
	if !host.IsUserIDOf(t.UserID, s.o.Realm) {
		return nil, nil, nil, nil
	}
	got, err := s.o.Cache.Get(ctx, t.UserID, headerField, sessionField+t.SessionID)
	if err != nil {
		return nil, nil, nil, unavailable(err)
	}
	if h, err = decodeHeader(got[0]); err != nil {
		return nil, nil, nil, unavailable(err)
	}
	if sess, err = decodeSession(got[1]); err != nil {
		return nil, nil, nil, unavailable(err)
	}
	return h, sess, got[1], nil
}

// moveIdle moves the idle deadline of a session in use, not more often than
// every sixteenth of the idle time. It may fail: the deadline as it is stored
// still holds, and the next request tries again.
func (s *Store) moveIdle(ctx context.Context, t *Token, sess session, raw []byte, now time.Time) {
	if now.UnixMilli()-sess.Seen < s.touch.Milliseconds() {
		return
	}
	sess.Seen = now.UnixMilli()
	sess.Idle = min(now.Add(s.o.Idle).UnixMilli(), sess.Absolute)
	name := sessionField + t.SessionID
	applied, err := s.o.Cache.Change(ctx, t.UserID, cache.Change{
		If:      []cache.Field{{Name: name, Value: raw}},
		Put:     []cache.Field{{Name: name, Value: encode(&sess)}},
		Expires: time.UnixMilli(sess.Absolute).Add(grace),
	})
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
	h, err := decodeHeader(rawHeader)
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
	_, err := s.o.Cache.Change(ctx, id.UserID, cache.Change{
		Put:     []cache.Field{{Name: revokedField + id.TokenKey, Value: encode(millis(until))}},
		Expires: until.Add(grace),
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// check refuses an identity of another realm, which is a mistake of wiring and
// must not become an answer.
func (s *Store) check(id *host.Identity) error {
	if id == nil || id.Realm != s.o.Realm || !host.IsUserIDOf(id.UserID, s.o.Realm) {
		return unavailable(fmt.Errorf("an identity that is not of realm %s", s.o.Realm))
	}
	return nil
}

// unavailable is what the cache's failures are called outside.
func unavailable(cause error) error {
	return &host.Error{Kind: host.Unavailable, Public: "the session cache does not answer", Cause: cause}
}

// retry makes a change by compare-and-put until it is made, or nothing is left
// to do. Whoever loses waits a little longer each time.
func (s *Store) retry(ctx context.Context, change func() (done bool, err error)) error {
	for attempt := range attempts {
		if done, err := change(); done || err != nil {
			return err
		}
		select {
		case <-time.After(mathrand.N(time.Millisecond << min(attempt, 6))):
		case <-ctx.Done():
			return unavailable(ctx.Err())
		}
	}
	return unavailable(fmt.Errorf("the slot was changed by others %d times", attempts))
}
