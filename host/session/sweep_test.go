package session_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/session"
)

// dueUsers leases whatever is due on every list, as another sweeper would that
// then dies, and returns whose entries they are.
func (h *house) dueUsers(lease time.Duration) (members []string) {
	h.t.Helper()
	now := h.clock.Now()
	for list := range cache.DueLists {
		got, err := h.spy.LeaseDue(h.t.Context(), list, now, now.Add(lease), 1000)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, m := range got {
			user, _, _ := strings.Cut(m, "@")
			members = append(members, user)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(members)))
}

// What expired without anybody asking is found and removed, on any replica, by
// either deadline; a live neighbour, in the same slot or another, is not
// touched.
func TestExpiredIsSwept(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		alice, bob := h.jwt("alice", 100*time.Hour), h.jwt("bob", 100*time.Hour)
		idle, used := h.create(alice), h.create(alice)
		other := h.create(bob)
		for _, token := range []string{idle, used} {
			if err := h.SetAttribute(t.Context(), alice.UserID, sessionID(t, token), "a", "b"); err != nil {
				t.Fatal(err)
			}
		}
		single := h.jwt("alice", 20*time.Hour)
		if err := h.RevokeToken(t.Context(), single); err != nil {
			t.Fatal(err)
		}
		for range 7 {
			h.clock.Pass(time.Hour)
			h.want(used, host.Valid)
			h.want(other, host.Valid)
			if n := r[1].sweep(); n != 0 {
				t.Fatalf("%d users are due before any deadline", n)
			}
		}
		before := h.fields(bob.UserID)
		h.clock.Pass(time.Hour + 5*time.Second)
		if n := r[1].sweep(); n != 2 { // Bob too: his session was moved, and is looked at again later
			t.Errorf("%d users were due", n)
		}
		if n := r[2].sweep(); n != 0 {
			t.Errorf("%d users are still due", n)
		}
		u := sessionID(t, used)
		if left := h.fields(alice.UserID); !slices.Equal(left, []string{"a:" + u, "h", "r:" + single.TokenKey, "s:" + u}) {
			t.Errorf("left over: %q", left)
		}
		if after := h.fields(bob.UserID); !slices.Equal(before, after) {
			t.Errorf("Bob's slot holds %q, it held %q", after, before)
		}
		h.want(idle, host.Unknown)
		h.want(used, host.Valid)
		h.want(other, host.Valid)

		for h.clock.Now().Before(start.Add(24*time.Hour - time.Minute)) { // to the absolute deadline
			h.clock.Pass(30 * time.Minute)
			if h.clock.Now().Before(start.Add(24 * time.Hour)) {
				h.want(used, host.Valid)
			}
			r[2].sweep()
		}
		h.clock.Pass(time.Minute)
		r[2].sweep()
		if left := slices.Concat(h.fields(alice.UserID), h.fields(bob.UserID)); len(left) != 0 {
			t.Errorf("left over: %q", left)
		}
		h.clock.Pass(1000 * time.Hour)
		if left := h.dueUsers(time.Minute); len(left) != 0 {
			t.Errorf("still on the due-lists: %v", left)
		}
	})
}

// A sweeper that dies in the middle loses nothing: its users are given out
// again when their lease ends.
func TestSweeperDies(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		id := h.jwt("alice", time.Hour)
		h.create(id)
		h.clock.Pass(time.Hour + 5*time.Second)
		if got := h.dueUsers(time.Minute); !slices.Equal(got, []string{id.UserID}) {
			t.Fatalf("due: %v", got)
		}
		if n := r[1].sweep(); n != 0 {
			t.Errorf("%d users are due that another was given", n)
		}
		h.clock.Pass(time.Minute + time.Second)
		for i, fail := range []*error{&r[1].spy.failReads, &r[1].spy.failChanges, &r[1].spy.loseAck} {
			*fail = errDown
			if n, err := r[1].sweeper.Round(t.Context()); n != 1 || !errors.Is(err, errDown) {
				t.Errorf("failure %d: %d users, %v", i, n, err)
			}
			*fail = nil
			h.clock.Pass(time.Minute + time.Second)
		}
		if n := r[2].sweep(); n != 1 {
			t.Errorf("%d users are due", n)
		}
		if left := h.fields(id.UserID); len(left) != 0 {
			t.Errorf("left over: %q", left)
		}
	})
}

