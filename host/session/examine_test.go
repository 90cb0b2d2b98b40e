package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/session"
)

// A slot that is copied as Examine says counts on the other cache as it did
// here, and its end is found there.
func TestExamineAndCopy(t *testing.T) {
	h, there := newHouse(t), newHouse(t, func(o *session.Options) { o.Idle = time.Hour })
	there.clock = h.clock
	target, err := session.New(session.Options{Realm: realm, Cache: there.memory, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	id := h.jwt("alice", 10*time.Hour)
	old := h.create(h.jwt("alice", time.Hour))
	token := h.create(id)
	if err := h.SetAttribute(t.Context(), id.UserID, sessionID(t, token), "a", "b"); err != nil {
		t.Fatal(err)
	}
	single := h.jwt("alice", 5*time.Hour)
	if err := h.RevokeToken(t.Context(), single); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	h.set(id.UserID, "e:1", []byte("of a later version"))
	all, err := h.memory.All(t.Context(), id.UserID)
	if err != nil {
		t.Fatal(err)
	}
	x, err := session.Examine(id.UserID, all, h.clock.Now())
	want := session.Examination{Sessions: 1, Ended: 1, Attributes: 1, Revocations: 1, Others: 1, Keep: id.Expires.Truncate(time.Millisecond).Add(time.Hour)}
	if err != nil || !x.Keep.Equal(want.Keep) {
		t.Errorf("%+v, %v, want %+v", x, err, want)
	}
	if x.Keep = want.Keep; x != want {
		t.Errorf("%+v, want %+v", x, want)
	}

	c := cache.Change{Expires: x.Keep}
	for name, value := range all {
		c.Put = append(c.Put, cache.Field{Name: name, Value: value})
	}
	if _, err := there.memory.Change(t.Context(), id.UserID, c); err != nil {
		t.Fatal(err)
	}
	if err := session.LookSoon(t.Context(), there.memory, id.UserID, h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if v, err := target.Resolve(t.Context(), token); err != nil || v.Identity == nil || v.Identity.Subject != "alice" {
		t.Errorf("%v, %v", v, err)
	}
	if revoked, err := target.Revoked(t.Context(), single); err != nil || !revoked {
		t.Errorf("the revocation was lost: %v, %v", revoked, err)
	}
	sweeper := newSweeper(t, there.memory, h.clock)
	for _, later := range []time.Duration{5 * time.Second, 9 * time.Hour} { // the ended one, and the other
		h.clock.Pass(later)
		if n, err := sweeper.Round(t.Context()); n != 1 || err != nil {
			t.Errorf("%d users due, %v", n, err)
		}
	}
	left, err := there.memory.All(t.Context(), id.UserID)
	if err != nil || left["s:"+sessionID(t, token)] != nil || left["s:"+sessionID(t, old)] != nil {
		t.Errorf("%d fields are left, %v", len(left), err)
	}
}

func TestExamineSlots(t *testing.T) {
	h := newHouse(t, func(o *session.Options) { o.TokenLife = 2 * time.Hour })
	id := h.jwt("alice", time.Hour)
	examine := func(userID string) (session.Examination, error) {
		all, err := h.memory.All(t.Context(), id.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return session.Examine(userID, all, h.clock.Now())
	}
	if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	if x, err := examine(id.UserID); err != nil || x.Keep.Before(start.Add(3*time.Hour)) || x.Deactivated {
		t.Errorf("logged out: %+v, %v", x, err)
	}
	if err := h.Deactivate(t.Context(), id.UserID, admin); err != nil {
		t.Fatal(err)
	}
	if x, err := examine(id.UserID); err != nil || x.Keep.Before(start.AddDate(90, 0, 0)) || !x.Deactivated {
		t.Errorf("deactivated: %+v, %v", x, err)
	}
	if _, err := examine("kv:something"); err == nil {
		t.Error("a key that is no user's passes")
	}
	sid := "ses_" + strings.Repeat("a", 24)
	for _, field := range []string{"s:" + sid, "a:" + sid, "r:x", "h"} {
		h.set(id.UserID, field, []byte("\xff"))
		_, err := examine(id.UserID)
		if field == "h" {
			field = "header"
		}
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("damage in %s is told as %v", field, err)
		}
	}
}

func FuzzExamine(f *testing.F) {
	h := newHouse(f)
	id := h.jwt("alice", time.Hour)
	h.create(id)
	all, err := h.memory.All(f.Context(), id.UserID)
	if err != nil {
		f.Fatal(err)
	}
	for name, value := range all {
		f.Add(name, value)
		f.Add("a:"+name, []byte{0xa1, 0x61, 'a', 0x61, 'b'})
	}
	f.Add("r:x", []byte{0x1b, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		x, err := session.Examine(id.UserID, map[string][]byte{name: value, "h": all["h"]}, start)
		if n := x.Sessions + x.Ended + x.Attributes + x.Revocations + x.Others; err == nil && n != 1 && name != "h" {
			t.Errorf("%q was counted %d times", name, n)
		}
	})
}
