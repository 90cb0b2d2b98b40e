package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/session"
)

func TestList(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		id := h.jwt("alice", 100*time.Hour)
		if ids := h.ids(id.UserID); len(ids) != 0 {
			t.Errorf("before any login: %v", ids)
		}
		h.wantUser(id.UserID, host.User{Active: true})

		first := h.create(id)
		h.create(h.jwt("bob", time.Hour))
		h.clock.Pass(time.Hour)
		second := h.create(id)
		h.clock.Pass(4 * time.Hour)
		h.want(first, host.Valid) // and is touched
		third := h.create(id)
		items, next, err := r[1].List(t.Context(), id.UserID, host.Page{})
		if err != nil || next != "" || len(items) != 3 {
			t.Fatalf("%+v, %q, %v", items, next, err)
		}
		began := start.Truncate(time.Millisecond)
		if want := (host.SessionInfo{ID: sessionID(t, first), CreatedAt: began, LastSeenAt: began.Add(5 * time.Hour),
			IdleExpiresAt: began.Add(13 * time.Hour), ExpiresAt: began.Add(24 * time.Hour)}); items[0] != want {
			t.Errorf("the first is %+v, want %+v", items[0], want)
		}
		if ids := h.ids(id.UserID); !slices.Equal(ids, []string{sessionID(t, first), sessionID(t, second), sessionID(t, third)}) {
			t.Errorf("listed in another order: %v", ids)
		}

		h.clock.Pass(4*time.Hour + time.Second) // the second has lain unused too long; nobody asked
		if ids := h.ids(id.UserID); !slices.Equal(ids, []string{sessionID(t, first), sessionID(t, third)}) {
			t.Errorf("with one expired: %v", ids)
		}
		h.wantUser(id.UserID, host.User{Active: true, Sessions: 2})
		if err := h.end(third); err != nil {
			t.Fatal(err)
		}
		if ids := h.ids(id.UserID); !slices.Equal(ids, []string{sessionID(t, first)}) {
			t.Errorf("with one logged out: %v", ids)
		}
		if n := len(r[2].ids(host.UserID(realm, issuer, "bob"))); n != 0 {
			t.Errorf("Bob has %d sessions", n)
		}
	})
}

// Page by page every session that is there throughout is shown once, whatever
// comes and goes meanwhile; and a user is listed by one read.
func TestListPages(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 100*time.Hour)
	var want []string
	for i := range 25 {
		want = append(want, sessionID(t, h.create(id)))
		if i%3 == 0 {
			h.clock.Pass(time.Millisecond) // others begin at one moment
		}
	}
	whole := h.ids(id.UserID)
	if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(whole)), want) {
		t.Fatalf("the whole list is %v", whole)
	}
	var seen []string
	page := host.Page{Limit: 4}
	for n := 0; ; n++ {
		h.spy.reads.Store(0)
		items, next, err := h.List(t.Context(), id.UserID, page)
		if err != nil || len(items) > 4 || len(items) == 0 {
			t.Fatal(items, err)
		}
		if h.spy.reads.Load() != 1 {
			t.Errorf("%d reads", h.spy.reads.Load())
		}
		for _, i := range items {
			seen = append(seen, i.ID)
		}
		if n == 1 { // the one that the token names, and one of those to come
			for _, gone := range []string{items[3].ID, whole[20]} {
				if found, err := h.EndSession(t.Context(), id.UserID, gone, admin); err != nil || !found {
					t.Fatal(found, err)
				}
			}
		}
		if page.Token = next; next == "" {
			break
		}
	}
	if whole = slices.Delete(whole, 20, 21); !slices.Equal(seen, whole) {
		t.Errorf("seen  %v\nwhole %v", seen, whole)
	}
	for limit, want := range map[int]int{0: 23, -1: 23, 23: 23, 22: 22, 5000: 23} {
		items, next, err := h.List(t.Context(), id.UserID, host.Page{Limit: limit})
		if err != nil || len(items) != want || (next == "") != (want == 23) {
			t.Errorf("limit %d: %d items, next %q, %v", limit, len(items), next, err)
		}
	}
	made, err := h.memory.Get(t.Context(), id.UserID, "s:"+whole[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		h.set(id.UserID, "s:ses_"+strings.Repeat("a", 21)+string(rune('a'+i/100))+string(rune('a'+i/10%10))+string(rune('a'+i%10)), made[0])
	}
	for limit, want := range map[int]int{0: 100, 1000: 1000, 5000: 1000} {
		if items, next, err := h.List(t.Context(), id.UserID, host.Page{Limit: limit}); err != nil || len(items) != want || next == "" {
			t.Errorf("limit %d: %d items, next %q, %v", limit, len(items), next, err)
		}
	}
}