// A panic at one user is an error of that user, who is looked at again when the
// lease ends; the others are looked at meanwhile.
func TestSweeperPanics(t *testing.T) {
	h := newHouse(t)
	var users []string
	for i := range 3 {
		id := h.jwt(fmt.Sprint("user", i), time.Hour)
		h.create(id)
		users = append(users, id.UserID)
	}
	left := func() (n int) {
		for _, userID := range users {
			n += min(len(h.fields(userID)), 1)
		}
		return n
	}
	h.clock.Pass(time.Hour + 5*time.Second)
	h.spy.beforeChange = func() { panic("fell") }
	n, err := h.sweeper.Round(t.Context())
	if n != 3 || err == nil || !strings.Contains(err.Error(), "panicked: fell") || !strings.Contains(err.Error(), "TestSweeperPanics") {
		t.Errorf("%d users, %v", n, err)
	}
	if n := left(); n != 1 {
		t.Errorf("%d users are left", n)
	}
	h.clock.Pass(time.Minute + time.Second)
	if n := h.sweep(); n != 1 || left() != 0 {
		t.Errorf("%d users were looked at again, %d are left", n, left())
	}
}

// broken is a driver that cannot read some slots, and gives out users by name
// where they are due at one moment, as Redis and etcd do.
type broken struct {
	cache.Driver
	slots map[string]bool
}

func (b *broken) All(ctx context.Context, slot string) (map[string][]byte, error) {
	if b.slots[slot] {
		return nil, errors.New("the slot is damaged")
	}
	return b.Driver.All(ctx, slot)
}

func (b *broken) LeaseDue(ctx context.Context, list int, now, until time.Time, most int) ([]string, error) {
	members, err := b.Driver.LeaseDue(ctx, list, now, until, most)
	slices.Sort(members)
	return members, err
}

// Slots that cannot be read keep nobody else's from being looked at, though they
// are due on the same list and come first.
func TestDamagedSlotsHoldUpNobody(t *testing.T) {
	h := newHouse(t)
	var users []string // of one due-list
	for i := 0; len(users) < 8; i++ {
		id := h.jwt(fmt.Sprint("user", i), time.Hour)
		if crc32.ChecksumIEEE([]byte(id.UserID))%cache.DueLists == 0 {
			h.create(id)
			users = append(users, id.UserID)
		}
	}
	slices.Sort(users)
	damaged := &broken{Driver: h.memory, slots: map[string]bool{}}
	for _, userID := range users[:4] {
		damaged.slots[userID] = true
	}
	sweeper := newSweeper(t, damaged, h.clock, nil)
	h.clock.Pass(time.Hour + 5*time.Second)
	left := users[4:]
	for range 50 { // of 61 s: the slots themselves expire after an hour
		if _, err := sweeper.Round(t.Context()); err == nil {
			t.Fatal("slots that cannot be read are no failure")
		}
		h.clock.Pass(time.Minute + time.Second)
		if left = slices.DeleteFunc(left, func(id string) bool { return len(h.fields(id)) == 0 }); len(left) == 0 {
			return
		}
	}
	t.Errorf("%d users were never looked at", len(left))
}

// If the next look cannot be put on a list, this one is not taken off.
func TestSweeperKeepsItsPlace(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 100*time.Hour)
	token := h.create(id)
	h.clock.Pass(7 * time.Hour)
	h.want(token, host.Valid)
	h.clock.Pass(time.Hour + 5*time.Second)
	h.spy.failDue = errDown
	if _, err := h.sweeper.Round(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("the failure is told as %v", err)
	}
	h.spy.failDue = nil
	h.clock.Pass(2 * time.Minute)
	if h.sweep() != 1 {
		t.Error("the user was lost")
	}
	h.clock.Pass(7 * time.Hour)
	if h.sweep() != 1 || len(h.fields(id.UserID)) != 0 {
		t.Error("the session's end was not found")
	}
}

