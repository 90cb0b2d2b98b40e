package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/session"
)

func TestExamine(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 10*time.Hour)
	h.create(h.jwt("alice", time.Hour))
	token := h.create(id)
	if err := h.SetAttribute(t.Context(), id.UserID, sessionID(t, token), "a", "b"); err != nil {
		t.Fatal(err)
	}
	if err := h.RevokeToken(t.Context(), h.jwt("alice", 5*time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	h.set(id.UserID, "z:1", []byte("of a later version"))
	all, err := h.memory.All(t.Context(), id.UserID)
	if err != nil {
		t.Fatal(err)
	}
	bytes := len(id.UserID)
	for name, value := range all {
		bytes += len(name) + len(value)
	}
	x, err := session.Examine(id.UserID, all, h.clock.Now())
	ends := id.Expires.Truncate(time.Millisecond)
	want := session.Examination{Sessions: 1, Ended: 1, Attributes: 1, AttributeBytes: 5, Revocations: 1, Others: 1, Bytes: bytes, Until: ends, Keep: ends.Add(time.Hour)}
	if x != want || err != nil {
		t.Errorf("%+v, %v, want %+v", x, err, want)
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
	for _, field := range []string{"s:" + sid, "a:" + sid, "r:x", "c", "h"} {
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
	f.Add("c", []byte{0xa2, 2, 0x41, 1, 3, 1})
	f.Add("s:no session", []byte{})
	for name, value := range all {
		f.Add(name, value)
		f.Add("a:"+name, []byte{0xa1, 0x61, 'a', 0x61, 'b'})
	}
	f.Add("q:e:x", []byte{1})
	f.Add("r:x", []byte{0x1b, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		x, err := session.Examine(id.UserID, map[string][]byte{name: value, "h": all["h"]}, start)
		n := x.Sessions + x.Ended + x.Attributes + x.Revocations + x.Events + x.Messages + x.Others
		about := name == "h" || x.Copied || strings.HasPrefix(name, "q:") // what is said of the slot and of another field
		if err == nil && n != 1 && !about {
			t.Errorf("%q was counted %d times", name, n)
		}
	})
}
