package session_test

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/session"
)

func TestRotate(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h, ctx := r[0], t.Context()
		id := h.jwt("alice", 10*time.Hour)
		token := h.create(id)
		if err := h.SetAttribute(ctx, id.UserID, sessionID(t, token), "a", "b"); err != nil {
			t.Fatal(err)
		}
		neighbour := h.create(id)
		h.clock.Pass(time.Hour)
		was := h.want(token, host.Valid)
		before, _, err := h.List(ctx, id.UserID, host.Page{})
		if err != nil {
			t.Fatal(err)
		}
		h.clock.Pass(time.Minute)
		fresh, now, err := r[1].Rotate(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := h.List(ctx, id.UserID, host.Page{})
		if err != nil || len(after) != 2 {
			t.Fatal(after, err)
		}
		if fresh == token || now.SessionID == was.SessionID || now.SessionID != sessionID(t, fresh) || now.UserID != was.UserID ||
			!now.Expires.Equal(was.Expires) || now.Subject != "alice" || !slices.Equal(now.Roles, was.Roles) {
			t.Errorf("rotated from %+v to %+v", was, now)
		}
		h.want(token, host.Unknown)
		h.want(swapSecret(t, fresh, token), host.Unknown)
		h.want(swapSecret(t, token, fresh), host.Unknown)
		h.want(fresh, host.Valid)
		h.want(neighbour, host.Valid)
		if got, err := h.Attributes(ctx, id.UserID, now.SessionID); err != nil || !maps.Equal(got, map[string]string{"a": "b"}) {
			t.Errorf("attributes %v, %v", got, err)
		}
		for _, i := range before {
			if i.ID == was.SessionID {
				i.ID = now.SessionID
			}
			if !slices.Contains(after, i) {
				t.Errorf("%+v became %+v", before, after)
			}
		}
		if n := len(h.fields(id.UserID)); n != 1+2+1 {
			t.Errorf("%d fields", n)
		}
		h.clock.Pass(9 * time.Hour) // its end is found though nobody put it on a list
		h.sweep()
		if left := h.fields(id.UserID); len(left) != 0 {
			t.Errorf("left over: %q", left)
		}
	})
}

func TestRotateRefused(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 100*time.Hour)
	ended, out, expired := h.create(id), h.create(h.jwt("bob", time.Hour)), h.create(h.jwt("carol", time.Hour))
	if err := h.end(ended); err != nil {
		t.Fatal(err)
	}
	if err := h.EndAll(t.Context(), host.UserID(realm, issuer, "bob"), admin, "test"); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	live := h.create(id)
	h.spy.changes.Store(0)
	for what, token := range map[string]string{
		"nothing": "", "garbage": "ahs_x", "ended": ended, "logged out everywhere": out, "expired": expired,
		"of another secret": swapSecret(t, live, ended), "an access token": "aht_" + live[4:],
	} {
		fresh, who, err := h.Rotate(t.Context(), token)
		if err == nil || fresh != "" || who != nil {
			t.Errorf("%s: rotated", what)
			continue
		}
		wantKind(t, err, host.Unauthenticated)
	}
	if n := h.spy.changes.Load(); n != 0 {
		t.Errorf("%d writes", n)
	}
	h.want(live, host.Valid)
	h.spy.failChanges = errDown
	_, _, err := h.Rotate(t.Context(), live)
	wantKind(t, err, host.Unavailable)
	h.spy.failChanges = nil
	h.want(live, host.Valid)
}

// Of several that rotate one token at once, one wins, and one session is left.
func TestRotationRace(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		id := r[0].jwt("alice", time.Hour)
		for range 10 {
			token := r[0].create(id)
			var mu sync.Mutex
			var won []string
			var wg sync.WaitGroup
			for _, h := range r {
				for range 2 {
					wg.Go(func() {
						fresh, _, err := h.Rotate(t.Context(), token)
						if err == nil {
							mu.Lock()
							won = append(won, fresh)
							mu.Unlock()
						} else if kind, _ := host.Explain(err); kind != host.Unauthenticated {
							t.Errorf("a loser is told %v", err)
						}
					})
				}
			}
			wg.Wait()
			if len(won) != 1 {
				t.Fatalf("%d rotations won", len(won))
			}
			r[1].want(won[0], host.Valid)
			r[1].want(token, host.Unknown)
			if n := len(r[2].ids(id.UserID)); n != 1 {
				t.Errorf("%d sessions", n)
			}
			if err := r[2].end(won[0]); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What comes between a rotation's read and its write is not undone by it.
func TestRotationRaces(t *testing.T) {
	for what, c := range map[string]struct {
		between func(h *house, token string, id *host.Identity) error
		rotated bool
	}{
		"a logout": {func(h *house, token string, _ *host.Identity) error { return h.end(token) }, false},
		"a logout everywhere": {func(h *house, _ string, id *host.Identity) error {
			return h.EndAll(h.t.Context(), id.UserID, admin, "test")
		}, false},
		"a deactivation": {func(h *house, _ string, id *host.Identity) error {
			return h.Deactivate(h.t.Context(), id.UserID, admin)
		}, false},
		"a touch": {func(h *house, token string, _ *host.Identity) error {
			v, err := h.Resolve(h.t.Context(), token)
			if v.Verdict != host.Valid {
				h.t.Errorf("%s", v.Verdict)
			}
			return err
		}, true},
		"a login": {func(h *house, _ string, id *host.Identity) error { h.create(id); return nil }, true},
		"an attribute": {func(h *house, token string, id *host.Identity) error {
			return h.SetAttribute(h.t.Context(), id.UserID, sessionID(h.t, token), "a", "new")
		}, true},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t, limit(2, session.EndOldest))
			id := h.jwt("alice", 10*time.Hour)
			token := h.create(id)
			if err := h.SetAttribute(t.Context(), id.UserID, sessionID(t, token), "a", "old"); err != nil {
				t.Fatal(err)
			}
			h.clock.Pass(time.Hour)
			h.spy.beforeChange = func() {
				if err := c.between(h, token, id); err != nil {
					t.Error(err)
				}
			}
			fresh, _, err := h.Rotate(t.Context(), token)
			if !c.rotated {
				wantKind(t, err, host.Unauthenticated)
				if ids := h.ids(id.UserID); len(ids) != 0 {
					t.Errorf("sessions %v", ids)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			h.want(fresh, host.Valid)
			want := "old"
			if what == "an attribute" {
				want = "new"
			}
			if got, err := h.Attributes(t.Context(), id.UserID, sessionID(t, fresh)); err != nil || got["a"] != want {
				t.Errorf("attributes %v, %v", got, err)
			}
		})
	}
}