// A login between the sweeper's look and its change is not swept away, neither
// with the old sessions nor with the header; and its own end is found.
func TestSweepRacesLogin(t *testing.T) {
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		h.create(h.jwt("alice", time.Hour))
		h.clock.Pass(time.Hour + 5*time.Second)
		id := h.jwt("alice", time.Hour)
		var token string
		r[1].spy.beforeChange = func() { token = h.create(id) }
		r[1].sweep()
		if token == "" {
			t.Fatal("nothing was swept")
		}
		h.want(token, host.Valid)
		if left := h.fields(id.UserID); !slices.Equal(left, []string{"h", "s:" + sessionID(t, token)}) {
			t.Errorf("left over: %q", left)
		}
		h.clock.Pass(time.Hour + 5*time.Second)
		if r[2].sweep() != 1 || len(h.fields(id.UserID)) != 0 {
			t.Error("its end was not found")
		}
	})
}

// A login whose entry was put while a sweeper was looking, and whose session
// was written after the sweeper had seen nothing, is found all the same.
func TestSweepOvertakenByLogin(t *testing.T) {
	h := newHouse(t)
	h.create(h.jwt("alice", time.Hour))
	h.clock.Pass(time.Hour + 5*time.Second)
	id := h.jwt("alice", time.Hour)
	h.spy.beforeChange = func() { h.sweep() } // the login has put its entry, and is about to write
	token := h.create(id)
	h.want(token, host.Valid)
	h.clock.Pass(time.Hour + 5*time.Second)
	if h.sweep() != 1 || len(h.fields(id.UserID)) != 0 {
		t.Error("its end was not found")
	}
}

