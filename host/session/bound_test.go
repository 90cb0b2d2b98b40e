package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/session"
)

// narrow is a driver that keeps no slot larger than etcd does.
type narrow struct{ cache.Driver }

var errTooLarge = errors.New("request is too large")

func (n *narrow) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	all, err := n.All(ctx, slot)
	if err != nil {
		return false, err
	}
	if c.Holds(all) {
		c.Apply(all)
		size := len(slot)
		for name, value := range all {
			size += len(name) + len(value)
		}
		if size > 3<<19 {
			return false, errTooLarge
		}
	}
	return n.Driver.Change(ctx, slot, c)
}

func newNarrow(t *testing.T, full session.WhenFull) *house {
	h := newHouse(t)
	h.spy.Driver = &narrow{h.memory}
	var err error
	h.Store, err = session.New(session.Options{Realm: realm, Cache: h.spy, Now: h.clock.Now, Teller: &teller{}, WhenFull: full})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Who logs in without end does not fill the slot so that nothing can end it: the
// oldest sessions make room, or the login is refused.
func TestManySessionsHinderNoLogout(t *testing.T) {
	for name, full := range map[string]session.WhenFull{"oldest end": session.EndOldest, "refused": session.Refuse} {
		t.Run(name, func(t *testing.T) {
			h := newNarrow(t, full)
			id := h.jwt("alice", 100*time.Hour)
			id.Roles = []string{strings.Repeat("role", 3000)}
			var last string
			refused := 0
			for range 150 {
				token, _, err := h.Create(t.Context(), id, host.Terms{})
				if full == session.Refuse && err != nil {
					wantKind(t, err, host.TooManyRequests)
					refused++
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				last = token
			}
			if (refused > 0) != (full == session.Refuse) {
				t.Errorf("%d logins were refused", refused)
			}
			h.want(last, host.Valid)
			if u, err := h.User(t.Context(), id.UserID); err != nil || u.Sessions < 40 {
				t.Errorf("%d sessions are left, %v", u.Sessions, err)
			}
			if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
				t.Fatal(err)
			}
			h.want(last, host.Revoked)
			h.clock.Pass(time.Hour)
			id.IssuedAt = h.clock.Now()
			h.want(h.create(id), host.Valid) // though nobody has swept
			if err := h.Deactivate(t.Context(), id.UserID, admin); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who logs out one JWT after the other without end does not either.
func TestManyRevocationsHinderNoLogout(t *testing.T) {
	h := newNarrow(t, session.EndOldest)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	for size := 4000; size >= 40; size /= 10 {
		for i := 0; ; i++ {
			one := h.jwt("alice", time.Hour)
			one.TokenKey = fmt.Sprintf("%0*d", size, i)
			if err := h.RevokeToken(t.Context(), one); err != nil {
				wantKind(t, err, host.Unavailable)
				h.wantRevoked(one, false)
				break
			}
		}
	}
	if err := h.Deactivate(t.Context(), id.UserID, admin); err != nil {
		t.Error(err)
	}
	h.want(token, host.Revoked)
}

// Nor do attributes, of however many sessions.
func TestManyAttributesHinderNoLogout(t *testing.T) {
	h := newNarrow(t, session.EndOldest)
	id := h.jwt("alice", time.Hour)
	var all []string
	for range 420 {
		all = append(all, sessionID(t, h.create(id)))
	}
	refused := 0
	for _, one := range all {
		if err := h.SetAttribute(t.Context(), id.UserID, one, "a", strings.Repeat("b", 4000)); err != nil {
			wantKind(t, err, host.Refused)
			refused++
		}
	}
	if refused == 0 || refused == len(all) {
		t.Errorf("%d of %d attributes were refused", refused, len(all))
	}
	if err := h.SetAttribute(t.Context(), id.UserID, all[0], "a", "less"); err != nil {
		t.Errorf("what makes the slot smaller is refused: %v", err)
	}
	if err := h.Deactivate(t.Context(), id.UserID, admin); err != nil {
		t.Error(err)
	}
}
