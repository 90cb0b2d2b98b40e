package session_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/session"
)

func limit(n int, full session.WhenFull) func(*session.Options) {
	return func(o *session.Options) { o.MaxSessions, o.WhenFull = n, full }
}

func TestOldestMakesRoom(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		id := h.jwt("alice", time.Hour)
		neighbour := h.create(h.jwt("bob", time.Hour))
		var tokens, ids []string
		for i := range 6 {
			h.clock.Pass(time.Second)
			tokens = append(tokens, r[i%3].create(id))
			ids = append(ids, sessionID(t, tokens[i]))
			if err := h.SetAttribute(t.Context(), id.UserID, ids[i], "a", "b"); err != nil {
				t.Fatal(err)
			}
			if got, want := h.ids(id.UserID), ids[max(0, i-2):]; !slices.Equal(got, want) {
				t.Fatalf("after login %d: %v, want %v", i, got, want)
			}
		}
		h.want(tokens[2], host.Unknown)
		h.want(tokens[3], host.Valid)
		h.want(neighbour, host.Valid)
		if n := len(h.fields(id.UserID)); n != 1+3+3 {
			t.Errorf("%d fields", n)
		}
	}, limit(3, session.EndOldest))
}

func TestLoginBeyondTheLimitIsRefused(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		id := h.jwt("alice", 100*time.Hour)
		one, two := r[1].create(id), r[2].create(id)
		refused := func() {
			t.Helper()
			before := h.fields(id.UserID)
			_, _, err := h.Create(t.Context(), id, host.Terms{})
			wantKind(t, err, host.TooManyRequests)
			if _, public := host.Explain(err); public != "session_limit" {
				t.Errorf("told %q", public)
			}
			if after := h.fields(id.UserID); !slices.Equal(before, after) {
				t.Errorf("the slot holds %q, it held %q", after, before)
			}
		}
		refused()
		h.want(one, host.Valid)
		h.want(two, host.Valid)
		h.create(h.jwt("bob", time.Hour))

		if err := h.end(one); err != nil {
			t.Fatal(err)
		}
		h.create(id)
		refused()
		if _, _, err := h.Rotate(t.Context(), two); err != nil {
			t.Errorf("a rotation is no login: %v", err)
		}
		refused()
		h.clock.Pass(8*time.Hour + time.Second) // what expired does not count, swept or not
		h.create(id)
		h.create(id)
		refused()
		if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
		h.clock.Pass(time.Minute)
		h.create(h.later(id)) // nor does what was logged out
	}, limit(2, session.Refuse))
}

// later is the same user's JWT, issued now.
func (h *house) later(id *host.Identity) *host.Identity {
	fresh := *id
	fresh.IssuedAt, fresh.TokenKey = h.clock.Now(), "later"
	return &fresh
}

// However many log in at once, and while tokens are rotated, a user never has
// more sessions than are allowed.
func TestLimitHammered(t *testing.T) {
	for name, full := range map[string]session.WhenFull{"end oldest": session.EndOldest, "refuse": session.Refuse} {
		t.Run(name, func(t *testing.T) {
			onReplicas(t, func(t *testing.T, r []*house) {
				id := r[0].jwt("alice", time.Hour)
				var wg sync.WaitGroup
				for _, h := range r {
					for range 2 {
						wg.Go(func() {
							for range 10 {
								token, _, err := h.Create(t.Context(), id, host.Terms{})
								if kind, _ := host.Explain(err); err != nil && (full == session.EndOldest || kind != host.TooManyRequests) {
									t.Errorf("login: %v", err)
								}
								if err == nil {
									if _, _, err := h.Rotate(t.Context(), token); err != nil {
										if kind, _ := host.Explain(err); kind != host.Unauthenticated {
											t.Errorf("rotation: %v", err)
										}
									}
								}
								if u, err := h.User(t.Context(), id.UserID); err != nil || u.Sessions > 4 {
									t.Errorf("%d sessions, %v", u.Sessions, err)
								}
							}
						})
					}
				}
				wg.Wait()
				r[0].wantUser(id.UserID, host.User{Active: true, Sessions: 4})
			}, limit(4, full))
		})
	}
}
