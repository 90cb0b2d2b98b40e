package session_test

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/session"
)

func TestAttributes(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h, ctx := r[0], t.Context()
		id := h.jwt("alice", 100*time.Hour)
		token, other := h.create(id), h.create(id)
		sid := sessionID(t, token)
		want := func(sid string, want map[string]string) {
			t.Helper()
			if got, err := r[1].Attributes(ctx, id.UserID, sid); err != nil || got == nil || !maps.Equal(got, want) {
				t.Errorf("attributes %q, %v, want %q", got, err, want)
			}
		}
		want(sid, map[string]string{})
		for name, value := range map[string]string{"theme": "dark", "empty": "", "odd\x00\xff": "\xfe\n"} {
			if err := h.SetAttribute(ctx, id.UserID, sid, name, value); err != nil {
				t.Fatal(err)
			}
		}
		want(sid, map[string]string{"theme": "dark", "empty": "", "odd\x00\xff": "\xfe\n"})
		want(sessionID(t, other), map[string]string{})

		err := r[2].ChangeAttributes(ctx, id.UserID, sid, func(a map[string]string) error {
			delete(a, "empty")
			a["theme"] += "er"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want(sid, map[string]string{"theme": "darker", "odd\x00\xff": "\xfe\n"})
		mine := errors.New("mine")
		err = h.ChangeAttributes(ctx, id.UserID, sid, func(a map[string]string) error { clear(a); return mine })
		if err != mine {
			t.Errorf("the caller's error came back as %v", err)
		}
		want(sid, map[string]string{"theme": "darker", "odd\x00\xff": "\xfe\n"})

		h.clock.Pass(time.Hour) // a use moves the deadline and nothing else
		h.want(token, host.Valid)
		want(sid, map[string]string{"theme": "darker", "odd\x00\xff": "\xfe\n"})

		if err := h.ChangeAttributes(ctx, id.UserID, sid, func(a map[string]string) error { clear(a); return nil }); err != nil {
			t.Fatal(err)
		}
		want(sid, map[string]string{})
		if n := len(h.fields(id.UserID)); n != 3 {
			t.Errorf("%d fields, want the header and two sessions", n)
		}
	})
}

// Attributes end with their session, however it ends, and none are written for
// one that has.
func TestAttributesEndWithTheirSession(t *testing.T) {
	for what, end := range map[string]func(h *house, token string, id *host.Identity) error{
		"logout": func(h *house, token string, _ *host.Identity) error { return h.end(token) },
		"everywhere": func(h *house, _ string, id *host.Identity) error {
			return h.EndAll(h.t.Context(), id.UserID, admin, "test")
		},
		"deactivated": func(h *house, _ string, id *host.Identity) error {
			return h.Deactivate(h.t.Context(), id.UserID, admin)
		},
		"expired": func(h *house, _ string, _ *host.Identity) error { h.clock.Pass(time.Hour); return nil },
		"rotated": func(h *house, token string, _ *host.Identity) error {
			_, _, err := h.Rotate(h.t.Context(), token)
			return err
		},
		"its slot": func(h *house, token string, id *host.Identity) error {
			return h.drop(id.UserID, "h", "s:"+sessionID(h.t, token))
		},
		"by another one": func(h *house, _ string, id *host.Identity) error { h.create(id); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			for _, during := range []bool{false, true} {
				h := newHouse(t, limit(1, session.EndOldest))
				id := h.jwt("alice", time.Hour)
				token := h.create(id)
				sid := sessionID(t, token)
				if err := h.SetAttribute(t.Context(), id.UserID, sid, "a", "b"); err != nil {
					t.Fatal(err)
				}
				act := func() {
					if err := end(h, token, id); err != nil {
						t.Error(err)
					}
				}
				if during {
					if what == "expired" {
						continue // it was live when the write was judged
					}
					h.spy.beforeChange = act
				} else {
					act()
				}
				wantKind(t, h.SetAttribute(t.Context(), id.UserID, sid, "c", "d"), host.NotFound)
				_, err := h.Attributes(t.Context(), id.UserID, sid)
				wantKind(t, err, host.NotFound)
				h.clock.Pass(2 * time.Hour)
				h.sweep()
				for _, f := range h.fields(id.UserID) {
					if f == "a:"+sid {
						t.Error("the attributes are still kept")
					}
				}
			}
		})
	}
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	h.create(id)
	for _, sid := range []string{"", "ses_", "x", "ses_" + strings.Repeat("a", 24)} {
		_, err := h.Attributes(t.Context(), id.UserID, sid)
		wantKind(t, err, host.NotFound)
	}
}