// A session whose idle time was made shorter has its end found when it is, not
// when it would have been before.
func TestShorterIdleTimeIsFound(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", 100*time.Hour)
	token := h.create(id)
	h.clock.Pass(time.Hour)
	shorter, err := session.New(session.Options{Realm: realm, Cache: h.spy, Now: h.clock.Now, Idle: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	h.Store = shorter
	h.want(token, host.Valid)
	h.clock.Pass(time.Hour + 5*time.Second)
	if h.sweep() != 1 || len(h.fields(id.UserID)) != 0 {
		t.Error("its end was not found")
	}
}

// A write so slow that the sweeper came before it, and dropped its entry, is
// found all the same.
func TestSweepOvertakenBySlowWrite(t *testing.T) {
	late := 20 * time.Second
	for what, write := range map[string]func(h *house, id *host.Identity) error{
		"login": func(h *house, id *host.Identity) error {
			_, _, err := h.Create(h.t.Context(), h.jwt("alice", 10*time.Second), host.Terms{})
			return err
		},
		"logout everywhere": func(h *house, id *host.Identity) error { return h.EndAll(h.t.Context(), id.UserID, admin, "test") },
		"deactivation":      func(h *house, id *host.Identity) error { return h.Deactivate(h.t.Context(), id.UserID, admin) },
	} {
		onReplicas(t, func(t *testing.T, r []*house) {
			h := r[0]
			id := h.jwt("alice", 100*time.Hour)
			if what != "login" {
				h.create(id)
			}
			h.spy.beforeChange = func() {
				h.clock.Pass(late)
				r[1].sweep()
			}
			if err := write(h, id); err != nil {
				t.Fatal(err)
			}
			h.clock.Pass(5 * time.Second)
			r[2].sweep()
			if left := h.fields(id.UserID); slices.ContainsFunc(left, func(f string) bool { return strings.HasPrefix(f, "s:") }) {
				t.Errorf("%s: left over: %q", what, left)
			}
		})
	}
}

// A second session has its end found by the first one's entry, whatever becomes
// of the first; only where that would be too late has it one of its own.
func TestLoginsShareAnEntry(t *testing.T) {
	for what, between := range map[string]func(h *house, first string, id *host.Identity) error{
		"nothing":  func(*house, string, *host.Identity) error { return nil },
		"a logout": func(h *house, first string, _ *host.Identity) error { return h.end(first) },
		"a rotation": func(h *house, first string, _ *host.Identity) error {
			_, _, err := h.Rotate(h.t.Context(), first)
			return err
		},
		"a touch":      func(h *house, first string, _ *host.Identity) error { h.want(first, host.Valid); return nil },
		"another look": func(h *house, _ string, _ *host.Identity) error { h.sweep(); return nil },
		"everything": func(h *house, first string, id *host.Identity) error {
			h.sweep()
			err := h.end(first)
			h.sweep()
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t)
			id := h.jwt("alice", 100*time.Hour)
			first := h.create(id)
			h.clock.Pass(7 * time.Hour)
			h.want(first, host.Valid) // its entry is now earlier than its end
			h.clock.Pass(time.Hour + 5*time.Second)
			h.spy.dues.Store(0)
			h.spy.beforeChange = func() {
				if err := between(h, first, id); err != nil {
					t.Error(err)
				}
			}
			second := h.create(id)
			if n := h.spy.dues.Load(); what == "nothing" && n != 0 {
				t.Errorf("%d entries were put", n)
			}
			if err := h.end(first); err != nil {
				t.Fatal(err)
			}
			h.want(second, host.Valid)
			for range 9 { // the first one's entry, then the second's end
				h.clock.Pass(time.Hour)
				h.sweep()
			}
			for _, f := range h.fields(id.UserID) {
				if f == "s:"+sessionID(t, second) {
					t.Error("its end was not found")
				}
			}
		})
	}
	h := newHouse(t)
	h.create(h.jwt("alice", 10*time.Hour))
	h.spy.dues.Store(0)
	h.create(h.jwt("alice", time.Hour)) // ends before the first
	h.create(h.jwt("alice", 10*time.Hour))
	if n := h.spy.dues.Load(); n != 1 {
		t.Errorf("%d entries were put, want one", n)
	}
	h.clock.Pass(time.Hour + 5*time.Second)
	h.sweep()
	if n := len(h.fields(h.jwt("alice", 0).UserID)); n != 3 {
		t.Errorf("%d fields, want the header and two sessions", n)
	}
}

// A touch between the sweeper's look and its change keeps the session.
func TestSweepRacesTouch(t *testing.T) {
	h := newHouse(t)
	token := h.create(h.jwt("alice", 100*time.Hour))
	h.clock.Pass(8*time.Hour + 5*time.Second)
	late := h.clock.Now().Add(-10 * time.Second)
	behind, err := session.New(session.Options{Realm: realm, Cache: h.memory, Now: func() time.Time { return late }})
	if err != nil {
		t.Fatal(err)
	}
	h.spy.beforeChange = func() { // on a replica whose clock is behind
		v, err := behind.Resolve(t.Context(), token)
		if err != nil || v.Verdict != host.Valid || v.Touch == nil {
			t.Fatalf("%s, %v", v.Verdict, err)
		}
		v.Touch(t.Context())
	}
	h.sweep()
	h.want(token, host.Valid)
}

