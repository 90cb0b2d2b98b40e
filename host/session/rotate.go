package session

import (
	"context"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Rotate gives a live session a new id and a new secret in one write: same
// user, deadlines and attributes; the old token counts no more. It returns the
// new token and what the session stands for now. The error is Unauthenticated
// when the session does not count, as for all but one of several that rotate it
// at once.
func (s *Store) Rotate(ctx context.Context, token string) (string, *host.Identity, error) {
	old, err := ParseToken(token)
	if err != nil {
		return "", nil, unauthenticated("not a session token")
	}
	if !host.IsUserIDOf(old.UserID, s.o.Realm) {
		return "", nil, unauthenticated("the session is of another realm")
	}
	text, t, err := s.newToken(old.UserID)
	if err != nil {
		return "", nil, err
	}
	var id *host.Identity
	err = s.retry(ctx, old.UserID, func() (done bool, err error) {
		id, done, err = s.rotate(ctx, &old, &t)
		return done, err
	})
	if err != nil {
		return "", nil, err
	}
	return text, id, nil
}

// rotate tries once.
func (s *Store) rotate(ctx context.Context, old, t *Token) (*host.Identity, bool, error) {
	attributes := attributeField + old.SessionID
	r, err := s.read(ctx, s.o.Through, old.UserID, old.SessionID, attributes)
	if err != nil {
		return nil, false, err
	}
	if r.session != nil && !old.matches(r.session.Secret) {
		r.session = nil
	}
	if verdict := r.verdict(s.o.Now()); verdict != host.Valid {
		return nil, false, unauthenticated("the session is " + verdict.String())
	}
	sess := *r.session
	sess.Secret = t.secret[:]
	name, fresh := sessionField+old.SessionID, sessionField+t.SessionID
	c := cache.Change{
		If: []cache.Field{{Name: headerField, Value: r.raw[0]}, {Name: name, Value: r.raw[1]},
			{Name: attributes, Value: r.raw[2]}, {Name: fresh}},
		Put:     []cache.Field{{Name: fresh, Value: encode(&sess)}},
		Delete:  []string{name, attributes},
		Expires: time.UnixMilli(sess.Absolute).Add(grace),
	}
	if r.raw[2] != nil {
		c.Put = append(c.Put, cache.Field{Name: attributeField + t.SessionID, Value: r.raw[2]})
	}
	applied, err := s.change(ctx, old.UserID, c)
	return sess.identity(s.o.Realm, t.UserID, t.SessionID), applied, err
}
