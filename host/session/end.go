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
	by := ending{host.WhyLogout, host.Actor{Rank: host.Self, ID: t.UserID}}
	err = s.end(ctx, t.UserID, t.SessionID, by, func(r *record) bool {
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
func (s *Store) EndSession(ctx context.Context, userID, sessionID string, by host.Actor) (found bool, err error) {
	if err := s.mine(userID); err != nil {
		return false, err
	}
	if !isSessionID(sessionID) {
		return false, nil
	}
	err = s.end(ctx, userID, sessionID, ending{host.WhySession, by}, func(r *record) bool {
		found = r.verdict(s.o.Now()) == host.Valid
		return true
	})
	return found && err == nil, err
}

// end removes a session and its attributes, unless look says that it is none
// of the caller's. Where there is none, it has the cache confirm that: it may
// have been ended by a call whose acknowledgement was lost. One that no logout
// everywhere had ended makes an event.
func (s *Store) end(ctx context.Context, userID, sessionID string, by ending, look func(*record) bool) error {
	wanted, tries := s.ends.wants(userID), 0
	name := sessionField + sessionID
	return s.retry(ctx, userID, func() (bool, error) {
		tries++
		all, err := s.fields(ctx, userID, wanted, headerField, name)
		if err != nil {
			return false, err
		}
		r, err := s.decode([][]byte{all[headerField], all[name]})
		if err != nil {
			return false, err
		}
		if !look(&r) {
			return true, nil
		}
		c := telling{Change: cache.Change{If: []cache.Field{{Name: name, Value: r.raw[1]}}}}
		if r.session != nil {
			c.Delete = []string{name, attributeField + sessionID}
		}
		told := wanted && inForce(r.header, r.raw[1])
		if told {
			if tries <= maxSingleTries {
				c.If = append(c.If, cache.Field{Name: headerField, Value: r.raw[0]})
			}
			if err := s.ends.add(&c, userID, all, r.ended(sessionID, by, s.o.Now())); err != nil {
				return false, unavailable(err)
			}
		}
		return s.changeTold(ctx, userID, c, told)
	})
}

// ended is the event of a session's end. One whose time was over has ended by
// itself, whoever comes to end it.
func (r *record) ended(sessionID string, by ending, now time.Time) *event {
	e := &event{What: host.EndedSession, Why: by.why, Rank: by.by.Rank, By: by.by.ID, At: now.UnixMilli(),
		Issuer: r.session.Issuer, Subject: r.session.Subject, Sessions: []string{sessionID}}
	if deadline := r.session.deadline(); deadline <= now.UnixMilli() {
		e.Why, e.At, e.Rank, e.By = r.session.overdue(), deadline, host.Nobody, ""
	}
	return e
}

// EndAll logs a user out everywhere in one write: by a new generation for the
// sessions, and not_before for the JWTs. It may be repeated. A JWT issued
// within its leeway after this may be refused too. The ended sessions' records
// are left to the Sweeper; who and why go to the log, and who into the event
// that the same write makes.
func (s *Store) EndAll(ctx context.Context, userID string, by host.Actor, why string) error {
	keep := s.keep()
	err := s.changeHeader(ctx, userID, keep, &ending{host.WhyEverywhere, by}, func(h *header) (bool, error) { return true, s.endAll(h, keep) })
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
// What the change ends is told as end says; nil: it ends nothing.
func (s *Store) changeHeader(ctx context.Context, userID string, expires time.Time, end *ending, change func(h *header) (bool, error)) error {
	if err := s.mine(userID); err != nil {
		return err
	}
	wanted, tries := end != nil && s.ends.wants(userID), 0
	return s.retry(ctx, userID, func() (bool, error) {
		tries++
		all, err := s.fields(ctx, userID, wanted, headerField)
		if err != nil {
			return false, err
		}
		c := telling{Change: cache.Change{If: []cache.Field{{Name: headerField, Value: all[headerField]}}, Expires: expires}}
		h, err := decodeHeader(all[headerField])
		if err != nil {
			return false, unavailable(err)
		}
		var e *event
		if wanted {
			var certain []cache.Field
			e, certain = endOfAll(all, h, *end, s.o.Now())
			if tries <= maxSingleTries {
				c.If = append(c.If, certain...)
			}
		}
		if h == nil {
			h = &header{}
		}
		write, err := change(h)
		if err != nil {
			return false, err
		}
		if !write {
			return s.change(ctx, userID, cache.Change{If: c.If})
		}
		if e != nil {
			h.Told = e.At
			if err := s.ends.add(&c, userID, all, e); err != nil {
				return false, unavailable(err)
			}
		}
		c.Put = append(c.Put, cache.Field{Name: headerField, Value: encode(h)})
		return s.changeTold(ctx, userID, c, true)
	})
}

// report writes to the log what was done to a user.
func (s *Store) report(ctx context.Context, text, userID string, by host.Actor, more ...slog.Attr) {
	s.o.Logger.LogAttrs(ctx, slog.LevelInfo, text, append([]slog.Attr{slog.String("user_id", userID),
		slog.String("rank", by.Rank.String()), slog.String("by", by.ID)}, more...)...)
}