// One look at a slot that holds thousands of ended sessions takes a bounded
// number of changes, and the rest waits for the next.
func TestSweepIsBounded(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	ended, err := h.memory.Get(t.Context(), id.UserID, "s:"+sessionID(t, h.create(id)))
	if err != nil {
		t.Fatal(err)
	}
	kept := h.create(h.jwt("alice", 3*time.Hour))
	for i := range 4999 {
		h.set(id.UserID, fmt.Sprintf("s:copy %d", i), ended[0])
	}
	h.clock.Pass(time.Hour + 10*time.Second)
	h.spy.changes.Store(0)
	h.sweep()
	if n := h.spy.changes.Load(); n != 16 {
		t.Errorf("%d changes", n)
	}
	if n := len(h.fields(id.UserID)); n != 1+1+5000-16*256 {
		t.Errorf("%d fields are left", n)
	}
	h.clock.Pass(5 * time.Second)
	h.sweep()
	if left := h.fields(id.UserID); !slices.Equal(left, []string{"h", "s:" + sessionID(t, kept)}) {
		t.Errorf("left over: %d fields", len(left))
	}
	h.want(kept, host.Valid)

	// Nor are more users of a list taken at once than the batch.
	few, err := session.NewSweeper(session.SweeperOptions{Cache: h.spy, Now: h.clock.Now, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 640 {
		h.create(h.jwt("user"+string(rune('a'+i%26))+string(rune('a'+i/26)), time.Hour))
	}
	h.clock.Pass(time.Hour + 10*time.Second)
	n, err := few.Round(t.Context())
	if err != nil || n > 2*cache.DueLists || n < cache.DueLists {
		t.Errorf("%d users in a round, %v", n, err)
	}
}

// What a later version keeps in a slot or on a list stays, and so does what
// cannot be read.
func TestSweepLeavesWhatItDoesNotKnow(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	bad := "s:ses_" + strings.Repeat("a", 24)
	for field, value := range map[string]string{"z:1": "event", bad: "\xff", "r:x": "\xff", "a:ses_gone": "orphan"} {
		h.set(id.UserID, field, []byte(value))
	}
	if err := h.spy.PutDue(t.Context(), 5, "kv:something@1", h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour + 5*time.Second)
	if n := h.sweep(); n != 1 {
		t.Errorf("%d users were due", n)
	}
	if left := h.fields(id.UserID); !slices.Equal(left, []string{"h", "r:x", bad, "z:1"}) {
		t.Errorf("left: %q", left)
	}
	h.want(token, host.Unknown)
	h.clock.Pass(2 * time.Minute)
	if got := h.dueUsers(time.Minute); !slices.Equal(got, []string{"kv:something"}) {
		t.Errorf("on the lists: %v", got)
	}

	// A header that cannot be read is looked at again, not endlessly.
	id = h.jwt("bob", 10*time.Hour)
	h.create(id)
	h.set(id.UserID, "h", []byte("\xff"))
	h.clock.Pass(8*time.Hour + 5*time.Second)
	if n := h.sweep(); n != 1 {
		t.Errorf("%d users were due", n)
	}
	h.clock.Pass(59 * time.Minute)
	if n := h.sweep(); n != 0 {
		t.Error("looked at again at once")
	}
	if n := len(h.fields(id.UserID)); n != 2 {
		t.Errorf("%d fields are left", n)
	}
	h.clock.Pass(2 * time.Minute)
	if n := h.sweep(); n != 1 {
		t.Error("never looked at again")
	}
}

// Sessions that lost their header are swept: they can count no more.
func TestAttack38_headless_sessions_are_swept(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	if _, err := h.memory.Change(t.Context(), id.UserID, cache.Change{Delete: []string{"h"}}); err != nil {
		t.Fatal(err)
	}
	h.want(token, host.Unknown)
	h.wantUser(id.UserID, host.User{Active: true})
	if ids := h.ids(id.UserID); len(ids) != 0 {
		t.Errorf("listed: %v", ids)
	}
	if found, err := h.EndSession(t.Context(), id.UserID, sessionID(t, token), admin); err != nil || found {
		t.Errorf("ended: %v, %v", found, err)
	}
	h.create(id)
	h.clock.Pass(time.Hour + 5*time.Second)
	h.sweep()
	if left := h.fields(id.UserID); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
	h.want(token, host.Unknown)
}

func TestRun(t *testing.T) {
	h := newHouse(t)
	w, err := session.NewSweeper(session.SweeperOptions{Cache: h.spy, Now: h.clock.Now, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	id := h.jwt("alice", time.Hour)
	h.create(id)
	h.clock.Pass(time.Hour + 5*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	for len(h.fields(id.UserID)) != 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended

	for name, o := range map[string]session.SweeperOptions{
		"no cache": {}, "negative interval": {Cache: h.spy, Every: -1}, "negative batch": {Cache: h.spy, Batch: -1},
	} {
		if _, err := session.NewSweeper(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