func TestBadPageTokens(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	sid := sessionID(t, h.create(id))
	h.spy.reads.Store(0)
	for _, token := range []string{"x", ".", "1", "1.", ".ses_", sid, "1." + sid + "a", "1.usr_" + sid[4:], "1.x." + sid, "1e3." + sid,
		"99999999999999999999." + sid, "1." + upper(sid), "1.ses_\n" + sid[5:], "1.ses_../../../etc/passwd0000"} {
		_, _, err := h.List(t.Context(), id.UserID, host.Page{Token: token})
		wantKind(t, err, host.BadRequest)
		if _, public := host.Explain(err); public != "bad_page_token" {
			t.Errorf("%q: told %q", token, public)
		}
	}
	if h.spy.reads.Load() != 0 {
		t.Error("a bad token was worth a read")
	}
	if items, _, err := h.List(t.Context(), id.UserID, host.Page{Token: "-5." + sid}); err != nil || len(items) != 1 {
		t.Errorf("a token of before everything: %v, %v", items, err)
	}
}

func FuzzListPage(f *testing.F) {
	h := newHouse(f)
	id := h.jwt("alice", time.Hour)
	sid := sessionID(f, h.create(id))
	for _, s := range []string{"", "1." + sid, "9999999999999." + sid, "1", "." + sid, "x.y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		items, next, err := h.List(t.Context(), id.UserID, host.Page{Token: token})
		if err != nil {
			if kind, _ := host.Explain(err); kind != host.BadRequest || len(items) != 0 {
				t.Errorf("%d items, %v", len(items), err)
			}
		} else if len(items) > 1 || next != "" {
			t.Errorf("%v, next %q", items, next)
		}
	})
}

func TestEndSession(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		id, bob := h.jwt("alice", 100*time.Hour), h.jwt("bob", 100*time.Hour)
		one, two, other := h.create(id), h.create(id), h.create(bob)
		if err := h.SetAttribute(t.Context(), id.UserID, sessionID(t, one), "a", "b"); err != nil {
			t.Fatal(err)
		}
		end := func(userID, sid string) bool {
			found, err := r[1].EndSession(t.Context(), userID, sid, admin)
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		for _, sid := range []string{"", "ses_", "h", "../h", "ses_" + upper(sessionID(t, one)[4:]), sessionID(t, other), "ses_aaaaaaaaaaaaaaaaaaaaaaaa"} {
			if end(id.UserID, sid) {
				t.Errorf("%q was found", sid)
			}
		}
		h.want(other, host.Valid)
		if !end(id.UserID, sessionID(t, one)) || end(id.UserID, sessionID(t, one)) {
			t.Error("not ended once")
		}
		h.want(one, host.Unknown)
		h.want(two, host.Valid)
		if left := h.fields(id.UserID); !slices.Equal(left, []string{"h", "s:" + sessionID(t, two)}) {
			t.Errorf("left over: %q", left)
		}
		h.clock.Pass(9 * time.Hour)
		if end(id.UserID, sessionID(t, two)) {
			t.Error("an expired session was found")
		}
		if err := h.EndAll(t.Context(), bob.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
		if end(bob.UserID, sessionID(t, other)) {
			t.Error("a session that was logged out was found")
		}
	})
}

