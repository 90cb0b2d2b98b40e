package session_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/session"
)

// onReplicas runs a test with three replicas of authhost on one cache, in
// memory and in a directory. Each has a store, a sweeper and a way of its own
// to the cache.
func onReplicas(t *testing.T, run func(t *testing.T, r []*house), change ...func(*session.Options)) {
	for _, kind := range []string{"memory", "file"} {
		t.Run(kind, func(t *testing.T) {
			clock := cachetest.NewClock(start)
			mem, dir := memory.New(clock.Now), t.TempDir()
			var list []*house
			for range 3 {
				var d cache.Driver = mem
				if kind == "file" {
					var err error
					if d, err = file.Open(file.Options{Dir: dir, Now: clock.Now, LockTimeout: time.Minute}); err != nil {
						t.Fatal(err)
					}
				}
				h := &house{t: t, clock: clock, spy: &spy{Driver: d}}
				if kind == "memory" {
					h.memory = mem
				}
				o := session.Options{Realm: realm, Cache: h.spy, Now: clock.Now}
				for _, f := range change {
					f(&o)
				}
				var err error
				if h.Store, err = session.New(o); err != nil {
					t.Fatal(err)
				}
				h.sweeper = newSweeper(t, h.spy, clock, o.Teller)
				list = append(list, h)
			}
			run(t, list)
		})
	}
}

func newSweeper(t testing.TB, d cache.Driver, clock *cachetest.Clock, teller session.Teller) *session.Sweeper {
	t.Helper()
	w, err := session.NewSweeper(session.SweeperOptions{Cache: d, Now: clock.Now, Teller: teller})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sweep makes one round and returns how many users were due.
func (h *house) sweep() int {
	h.t.Helper()
	n, err := h.sweeper.Round(h.t.Context())
	if err != nil {
		h.t.Error(err)
	}
	return n
}

// ids returns the public ids of a user's live sessions, as List shows them.
func (h *house) ids(userID string) []string {
	h.t.Helper()
	items, next, err := h.List(h.t.Context(), userID, host.Page{})
	if err != nil || next != "" {
		h.t.Fatal(next, err)
	}
	ids := []string{}
	for _, i := range items {
		ids = append(ids, i.ID)
	}
	return ids
}

// SetAttribute makes a live session remember value under name.
func (h *house) SetAttribute(ctx context.Context, userID, sessionID, name, value string) error {
	return h.ChangeAttributes(ctx, userID, sessionID, func(attributes map[string]string) error {
		attributes[name] = value
		return nil
	})
}

// fields returns the names of the fields that a slot holds.
func (h *house) fields(userID string) []string {
	h.t.Helper()
	all, err := h.spy.Driver.All(h.t.Context(), userID)
	if err != nil {
		h.t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(all))
}

func (h *house) wantUser(userID string, want host.User) {
	h.t.Helper()
	if got, err := h.User(h.t.Context(), userID); err != nil || got != want {
		h.t.Errorf("user %+v, %v, want %+v", got, err, want)
	}
}

func sessionID(t testing.TB, token string) string {
	t.Helper()
	parsed, err := session.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.SessionID
}

// Whatever one replica does, the others know at once.
func TestReplicas(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		ctx := t.Context()
		id := r[0].jwt("alice", 10*time.Hour)
		token := r[0].create(id)
		sid := sessionID(t, token)
		r[1].want(token, host.Valid)
		r[2].wantUser(id.UserID, host.User{Active: true, Sessions: 1})

		if err := r[1].SetAttribute(ctx, id.UserID, sid, "theme", "dark"); err != nil {
			t.Fatal(err)
		}
		r[0].clock.Pass(time.Hour)
		r[2].want(token, host.Valid) // and is touched
		items, _, err := r[0].List(ctx, id.UserID, host.Page{})
		if err != nil || len(items) != 1 || !items[0].LastSeenAt.Equal(r[0].clock.Now().Truncate(time.Millisecond)) {
			t.Fatalf("listed as %+v, %v", items, err)
		}

		fresh, who, err := r[2].Rotate(ctx, token)
		if err != nil || who.UserID != id.UserID {
			t.Fatal(who, err)
		}
		r[0].want(token, host.Unknown)
		r[1].want(fresh, host.Valid)
		if got, err := r[0].Attributes(ctx, id.UserID, sessionID(t, fresh)); err != nil || got["theme"] != "dark" {
			t.Errorf("attributes %v, %v", got, err)
		}

		if found, err := r[1].EndSession(ctx, id.UserID, sessionID(t, fresh), admin); err != nil || !found {
			t.Fatal(found, err)
		}
		r[0].want(fresh, host.Unknown)
		if found, err := r[2].EndSession(ctx, id.UserID, sessionID(t, fresh), admin); err != nil || found {
			t.Errorf("ended twice: %v, %v", found, err)
		}

		one, two := r[1].create(id), r[2].create(id)
		if err := r[0].EndAll(ctx, id.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
		for _, h := range r {
			h.want(one, host.Revoked)
			h.want(two, host.Revoked)
			h.wantRevoked(id, true)
			h.wantUser(id.UserID, host.User{Active: true})
			if ids := h.ids(id.UserID); len(ids) != 0 {
				t.Errorf("still listed: %v", ids)
			}
		}
	})
}