func (h *house) drop(userID string, fields ...string) error {
	_, err := h.memory.Change(h.t.Context(), userID, cache.Change{Delete: fields})
	return err
}

func TestAttributeLimits(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	sid := sessionID(t, h.create(id))
	set := func(a map[string]string) error {
		return h.ChangeAttributes(t.Context(), id.UserID, sid, func(have map[string]string) error {
			clear(have)
			maps.Copy(have, a)
			return nil
		})
	}
	many := map[string]string{}
	for i := range host.MaxAttributes {
		many[strconv.Itoa(i)] = "v"
	}
	large := map[string]string{"name": strings.Repeat("v", host.MaxAttributeBytes-4)}
	for _, fits := range []map[string]string{many, large, {}} {
		if err := set(fits); err != nil {
			t.Errorf("%d attributes: %v", len(fits), err)
		}
	}
	if err := set(large); err != nil {
		t.Fatal(err)
	}
	many["one more"] = "v"
	for what, a := range map[string]map[string]string{
		"too many": many, "no name": {"": "v"}, "too large": {"name": large["name"] + "v"}, "a name too large": {strings.Repeat("n", 4097): ""},
	} {
		err := set(a)
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		wantKind(t, err, host.Refused)
	}
	wantKind(t, h.SetAttribute(t.Context(), id.UserID, sid, "x", ""), host.Refused)
	if got, err := h.Attributes(t.Context(), id.UserID, sid); err != nil || !maps.Equal(got, large) {
		t.Errorf("what was refused changed something: %v", err)
	}

	h.set(id.UserID, "a:"+sid, []byte("\xff"))
	_, err := h.Attributes(t.Context(), id.UserID, sid)
	wantKind(t, err, host.Unavailable)
	wantKind(t, h.SetAttribute(t.Context(), id.UserID, sid, "x", ""), host.Unavailable)
}

// Three replicas write one session's attributes at once, while it is used and
// its user logs in elsewhere: every write that was acknowledged is there.
func TestAttributesHammered(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		writes, ctx := 10_000, t.Context()
		if r[0].memory == nil { // on disk
			writes = 450
		}
		id := r[0].jwt("alice", 100*time.Hour)
		token := r[0].create(id)
		sid := sessionID(t, token)
		const each = 3
		var wg sync.WaitGroup
		for i, h := range r {
			for j := range each {
				wg.Go(func() {
					own := fmt.Sprint("of ", i, ".", j)
					for range writes / len(r) / each {
						err := h.ChangeAttributes(ctx, id.UserID, sid, func(a map[string]string) error {
							for _, name := range []string{own, "all"} {
								n, _ := strconv.Atoi(a[name])
								a[name] = strconv.Itoa(n + 1)
							}
							return nil
						})
						if err != nil {
							t.Errorf("replica %d: %v", i, err)
							return
						}
					}
				})
			}
		}
		wg.Go(func() {
			for range 10 { // less than the idle time in all, for a read may be slow
				r[1].clock.Pass(35 * time.Minute)
				r[1].want(token, host.Valid)
				other := r[2].create(id)
				if err := r[0].end(other); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		got, err := r[0].Attributes(ctx, id.UserID, sid)
		if err != nil {
			t.Fatal(err)
		}
		one := writes / len(r) / each
		if n, _ := strconv.Atoi(got["all"]); n != one*len(r)*each || len(got) != 1+len(r)*each {
			t.Errorf("%d writes are there of %d, %d attributes", n, one*len(r)*each, len(got))
		}
		for name, n := range got {
			if name != "all" && n != strconv.Itoa(one) {
				t.Errorf("%s: %s writes of %d", name, n, one)
			}
		}
	})
}