// asking notes whether a change was more than a question.
type asking struct {
	cache.Driver
	questions, changes int
}

func (a *asking) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	if a.questions++; len(c.Put)+len(c.Delete) > 0 || !c.Expires.IsZero() {
		a.changes++
	}
	return a.Driver.Change(ctx, slot, c)
}

// The logout of a token that was made up changes nothing, whoever's it claims
// to be; it asks the cache no more than whether what was read holds, since the
// token may be of a session whose end was not acknowledged.
func TestLogoutOfMadeUpTokens(t *testing.T) {
	h, elsewhere := newHouse(t), newHouse(t)
	token := h.create(h.jwt("alice", time.Hour))
	watched := &asking{Driver: h.memory}
	s, err := session.New(session.Options{Realm: realm, Cache: watched, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string]string{
		"of a user with a session":     elsewhere.create(elsewhere.jwt("alice", time.Hour)),
		"of a user without a slot":     elsewhere.create(elsewhere.jwt("bob", time.Hour)),
		"of a session, by its id":      swapSecret(t, token, elsewhere.create(elsewhere.jwt("alice", time.Hour))),
		"of a session nobody ever had": forge(t, elsewhere.create(elsewhere.jwt("bob", time.Hour)), token),
	} {
		if v, err := s.End(t.Context(), forged); v.Verdict != host.Unknown || err != nil {
			t.Errorf("%s: %s, %v", name, v.Verdict, err)
		}
	}
	if watched.changes != 0 || watched.questions != 3 {
		t.Errorf("%d changes, %d questions", watched.changes, watched.questions-watched.changes)
	}
	h.want(token, host.Valid)
}

// An id of another realm's user never reaches that user's slot.
func TestAttack41_foreign_user_id(t *testing.T) {
	h := newHouse(t)
	other, err := session.New(session.Options{Realm: "other", Cache: h.memory, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	id := h.jwt("alice", time.Hour)
	id.Realm, id.UserID = "other", host.UserID("other", issuer, "alice")
	token, _, err := other.Create(t.Context(), id, host.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	sid := sessionID(t, token)
	h.spy.reads.Store(0)
	h.spy.changes.Store(0)
	ctx := t.Context()
	for what, do := range map[string]func(userID string) error{
		"List":       func(u string) error { _, _, err := h.List(ctx, u, host.Page{}); return err },
		"User":       func(u string) error { _, err := h.User(ctx, u); return err },
		"EndSession": func(u string) error { _, err := h.EndSession(ctx, u, sid, admin); return err },
		"EndAll":     func(u string) error { return h.EndAll(ctx, u, operator, "test") },
		"Deactivate": func(u string) error { return h.Deactivate(ctx, u, operator) },
		"Activate":   func(u string) error { return h.Activate(ctx, u, operator) },
		"Attributes": func(u string) error { _, err := h.Attributes(ctx, u, sid); return err },
		"SetAttribute": func(u string) error {
			return h.SetAttribute(ctx, u, sid, "a", "b")
		},
	} {
		for _, userID := range []string{id.UserID, "", "alice", "usr_", "usr_../../etc"} {
			err := do(userID)
			if err == nil {
				t.Errorf("%s of %q passed", what, userID)
				continue
			}
			wantKind(t, err, host.Unavailable)
		}
	}
	if _, _, err := h.Rotate(ctx, token); err == nil {
		t.Error("another realm's session was rotated")
	} else {
		wantKind(t, err, host.Unauthenticated)
	}
	if v, err := h.End(ctx, token); err != nil || v.Verdict != host.Unknown {
		t.Errorf("another realm's session: %s, %v", v.Verdict, err)
	}
	if n := h.spy.reads.Load() + h.spy.changes.Load(); n != 0 {
		t.Errorf("%d calls reached the cache", n)
	}
	if v, err := other.Resolve(ctx, token); err != nil || v.Verdict != host.Valid {
		t.Errorf("the other realm's session is %s, %v", v.Verdict, err)
	}
}

// A deactivated user is out, by session and by JWT, and gets in by neither,
// until somebody who may says otherwise.
func TestDeactivate(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h, ctx := r[0], t.Context()
		id := h.jwt("alice", 100*time.Hour)
		token := h.create(id)
		neighbour := h.create(h.jwt("bob", 100*time.Hour))
		for range 2 {
			if err := r[1].Deactivate(ctx, id.UserID, admin); err != nil {
				t.Fatal(err)
			}
		}
		later := h.jwt("alice", 100*time.Hour)
		later.IssuedAt, later.TokenKey = h.clock.Now().Add(time.Hour), "later"
		for _, h := range r {
			h.want(token, host.Revoked)
			h.wantRevoked(id, true)
			h.wantRevoked(later, true)
			h.wantUser(id.UserID, host.User{DeactivatedBy: host.RealmAdmin})
			_, _, err := h.Create(ctx, later, host.Terms{})
			wantKind(t, err, host.Unauthenticated)
			_, _, err = h.Rotate(ctx, token)
			wantKind(t, err, host.Unauthenticated)
			wantKind(t, h.SetAttribute(ctx, id.UserID, sessionID(t, token), "a", "b"), host.NotFound)
		}
		if err := h.EndAll(ctx, id.UserID, admin, "test"); err != nil { // does not give access back
			t.Fatal(err)
		}
		h.wantUser(id.UserID, host.User{DeactivatedBy: host.RealmAdmin})

		h.clock.Pass(2 * time.Hour)
		for range 2 {
			if err := r[2].Activate(ctx, id.UserID, admin); err != nil {
				t.Fatal(err)
			}
		}
		h.wantUser(id.UserID, host.User{Active: true})
		h.want(token, host.Revoked)
		h.wantRevoked(id, true)
		after := h.jwt("alice", time.Hour)
		after.TokenKey = "after"
		h.wantRevoked(after, false)
		h.want(h.create(after), host.Valid)
		h.want(neighbour, host.Valid)
	})
}

func TestWhoMayActivate(t *testing.T) {
	self := host.Actor{Rank: host.Self, ID: "usr_self"}
	for _, c := range []struct {
		deactivate []host.Actor // one after another
		activate   host.Actor
		kind       host.Kind // host.Allowed: it may
		by         host.Rank
	}{
		{[]host.Actor{admin}, admin, host.Allowed, host.RealmAdmin},
		{[]host.Actor{admin}, operator, host.Allowed, host.RealmAdmin},
		{[]host.Actor{operator}, operator, host.Allowed, host.Operator},
		{[]host.Actor{operator}, admin, host.Forbidden, host.Operator},
		{[]host.Actor{admin, operator}, admin, host.Forbidden, host.Operator},
		{[]host.Actor{operator, admin}, admin, host.Forbidden, host.Operator},
		{[]host.Actor{admin}, self, host.Forbidden, host.RealmAdmin},
		{[]host.Actor{admin}, host.Actor{}, host.Forbidden, host.RealmAdmin},
		{nil, admin, host.Allowed, host.Nobody},
		{nil, self, host.Forbidden, host.Nobody},
	} {
		h := newHouse(t)
		id := h.jwt("alice", time.Hour)
		for _, by := range c.deactivate {
			if err := h.Deactivate(t.Context(), id.UserID, by); err != nil {
				t.Fatal(err)
			}
		}
		h.wantUser(id.UserID, host.User{Active: c.deactivate == nil, DeactivatedBy: c.by})
		err := h.Activate(t.Context(), id.UserID, c.activate)
		if c.kind == host.Allowed {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			h.wantUser(id.UserID, host.User{Active: true})
			continue
		}
		wantKind(t, err, c.kind)
		h.wantUser(id.UserID, host.User{Active: c.deactivate == nil, DeactivatedBy: c.by})
	}
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	for _, by := range []host.Actor{self, {}} {
		wantKind(t, h.Deactivate(t.Context(), id.UserID, by), host.Forbidden)
	}
	h.want(token, host.Valid)
	if h.Activate(t.Context(), host.UserID(realm, issuer, "nobody"), admin) != nil || h.memory.Len() != 1 {
		t.Error("activating a user without a slot made one")
	}
}

// The flag stands for as long as nobody takes it away; then the slot goes, once
// what it judges has ended.
func TestDeactivatedIsRemembered(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	h.create(id)
	if err := h.Deactivate(t.Context(), id.UserID, operator); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		h.clock.Pass(5 * 365 * 24 * time.Hour)
		h.sweep()
		h.wantUser(id.UserID, host.User{DeactivatedBy: host.Operator})
		h.wantRevoked(h.jwt("alice", time.Hour), true)
	}
	if err := h.Activate(t.Context(), id.UserID, operator); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Minute)
	if h.sweep() == 0 {
		t.Error("the slot was not looked at")
	}
	if left := h.fields(id.UserID); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}

	// Activated sooner, what was logged out before is still remembered.
	if err := h.Deactivate(t.Context(), id.UserID, operator); err != nil {
		t.Fatal(err)
	}
	before := h.jwt("alice", 24*time.Hour)
	if err := h.Activate(t.Context(), id.UserID, operator); err != nil {
		t.Fatal(err)
	}
	for range 24 {
		h.clock.Pass(time.Hour)
		h.sweep()
		h.wantRevoked(before, true)
	}
	h.clock.Pass(3 * time.Hour)
	h.sweep()
	if left := h.fields(id.UserID); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}

