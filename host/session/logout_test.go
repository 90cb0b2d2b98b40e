package session_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/session"
)

// What was logged out counts nowhere any more: not on the replica that did it,
// nor on another that shares the cache.
func TestAttack25_logged_out_token(t *testing.T) {
	h := newHouse(t)
	replica, err := session.New(session.Options{Realm: realm, Cache: h.memory, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := h.jwt("alice", time.Hour), h.jwt("bob", time.Hour)
	one, two, other := h.create(alice), h.create(alice), h.create(bob)

	for range 2 { // a second time is the same
		if err := h.end(one); err != nil {
			t.Fatal(err)
		}
		h.want(one, host.Unknown)
		if v, err := replica.Resolve(t.Context(), one); err != nil || v.Verdict != host.Unknown {
			t.Errorf("on the other replica: %s, %v", v.Verdict, err)
		}
	}
	h.want(two, host.Valid)
	h.wantRevoked(alice, false)

	if err := h.RevokeToken(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	h.wantRevoked(alice, true)
	if revoked, err := replica.Revoked(t.Context(), alice); err != nil || !revoked {
		t.Errorf("on the other replica: %v, %v", revoked, err)
	}
	if _, _, err := h.Create(t.Context(), alice, host.Terms{}); err == nil {
		t.Error("a JWT that was logged out made a session")
	} else {
		wantKind(t, err, host.Unauthenticated)
	}
	h.want(two, host.Valid)

	newer := h.jwt("alice", time.Hour)
	newer.TokenKey, newer.IssuedAt = "another", h.clock.Now()
	h.wantRevoked(newer, false)
	if err := h.EndAll(t.Context(), alice.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	if id := h.want(two, host.Revoked); id == nil || id.Subject != "alice" {
		t.Errorf("the revoked session names %v", id)
	}
	h.wantRevoked(newer, true)
	if _, _, err := h.Create(t.Context(), newer, host.Terms{}); err == nil {
		t.Error("a JWT from before the logout made a session")
	}
	h.want(other, host.Valid)
	h.wantRevoked(bob, false)

	h.clock.Pass(32 * time.Second) // the leeway, and the second that iat may lack
	after := h.jwt("alice", time.Hour)
	after.IssuedAt = h.clock.Now()
	after.TokenKey = "after"
	h.wantRevoked(after, false)
	h.want(two, host.Revoked)
	h.want(h.create(after), host.Valid)
	h.want(two, host.Unknown) // the login cleaned up
}

// A JWT issued up to the second and the leeway of the logout is out.
func TestNotBefore(t *testing.T) {
	h := newHouse(t)
	if err := h.EndAll(t.Context(), host.UserID(realm, issuer, "alice"), admin, "test"); err != nil {
		t.Fatal(err)
	}
	second := start.Truncate(time.Second).Add(time.Second) // ⌈not_before⌉
	for name, c := range map[string]struct {
		issued time.Time
		leeway time.Duration
		want   bool
	}{
		"long before":              {start.Add(-time.Hour), 0, true},
		"in the same second":       {start.Truncate(time.Second), 0, true},
		"the second after":         {second, 0, true},
		"a moment later":           {second.Add(time.Millisecond), 0, false},
		"within the leeway":        {second.Add(30 * time.Second), 30 * time.Second, true},
		"a moment past the leeway": {second.Add(30*time.Second + time.Millisecond), 30 * time.Second, false},
		"does not say":             {time.Time{}, 0, true},
	} {
		id := h.jwt("alice", time.Hour)
		id.IssuedAt, id.Leeway = c.issued, c.leeway
		if got, err := h.Revoked(t.Context(), id); err != nil || got != c.want {
			t.Errorf("issued %s: Revoked = %v, %v", name, got, err)
		}
	}
	bob := h.jwt("bob", time.Hour)
	bob.IssuedAt = time.Time{}
	h.wantRevoked(bob, false)
}

// A logout everywhere is remembered for as long as any JWT from before it lives.
func TestNotBeforeIsRemembered(t *testing.T) {
	h := newHouse(t, func(o *session.Options) { o.TokenLife = 24*time.Hour + 30*time.Second })
	id := h.jwt("alice", 24*time.Hour)
	if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(24*time.Hour + 29*time.Second)
	h.wantRevoked(id, true)
	h.clock.Pass(2 * time.Hour)
	if n, err := h.memory.All(t.Context(), id.UserID); err != nil || len(n) != 0 {
		t.Errorf("the slot still holds %d fields, %v", len(n), err)
	}
}

func TestRevokeToken(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	if err := h.RevokeToken(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour + 29*time.Second) // within the leeway it would still count
	h.wantRevoked(id, true)

	// One that has ended, leeway and all, is nothing to do.
	ended := h.jwt("bob", -time.Minute)
	h.spy.changes.Store(0)
	if err := h.RevokeToken(t.Context(), ended); err != nil || h.spy.changes.Load() != 0 {
		t.Errorf("an ended JWT: %v, %d writes", err, h.spy.changes.Load())
	}
	inLeeway := h.jwt("bob", -time.Second)
	if err := h.RevokeToken(t.Context(), inLeeway); err != nil {
		t.Error(err)
	}
	h.wantRevoked(inLeeway, true)
	unnamed := h.jwt("bob", time.Hour)
	unnamed.TokenKey = ""
	wantKind(t, h.RevokeToken(t.Context(), unnamed), host.Unavailable)
	h.wantRevoked(unnamed, false)
}

// A login that races a logout fails: whatever the logout ends between the
// login's read and its write, the write is not made.
func TestLoginRacesLogout(t *testing.T) {
	for name, c := range map[string]struct {
		before func(h *house, id *host.Identity) // what the slot holds already
		logout func(h *house, id *host.Identity) error
	}{
		"everywhere, of a user without a slot": {nil, func(h *house, id *host.Identity) error { return h.EndAll(h.t.Context(), id.UserID, admin, "test") }},
		"everywhere, of a user with sessions": {func(h *house, id *host.Identity) { h.create(id) },
			func(h *house, id *host.Identity) error { return h.EndAll(h.t.Context(), id.UserID, admin, "test") }},
		"of this JWT, of a user without a slot": {nil, func(h *house, id *host.Identity) error { return h.RevokeToken(h.t.Context(), id) }},
		"of this JWT, of a user with sessions": {func(h *house, id *host.Identity) { h.create(id) },
			func(h *house, id *host.Identity) error { return h.RevokeToken(h.t.Context(), id) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			id := h.jwt("alice", time.Hour)
			if c.before != nil {
				c.before(h, id)
			}
			h.spy.beforeChange = func() {
				if err := c.logout(h, id); err != nil {
					t.Error(err)
				}
			}
			_, _, err := h.Create(t.Context(), id, host.Terms{})
			if err == nil {
				t.Fatal("the login passed")
			}
			wantKind(t, err, host.Unauthenticated)
		})
	}
}

// Logins and logouts of one user from many goroutines, on a real directory:
// after the last logout not one session counts that was made from a JWT issued
// before it.
func TestLoginsHammeredByLogouts(t *testing.T) {
	driver, err := file.Open(file.Options{Dir: t.TempDir(), LockTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now
	store, err := session.New(session.Options{Realm: realm, Cache: driver, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	id := &host.Identity{Realm: realm, UserID: host.UserID(realm, issuer, "alice"), TokenKey: "k", Expires: now().Add(time.Hour)}
	var made sync.Map
	var logins, refused atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				mine := *id
				mine.IssuedAt = now().Add(time.Minute) // counts whatever was logged out before
				token, _, err := store.Create(t.Context(), &mine, host.Terms{})
				if err != nil {
					if kind, _ := host.Explain(err); kind == host.Unauthenticated {
						refused.Add(1)
						continue
					}
					t.Errorf("Create: %v", err)
					return
				}
				logins.Add(1)
				made.Store(token, true)
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if err := store.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
				t.Errorf("EndAll: %v", err)
			}
		}
	})
	wg.Wait()
	if logins.Load() == 0 || refused.Load() != 0 {
		t.Fatalf("%d logins, %d refused", logins.Load(), refused.Load())
	}
	if err := store.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	made.Range(func(token, _ any) bool {
		if v, err := store.Resolve(t.Context(), token.(string)); err != nil || v.Verdict == host.Valid {
			t.Errorf("a session survived: %s, %v", v.Verdict, err)
		}
		return true
	})
}

// A cache that fails, or holds what cannot be read, is an error and never a
// verdict; nothing is deleted, and all is as before once it is back.
func TestAttack29_cache_error_is_not_a_logout(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	before, err := h.memory.All(t.Context(), id.UserID)
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range []error{errors.New("connection refused"), context.DeadlineExceeded} {
		h.spy.failReads, h.spy.failChanges = failure, failure
		_, err := h.Resolve(t.Context(), token)
		wantKind(t, err, host.Unavailable)
		_, err = h.Revoked(t.Context(), id)
		wantKind(t, err, host.Unavailable)
		_, _, err = h.Create(t.Context(), id, host.Terms{})
		wantKind(t, err, host.Unavailable)
		wantKind(t, h.end(token), host.Unavailable)
		wantKind(t, h.RevokeToken(t.Context(), id), host.Unavailable)
		wantKind(t, h.EndAll(t.Context(), id.UserID, admin, "test"), host.Unavailable)
		h.spy.failReads = nil
		wantKind(t, h.end(token), host.Unavailable)
	}
	h.spy.failChanges = nil
	after, err := h.memory.All(t.Context(), id.UserID)
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the slot changed while the cache was down: %v", err)
	}
	h.want(token, host.Valid)
	h.wantRevoked(id, false)

	parsed, err := session.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"h", "s:" + parsed.SessionID, "r:" + id.TokenKey} {
		for _, damage := range []string{"", "\xff", "\xa0", "\x00", "\xf6", "text"} {
			h.set(id.UserID, field, []byte(damage))
			_, err := h.Resolve(t.Context(), token)
			if field[0] != 'r' {
				wantKind(t, err, host.Unavailable)
			}
			_, err = h.Revoked(t.Context(), id)
			if field[0] != 's' {
				wantKind(t, err, host.Unavailable)
			}
		}
		if was, ok := before[field]; ok {
			h.set(id.UserID, field, was)
		} else if _, err := h.memory.Change(t.Context(), id.UserID, cache.Change{Delete: []string{field}}); err != nil {
			t.Fatal(err)
		}
	}
	h.want(token, host.Valid)
}

func (h *house) set(slot, field string, value []byte) {
	h.t.Helper()
	c := cache.Change{Put: []cache.Field{{Name: field, Value: value}}, Expires: h.clock.Now().Add(time.Hour)}
	if _, err := h.memory.Change(h.t.Context(), slot, c); err != nil {
		h.t.Fatal(err)
	}
}

// A slot that was lost, or lost its header, makes none of its sessions count:
// not now, and not when the user's next login makes the slot anew.
func TestAttack38_slot_lost(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 2*time.Hour)
	token := h.create(id)
	kept, err := h.memory.All(t.Context(), id.UserID)
	if err != nil {
		t.Fatal(err)
	}
	for name, lose := range map[string][]string{"the header": {"h"}, "everything": {"h", "s:" + mustParse(t, token).SessionID}} {
		t.Run(name, func(t *testing.T) {
			if _, err := h.memory.Change(t.Context(), id.UserID, cache.Change{Delete: lose}); err != nil {
				t.Fatal(err)
			}
			h.want(token, host.Unknown)
			fresh := h.create(id)
			h.want(fresh, host.Valid)
			for field, value := range kept {
				if field != "h" { // the old record turns up again
					h.set(id.UserID, field, value)
				}
			}
			h.want(token, host.Revoked)
			h.set(id.UserID, "h", kept["h"])
			h.want(token, host.Valid)
		})
	}
}

func mustParse(t *testing.T, token string) session.Token {
	t.Helper()
	parsed, err := session.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// Somebody who keeps changing the slot makes a change fail in the end, not
// spin for ever.
func TestConflictsAreBounded(t *testing.T) {
	synctest.Test(t, conflictsAreBounded)
}

func conflictsAreBounded(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	restless, err := session.New(session.Options{Realm: realm, Cache: refusing{h.memory}, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = restless.Create(t.Context(), id, host.Terms{})
	wantKind(t, err, host.Unavailable)
	wantKind(t, restless.EndAll(t.Context(), id.UserID, admin, "test"), host.Unavailable)
	_, err = restless.End(t.Context(), h.create(id))
	wantKind(t, err, host.Unavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = restless.Create(ctx, id, host.Terms{})
	wantKind(t, err, host.Unavailable)
}

// refusing is a driver whose conditions never hold.
type refusing struct{ cache.Driver }

func (refusing) Change(context.Context, string, cache.Change) (bool, error) { return false, nil }

// An issuer may give one jti to all JWTs of a login: the logout of one that ends
// sooner must not shorten that of another.
func TestLogoutOfTwoJWTsOfOneJTI(t *testing.T) {
	h := newHouse(t)
	long, short := h.jwt("alice", time.Hour), h.jwt("alice", time.Minute)
	short.TokenKey = long.TokenKey
	for _, id := range []*host.Identity{long, short} {
		if err := h.RevokeToken(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.Pass(2 * time.Minute)
	h.wantRevoked(long, true)
}

// Who only ever logs single JWTs out does not fill the slot: what revoked one that
// has ended is swept, an hour later.
func TestRevocationsAreSwept(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		userID := h.jwt("alice", 0).UserID
		for i := range 48 {
			id := h.jwt("alice", 20*time.Minute)
			id.TokenKey = fmt.Sprint("job ", i)
			if err := h.RevokeToken(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			h.clock.Pass(30 * time.Minute)
			r[1].sweep()
			h.wantRevoked(id, false)
			if n := len(h.fields(userID)); n > 3 {
				t.Fatalf("after %d logouts the slot holds %d revocations", i+1, n)
			}
		}
		h.clock.Pass(2 * time.Hour)
		r[1].sweep()
		if left := h.dueUsers(time.Minute); len(left) != 0 {
			t.Errorf("still on the due-lists: %v", left)
		}
	})
}

// A login cleans up revocations that are over, but not one that is prolonged
// while it does.
func TestLoginRacesProlongedRevocation(t *testing.T) {
	h := newHouse(t)
	first := h.jwt("alice", time.Minute)
	if err := h.RevokeToken(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	h.create(h.other("alice", 100*time.Hour))
	h.clock.Pass(2 * time.Hour)
	second := h.jwt("alice", time.Hour)
	second.TokenKey = first.TokenKey
	h.spy.beforeChange = func() {
		if err := h.RevokeToken(t.Context(), second); err != nil {
			t.Error(err)
		}
	}
	h.create(h.other("alice", time.Hour))
	h.wantRevoked(second, true)
}

// other is another JWT of a user's.
func (h *house) other(subject string, life time.Duration) *host.Identity {
	id := h.jwt(subject, life)
	id.TokenKey = "another of " + subject
	return id
}