// Before the one write everything is as it was, and after it everything is out,
// whoever dies; what is left over another replica cleans up.
func TestLogoutFailsBeforeOrAfterItsWrite(t *testing.T) {
	for name, end := range map[string]func(h *house, userID string) error{
		"logout":     func(h *house, userID string) error { return h.EndAll(h.t.Context(), userID, admin, "test") },
		"deactivate": func(h *house, userID string) error { return h.Deactivate(h.t.Context(), userID, admin) },
	} {
		t.Run(name, func(t *testing.T) {
			onReplicas(t, func(t *testing.T, r []*house) {
				id := r[0].jwt("alice", time.Hour)
				one, two := r[0].create(id), r[1].create(id)
				neighbour := r[0].create(r[0].jwt("bob", time.Hour))
				if err := r[0].SetAttribute(t.Context(), id.UserID, sessionID(t, one), "a", "b"); err != nil {
					t.Fatal(err)
				}
				before := r[0].fields(id.UserID)
				for what, fail := range map[string]*error{"due-list": &r[0].spy.failDue, "write": &r[0].spy.failChanges, "read": &r[0].spy.failReads} {
					*fail = errors.New("connection reset")
					wantKind(t, end(r[0], id.UserID), host.Unavailable)
					*fail = nil
					for _, h := range r {
						h.want(one, host.Valid)
						h.want(two, host.Valid)
						h.wantRevoked(id, false)
						h.wantUser(id.UserID, host.User{Active: true, Sessions: 2})
					}
					if after := r[0].fields(id.UserID); !slices.Equal(before, after) {
						t.Errorf("%s failed: the slot holds %q, it held %q", what, after, before)
					}
				}

				r[0].spy.loseAck = errors.New("killed") // and is heard of no more
				wantKind(t, end(r[0], id.UserID), host.Unavailable)
				for _, h := range r[1:] {
					h.want(one, host.Revoked)
					h.want(two, host.Revoked)
					h.wantRevoked(id, true)
				}
				r[0].clock.Pass(5 * time.Second)
				if r[2].sweep() == 0 {
					t.Error("nobody is due")
				}
				if left := r[1].fields(id.UserID); !slices.Equal(left, []string{"h"}) {
					t.Errorf("left over: %q", left)
				}
				r[1].want(one, host.Unknown)
				r[1].wantRevoked(id, true)
				r[1].want(neighbour, host.Valid)
				if err := end(r[1], id.UserID); err != nil {
					t.Errorf("again: %v", err)
				}
			})
		})
	}
}

// A login on one replica that races a logout everywhere on another either comes
// to nothing or is ended by it.
func TestReplicasHammered(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		id := r[0].jwt("alice", time.Hour)
		id.IssuedAt = r[0].clock.Now().Add(time.Hour) // counts, whatever was logged out before
		tokens := make(chan string, 1000)
		done := make(chan struct{})
		for i, h := range r {
			go func() {
				defer func() { done <- struct{}{} }()
				for n := range 20 {
					token, _, err := h.Create(t.Context(), id, host.Terms{})
					if err != nil {
						t.Errorf("replica %d: %v", i, err)
						return
					}
					tokens <- token
					if n%5 == 4 {
						if fresh, _, err := h.Rotate(t.Context(), token); err == nil {
							tokens <- fresh
						} else if kind, _ := host.Explain(err); kind != host.Unauthenticated {
							t.Errorf("replica %d: rotate: %v", i, err)
						}
						if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
							t.Errorf("replica %d: logout: %v", i, err)
						}
					}
					if n%7 == 6 {
						if _, err := h.sweeper.Round(t.Context()); err != nil {
							t.Errorf("replica %d: sweep: %v", i, err)
						}
					}
				}
			}()
		}
		for range r {
			<-done
		}
		close(tokens)
		if err := r[1].EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
		for token := range tokens {
			if v, err := r[2].Resolve(t.Context(), token); err != nil || v.Verdict == host.Valid {
				t.Fatalf("a session survived: %s, %v", v.Verdict, err)
			}
		}
	})
}
