package session

import (
	"context"
	"log/slog"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// End ends the session that a token is of, and returns what was thought of it
// until then, as Resolve does. A token that is malformed, unknown or of a
// session that was ended before is nothing to do, and is said to be done only
// once the cache confirms it.
func (s *Store) End(ctx context.Context, token string) (host.Validation, error) {
	t, err := ParseToken(token)
	if err != nil {
		return host.Validation{Verdict: host.BadForm}, nil
	}
	v := host.Validation{Verdict: host.Unknown}
	if !host.IsUserIDOf(t.UserID, s.o.Realm) {
		return v, nil
	}
	err = s.end(ctx, t.UserID, t.SessionID, func(r *record) bool {
		if r.session != nil && !t.matches(r.session.Secret) {
			return false
		}
		if verdict := r.verdict(s.o.Now()); verdict != host.Unknown {
			v = host.Validation{Verdict: verdict, Identity: r.session.identity(s.o.Realm, t.UserID, t.SessionID)}
		}
		return true
	})
	if err != nil {
		return host.Validation{}, err
	}
	return v, nil
}

// EndSession ends one session of a user, by its public id. found says whether
// there was a live one; with none there is nothing to do.
func (s *Store) EndSession(ctx context.Context, userID, sessionID string) (found bool, err error) {
	if err := s.mine(userID); err != nil {
		return false, err
	}
	if !isSessionID(sessionID) {
		return false, nil
	}
	err = s.end(ctx, userID, sessionID, func(r *record) bool {
		found = r.verdict(s.o.Now()) == host.Valid
		return true
	})
	return found && err == nil, err
}

// end removes a session and its attributes, unless look says that it is none
// of the caller's. Where there is none, it has the cache confirm that: it may
// have been ended by a call whose acknowledgement was lost.
func (s *Store) end(ctx context.Context, userID, sessionID string, look func(*record) bool) error {
	return s.retry(ctx, userID, func() (bool, error) {
		r, err := s.read(ctx, s.o.Through, userID, sessionID)
		if err != nil {
			return false, err
		}
		if !look(&r) || r.header == nil && r.session == nil {
			return true, nil
		}
		name := sessionField + sessionID
		c := cache.Change{If: []cache.Field{{Name: name, Value: r.raw[1]}}}
		if r.session != nil {
			c.Delete = []string{name, attributeField + sessionID}
		}
		return s.change(ctx, userID, c)
	})
}

// EndAll logs a user out everywhere in one write: by a new generation for the
// sessions, and not_before for the JWTs. It may be repeated. A JWT issued
// within its leeway after this may be refused too. The ended sessions' records
// are left to the Sweeper, who and why to the log.
func (s *Store) EndAll(ctx context.Context, userID string, by host.Actor, why string) error {
	keep := s.keep()
	err := s.changeHeader(ctx, userID, keep, func(h *header) (bool, error) { return true, s.endAll(h, keep) })
	if err == nil {
		s.report(ctx, "user logged out everywhere", userID, by, slog.String("why", why))
	}
	return err
}

// keep is until when a logout everywhere that is made now is remembered.
func (s *Store) keep() time.Time { return s.o.Now().Add(s.o.TokenLife + grace) }

// endAll makes a header end whatever there was until now.
func (s *Store) endAll(h *header, keep time.Time) error {
	fresh, err := s.newHeader()
	if err != nil {
		return err
	}
	h.Generation = fresh.Generation
	h.NotBefore = max(h.NotBefore, millis(s.o.Now()))
	h.Keep = max(h.Keep, millis(keep))
	return nil
}

// changeHeader changes a user's header in one write, or has the cache confirm
// it as it is, where change says that there is nothing to do. The user is put
// on a due-list first, for what is to be cleaned up afterwards, by whomever.
func (s *Store) changeHeader(ctx context.Context, userID string, expires time.Time, change func(h *header) (bool, error)) error {
	if err := s.mine(userID); err != nil {
		return err
	}
	return s.retry(ctx, userID, func() (bool, error) {
		got, err := s.o.Through.Get(ctx, userID, headerField)
		if err != nil {
			return false, unavailable(err)
		}
		h, err := decodeHeader(got[0])
		if err != nil {
			return false, unavailable(err)
		}
		if h == nil {
			h = &header{}
		}
		write, err := change(h)
		if err != nil {
			return false, err
		}
		c := cache.Change{If: []cache.Field{{Name: headerField, Value: got[0]}}}
		if !write {
			return s.change(ctx, userID, c)
		}
		c.Put, c.Expires = []cache.Field{{Name: headerField, Value: encode(h)}}, expires
		at, err := putDue(ctx, s.o.Through, userID, s.o.Now())
		if err != nil {
			return false, unavailable(err)
		}
		return s.changeDue(ctx, userID, c, at)
	})
}

// report writes to the log what was done to a user.
func (s *Store) report(ctx context.Context, text, userID string, by host.Actor, more ...slog.Attr) {
	s.o.Logger.LogAttrs(ctx, slog.LevelInfo, text, append([]slog.Attr{slog.String("user_id", userID),
		slog.String("rank", by.Rank.String()), slog.String("by", by.ID)}, more...)...)
}
