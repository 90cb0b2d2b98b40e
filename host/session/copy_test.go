package session_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/session"
)

// twoHouses are two installations at one time, with a cache each.
func twoHouses(t testing.TB) (here, there *house) {
	here = newHouse(t)
	mem := memory.New(here.clock.Now)
	there = &house{t: t, clock: here.clock, memory: mem, spy: &spy{Driver: mem}}
	there.sweeper = newSweeper(t, there.spy, here.clock, nil)
	var err error
	if there.Store, err = session.New(session.Options{Realm: realm, Cache: there.spy, Now: here.clock.Now}); err != nil {
		t.Fatal(err)
	}
	return here, there
}

// copyTo copies h's cache and returns what became of it, and who was refused.
func (h *house) copyTo(there *house) (session.Copied, []string) {
	h.t.Helper()
	c, refused, err := tryCopy(h, there)
	if err != nil {
		h.t.Fatal(err)
	}
	return c, refused
}

func tryCopy(h, there *house) (c session.Copied, refused []string, err error) {
	c, err = session.Copy(context.Background(), session.CopyOptions{From: h.spy, To: there.spy, Source: "here", Now: h.clock.Now,
		Refused: func(userID string, err error) { refused = append(refused, userID+": "+err.Error()) }})
	return c, refused, err
}

func (h *house) wantCopied(there *house, want session.Copied) {
	h.t.Helper()
	if c, refused := h.copyTo(there); c != want || len(refused) != want.Refused {
		h.t.Errorf("copied %+v, want %+v; refused: %q", c, want, refused)
	}
}

// unmarked is what a slot holds beside the mark of a copy.
func (h *house) unmarked(userID string) map[string][]byte {
	h.t.Helper()
	all, err := h.memory.All(context.Background(), userID)
	if err != nil {
		h.t.Fatal(err)
	}
	delete(all, "c")
	return all
}