// A record that cannot be read is nothing to be silent about.
func TestDamagedSlotIsNotListed(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	sid := sessionID(t, h.create(id))
	for _, field := range []string{"s:" + sid, "h"} {
		h.set(id.UserID, field, []byte("\xff"))
		_, _, err := h.List(t.Context(), id.UserID, host.Page{})
		wantKind(t, err, host.Unavailable)
		_, err = h.User(t.Context(), id.UserID)
		wantKind(t, err, host.Unavailable)
	}
	wantKind(t, h.EndAll(t.Context(), id.UserID, admin, "test"), host.Unavailable)
	wantKind(t, h.Deactivate(t.Context(), id.UserID, admin), host.Unavailable)
}

// Every operation says Unavailable while the cache is away, and nothing has
// changed afterwards.
func TestAttack29_no_operation_survives_an_outage(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	sid, before := sessionID(t, token), slot(t, h, id.UserID)
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"List":         func() error { _, _, err := h.List(ctx, id.UserID, host.Page{}); return err },
		"User":         func() error { _, err := h.User(ctx, id.UserID); return err },
		"EndSession":   func() error { _, err := h.EndSession(ctx, id.UserID, sid, admin); return err },
		"EndAll":       func() error { return h.EndAll(ctx, id.UserID, admin, "test") },
		"Deactivate":   func() error { return h.Deactivate(ctx, id.UserID, admin) },
		"Activate":     func() error { return h.Activate(ctx, id.UserID, admin) },
		"Attributes":   func() error { _, err := h.Attributes(ctx, id.UserID, sid); return err },
		"SetAttribute": func() error { return h.SetAttribute(ctx, id.UserID, sid, "a", "b") },
		"Rotate":       func() error { _, _, err := h.Rotate(ctx, token); return err },
	} {
		writes := name != "List" && name != "User" && name != "Attributes"
		h.spy.failReads = errDown
		wantKind(t, do(), host.Unavailable)
		h.spy.failReads, h.spy.failChanges = nil, errDown
		if writes {
			wantKind(t, do(), host.Unavailable)
		}
		h.spy.failChanges = nil
		if after := slot(t, h, id.UserID); after != before {
			t.Errorf("%s changed the slot", name)
		}
		h.want(token, host.Valid)
	}
}

var errDown = errors.New("connection refused")

func slot(t *testing.T, h *house, userID string) string {
	all, err := h.memory.All(t.Context(), userID)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(all)
}