// Whatever a slot holds is the same on the other cache, and its endings are
// found there.
func TestCopy(t *testing.T) {
	h, there := twoHouses(t)
	alice, bob, carol := h.jwt("alice", 10*time.Hour), h.jwt("bob", 10*time.Hour), h.jwt("carol", 10*time.Hour)
	old := h.create(h.jwt("alice", time.Hour))
	first, second := h.create(alice), h.create(alice)
	if err := h.SetAttribute(t.Context(), alice.UserID, sessionID(t, first), "a", "b"); err != nil {
		t.Fatal(err)
	}
	single := h.jwt("alice", 5*time.Hour)
	if err := h.RevokeToken(t.Context(), single); err != nil {
		t.Fatal(err)
	}
	out := h.create(bob)
	if err := h.EndAll(t.Context(), bob.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	if err := h.Deactivate(t.Context(), carol.UserID, operator); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	h.set(alice.UserID, "z:1", []byte("of a later version"))

	h.wantCopied(there, session.Copied{Users: 3, Sessions: 2, New: 3})
	for _, id := range []*host.Identity{alice, bob, carol} {
		if a, b := h.unmarked(id.UserID), there.unmarked(id.UserID); !maps.EqualFunc(a, b, slices.Equal) {
			t.Errorf("%s: %q, want %q", id.Subject, b, a)
		}
	}
	for token, verdict := range map[string]host.Verdict{old: host.Expired, first: host.Valid, second: host.Valid, out: host.Revoked} {
		there.want(token, verdict)
	}
	there.wantRevoked(single, true)
	there.wantRevoked(bob, true)
	there.wantUser(carol.UserID, host.User{DeactivatedBy: host.Operator})
	if got, err := there.Attributes(t.Context(), alice.UserID, sessionID(t, first)); err != nil || got["a"] != "b" {
		t.Errorf("attributes %v, %v", got, err)
	}

	h.clock.Pass(5 * time.Second)
	if n := there.sweep(); n != 2 { // Alice's that has ended, and Bob's
		t.Errorf("%d users are due", n)
	}
	there.want(old, host.Unknown)
	there.want(first, host.Valid)
	h.clock.Pass(6 * time.Hour)
	there.want(first, host.Valid)
	h.clock.Pass(3 * time.Hour)
	there.sweep()
	if left := there.fields(alice.UserID); slices.Contains(left, "s:"+sessionID(t, first)) || slices.Contains(left, "a:"+sessionID(t, first)) {
		t.Errorf("left over: %q", left)
	}
	h.clock.Pass(20 * time.Hour) // past what bob's logout is remembered for
	there.sweep()
	there.wantUser(carol.UserID, host.User{DeactivatedBy: host.Operator})
	h.clock.Pass(2 * time.Hour)
	there.sweep()
	if left := there.fields(bob.UserID); len(left) != 0 {
		t.Errorf("left over of Bob: %q", left)
	}
}

// A copy may be made again and again: it writes nothing that is there already,
// and takes over what has changed and ended in the source since.
func TestCopyFollowsItsSource(t *testing.T) {
	h, there := twoHouses(t)
	alice, bob, carol := h.jwt("alice", 10*time.Hour), h.jwt("bob", 10*time.Hour), h.jwt("carol", 10*time.Hour)
	a, b, c := h.create(alice), h.create(bob), h.create(carol)
	h.wantCopied(there, session.Copied{Users: 3, Sessions: 3, New: 3})
	before := there.spy.changes.Load()
	h.wantCopied(there, session.Copied{Users: 3, Sessions: 3, Same: 3})
	if n := there.spy.changes.Load() - before; n != 0 {
		t.Errorf("%d changes of what was there", n)
	}

	d := h.create(h.jwt("dave", time.Hour))
	if err := h.end(a); err != nil {
		t.Fatal(err)
	}
	a2 := h.create(alice)
	if err := h.EndAll(t.Context(), bob.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	if err := h.end(c); err != nil {
		t.Fatal(err)
	}
	if left := h.sweepAll(carol.UserID); len(left) != 0 {
		t.Fatalf("Carol still has %q in the source", left)
	}
	h.wantCopied(there, session.Copied{Users: 3, Sessions: 2, New: 1, Renewed: 2, Removed: 1})
	for token, verdict := range map[string]host.Verdict{a: host.Unknown, a2: host.Valid, b: host.Unknown, c: host.Unknown, d: host.Valid} {
		there.want(token, verdict)
	}
	there.wantRevoked(bob, true)
	if left := there.fields(carol.UserID); len(left) != 0 {
		t.Errorf("left over of Carol: %q", left)
	}
	h.wantCopied(there, session.Copied{Users: 3, Sessions: 2, Same: 3})
}

// sweepAll has everything swept that can be now, and returns what is left of a
// user.
func (h *house) sweepAll(userID string) []string {
	h.t.Helper()
	at := h.clock.Now()
	list := int(crc32.ChecksumIEEE([]byte(userID)) % cache.DueLists)
	if err := h.spy.PutDue(h.t.Context(), list, userID+"@"+strconv.FormatInt(at.UnixMilli(), 10), at); err != nil {
		h.t.Fatal(err)
	}
	h.clock.Pass(5 * time.Second)
	h.sweep()
	return h.fields(userID)
}

// What ended in the target stays ended, whatever is copied once more, also when
// everything of it was swept; and a user of the target's own is left alone.
func TestCopyRevivesNothing(t *testing.T) {
	h, there := twoHouses(t)
	alice, bob, carol, dave := h.jwt("alice", 10*time.Hour), h.jwt("bob", 10*time.Hour), h.jwt("carol", 10*time.Hour), h.jwt("dave", 10*time.Hour)
	a, b, c, d := h.create(alice), h.create(bob), h.create(carol), h.create(dave)
	own := there.create(dave)
	got, refused := h.copyTo(there)
	if want := (session.Copied{Users: 4, Sessions: 4, New: 3, Refused: 1}); got != want || len(refused) != 1 || !strings.HasPrefix(refused[0], dave.UserID) {
		t.Errorf("%+v, want %+v; %q", got, want, refused)
	}
	there.want(own, host.Valid)
	there.want(d, host.Unknown)

	if err := there.end(a); err != nil {
		t.Fatal(err)
	}
	if err := there.EndAll(t.Context(), bob.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	there.sweepAll(alice.UserID)
	there.sweepAll(bob.UserID)
	h.wantCopied(there, session.Copied{Users: 4, Sessions: 4, Same: 3, Refused: 1})
	there.want(a, host.Unknown)
	there.want(b, host.Unknown)
	there.want(c, host.Valid)

	// Now the source has changed too: who is right cannot be told.
	h.create(alice)
	h.create(bob)
	got, refused = h.copyTo(there)
	if want := (session.Copied{Users: 4, Sessions: 6, Same: 1, Refused: 3}); got != want {
		t.Errorf("%+v, want %+v; %q", got, want, refused)
	}
	there.want(a, host.Unknown)
	there.want(b, host.Unknown)

	// For as long as the sessions could have lived.
	h.clock.Pass(7 * time.Hour)
	h.want(a, host.Valid)
	there.sweepAll(alice.UserID)
	h.clock.Pass(2 * time.Hour)
	h.want(a, host.Valid)
	there.sweepAll(alice.UserID)
	h.copyTo(there)
	there.want(a, host.Unknown)
	h.clock.Pass(24 * time.Hour)
	if left := there.sweepAll(alice.UserID); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}

// Once nothing that was copied could count any longer, it does not matter what
// the target has made of it.
func TestCopyOfWhatIsOver(t *testing.T) {
	h, there := twoHouses(t)
	id := h.jwt("alice", time.Hour)
	h.create(id)
	h.copyTo(there)
	if err := there.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	h.wantCopied(there, session.Copied{Users: 1, Refused: 1})
	h.clock.Pass(90 * time.Minute)
	if err := h.memoryDelete(id.UserID); err != nil {
		t.Fatal(err)
	}
	h.create(h.jwt("bob", time.Hour))
	h.wantCopied(there, session.Copied{Users: 1, Sessions: 1, New: 1})
}

// memoryDelete takes a whole slot away.
func (h *house) memoryDelete(userID string) error {
	_, err := h.memory.Change(context.Background(), userID, cache.Change{Delete: h.fields(userID)})
	return err
}

// An emptied source removes nobody, nor does another one.
func TestCopyOfNothing(t *testing.T) {
	h, there := twoHouses(t)
	a := h.create(h.jwt("alice", 10*time.Hour))
	h.copyTo(there)
	empty, _ := twoHouses(t)
	empty.clock = h.clock
	empty.wantCopied(there, session.Copied{})
	there.want(a, host.Valid)

	empty.create(h.jwt("bob", 10*time.Hour))
	empty.create(h.jwt("alice", 10*time.Hour))
	c, err := session.Copy(t.Context(), session.CopyOptions{From: empty.spy, To: there.spy, Source: "elsewhere", Now: h.clock.Now, Refused: func(string, error) {}})
	if want := (session.Copied{Users: 2, Sessions: 2, New: 1, Refused: 1}); c != want || err != nil {
		t.Errorf("%+v, %v, want %+v", c, err, want)
	}
	there.want(a, host.Valid)
}

// A session that is ended in the source between Copy's look and its write is
// ended in the target when Copy returns; so is one that is ended while others
// are copied.
func TestCopyRacesLogout(t *testing.T) {
	for what, end := range map[string]func(h *house, id *host.Identity, token string) error{
		"one": func(h *house, _ *host.Identity, token string) error { return h.end(token) },
		"everywhere": func(h *house, id *host.Identity, _ string) error {
			return h.EndAll(context.Background(), id.UserID, admin, "")
		},
		"deactivated": func(h *house, id *host.Identity, _ string) error {
			return h.Deactivate(context.Background(), id.UserID, admin)
		},
		"ended and swept": func(h *house, id *host.Identity, token string) error {
			defer h.memory.Change(context.Background(), id.UserID, cache.Change{Delete: []string{"h"}})
			return h.end(token)
		},
	} {
		t.Run(what, func(t *testing.T) {
			h, there := twoHouses(t)
			id := h.jwt("alice", time.Hour)
			token := h.create(id)
			for i := range 20 {
				h.create(h.jwt(fmt.Sprint("user ", i), time.Hour))
			}
			there.spy.afterChange = func(slot string) {
				if slot == id.UserID && token != "" {
					there.want(token, host.Valid)
					if err := end(h, id, token); err != nil {
						t.Error(err)
					}
					token = ""
				}
			}
			ended := token
			h.copyTo(there)
			if token != "" {
				t.Fatal("Alice was not copied")
			}
			if v, err := there.Resolve(t.Context(), ended); err != nil || v.Verdict == host.Valid {
				t.Errorf("the ended session is %s, %v", v.Verdict, err)
			}
		})
	}
}

// What happens in the target between Copy's look and its write is not undone.
func TestCopyRacesTarget(t *testing.T) {
	for what, act := range map[string]func(there *house, id *host.Identity, token string) error{
		"logout": func(there *house, _ *host.Identity, token string) error { return there.end(token) },
		"logout everywhere": func(there *house, id *host.Identity, _ string) error {
			return there.EndAll(context.Background(), id.UserID, admin, "")
		},
		"rotation": func(there *house, _ *host.Identity, token string) error {
			_, _, err := there.Rotate(context.Background(), token)
			return err
		},
	} {
		h, there := twoHouses(t)
		id := h.jwt("alice", 10*time.Hour)
		token := h.create(id)
		h.copyTo(there)
		h.create(id) // so that there is something to copy
		there.spy.beforeChange = func() {
			if err := act(there, id, token); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		c, refused := h.copyTo(there)
		if there.spy.beforeChange != nil || c.Refused != 1 || len(refused) != 1 {
			t.Errorf("%s: %+v, %q", what, c, refused)
		}
		if v, err := there.Resolve(t.Context(), token); err != nil || v.Verdict == host.Valid {
			t.Errorf("%s: the session is %s, %v", what, v.Verdict, err)
		}
	}
	// A first login in the target is not overwritten either.
	h, there := twoHouses(t)
	id := h.jwt("alice", 10*time.Hour)
	h.create(id)
	var own string
	there.spy.beforeChange = func() { own = there.create(id) }
	if c, _ := h.copyTo(there); c.Refused != 1 {
		t.Errorf("%+v", c)
	}
	there.want(own, host.Valid)
}

// A copy that was cut short anywhere is completed by the next.
func TestCopyInterrupted(t *testing.T) {
	for fail := 1; fail <= 40; fail += 3 {
		h, there := twoHouses(t)
		var tokens []string
		for i := range 30 {
			tokens = append(tokens, h.create(h.jwt(fmt.Sprint("user ", i), time.Hour)))
		}
		ctx, cut := context.WithCancel(t.Context())
		n := 0
		there.spy.afterChange = func(string) {
			if n++; n == fail {
				cut()
			}
		}
		_, err := session.Copy(ctx, session.CopyOptions{From: h.spy, To: there.spy, Source: "here", Now: h.clock.Now, Refused: func(id string, err error) { t.Error(id, err) }})
		if (err != nil) != (fail <= 30) || err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("cut after %d changes: %v", fail, err)
		}
		there.spy.afterChange = nil
		c, refused := h.copyTo(there)
		if c.New+c.Same != 30 || c.Users != 30 || len(refused) != 0 {
			t.Errorf("cut after %d changes: %+v, %q", fail, c, refused)
		}
		for _, token := range tokens {
			there.want(token, host.Valid)
		}
		h.clock.Pass(time.Hour + 5*time.Second)
		if n := there.sweep(); n != 30 {
			t.Errorf("cut after %d changes: the ends of %d of 30 users are found", fail, n)
		}
	}
}

// Failures: a user's own is told and the others go on; a cache that is away
// ends it; damage is never copied.
func TestCopyFailures(t *testing.T) {
	h, there := twoHouses(t)
	alice, bob := h.jwt("alice", time.Hour), h.jwt("bob", time.Hour)
	h.create(alice)
	b := h.create(bob)
	h.set(alice.UserID, "s:"+sessionID(t, b), []byte("\xff"))
	h.set("no user", "x", []byte("y"))
	got, refused := h.copyTo(there)
	if got.Users != 1 || got.New != 1 || got.Refused != 2 || len(there.fields(alice.UserID))+len(there.fields("no user")) != 0 {
		t.Errorf("%+v, %q", got, refused)
	}
	there.want(b, host.Valid)

	h, there = twoHouses(t)
	h.create(alice)
	there.spy.failChanges = errDown
	if got, refused := h.copyTo(there); got.Refused != 1 || len(refused) != 1 || !strings.Contains(refused[0], errDown.Error()) {
		t.Errorf("%+v, %q", got, refused)
	}
	there.spy.failPing = errDown
	if _, refused, err := tryCopy(h, there); !errors.Is(err, errDown) || len(refused) != 0 {
		t.Errorf("%v, %q", err, refused)
	}
}

// A sweeper that comes before a slow write takes the entry with it: the ending
// is found all the same.
func TestCopyIsSlow(t *testing.T) {
	h, there := twoHouses(t)
	id := h.jwt("alice", 3*time.Second)
	short, long := h.create(id), h.create(h.jwt("alice", 5*time.Hour))
	there.spy.beforeChange = func() {
		h.clock.Pass(20 * time.Second)
		there.sweep()
	}
	h.copyTo(there)
	h.clock.Pass(20 * time.Second)
	there.sweep()
	there.want(short, host.Unknown)
	there.want(long, host.Valid)
}
