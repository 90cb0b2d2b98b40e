package session_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/session"
)

// teller wants to know of every end, and notes whom it was nudged about.
type teller struct {
	mu     sync.Mutex
	nudged []string
	deaf   bool // wants nothing
}

func (l *teller) Wants(string) bool { return !l.deaf }

func (l *teller) Nudge(userID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nudged = append(l.nudged, userID)
}

// users returns who it was nudged about since it was last asked.
func (l *teller) users() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Compact(slices.Sorted(slices.Values(l.nudged)))
	l.nudged = nil
	return list
}

func telling(l *teller) func(*session.Options) { return func(o *session.Options) { o.Teller = l } }

// ends returns the events that wait in a slot, the oldest first.
func (h *house) ends(userID string) (list []host.Ended) {
	h.t.Helper()
	tasks, err := h.sweeper.Outbox().Tasks(h.t.Context(), userID)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, task := range tasks {
		if task.Ended == nil || task.Key != task.Ended.ID || !strings.HasPrefix(task.Key, session.EventPrefix) {
			h.t.Fatalf("a task %+v", task)
		}
		list = append(list, *task.Ended)
	}
	return list
}

// wantEnds compares the events that wait in a slot, whatever their ids.
func (h *house) wantEnds(id *host.Identity, want ...host.Ended) {
	h.t.Helper()
	got := h.ends(id.UserID)
	seen := map[string]bool{}
	for i := range got {
		if seen[got[i].ID] || len(got[i].ID) < 20 {
			h.t.Errorf("event id %q", got[i].ID)
		}
		seen[got[i].ID] = true
		got[i].ID = ""
	}
	for i := range want {
		want[i].UserID = id.UserID
		if want[i].At.IsZero() {
			want[i].At = h.clock.Now().UTC().Truncate(time.Millisecond)
		}
	}
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		h.t.Errorf("events\n%+v, want\n%+v", got, want)
	}
}

// Each end of access makes one event, which says what ended, why and by whom; a
// second try, or an end of what had ended, makes none.
func TestEachEndIsAnEvent(t *testing.T) {
	self := func(id *host.Identity) host.Actor { return host.Actor{Rank: host.Self, ID: id.UserID} }
	for name, c := range map[string]struct {
		end  func(h *house, id *host.Identity, tokens []string) error
		want func(id *host.Identity, ids []string) host.Ended
	}{
		"logout": {func(h *house, id *host.Identity, tokens []string) error { return h.end(tokens[0]) }, func(id *host.Identity, ids []string) host.Ended {
			return host.Ended{Issuer: issuer, Subject: "alice", What: "session", Why: "logout", By: self(id), Sessions: ids[:1]}
		}},
		"one session": {func(h *house, id *host.Identity, tokens []string) error {
			_, err := h.EndSession(h.t.Context(), id.UserID, sessionID(h.t, tokens[0]), admin)
			return err
		}, func(id *host.Identity, ids []string) host.Ended {
			return host.Ended{Issuer: issuer, Subject: "alice", What: "session", Why: "session_ended", By: admin, Sessions: ids[:1]}
		}},
		"everywhere": {func(h *house, id *host.Identity, _ []string) error {
			return h.EndAll(h.t.Context(), id.UserID, operator, "test")
		}, func(id *host.Identity, ids []string) host.Ended {
			return host.Ended{Issuer: issuer, Subject: "alice", What: "user", Why: "logout_everywhere", By: operator, Sessions: slices.Sorted(slices.Values(ids))}
		}},
		"deactivated": {func(h *house, id *host.Identity, _ []string) error {
			return h.Deactivate(h.t.Context(), id.UserID, admin)
		}, func(id *host.Identity, ids []string) host.Ended {
			return host.Ended{Issuer: issuer, Subject: "alice", What: "user", Why: "deactivated", By: admin, Sessions: slices.Sorted(slices.Values(ids))}
		}},
		"token": {func(h *house, id *host.Identity, _ []string) error { return h.RevokeToken(h.t.Context(), id) }, func(id *host.Identity, _ []string) host.Ended {
			return host.Ended{Issuer: issuer, Subject: "alice", What: "token", Why: "token_ended", By: self(id)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &teller{}
			h := newHouse(t, telling(l))
			id := h.jwt("alice", 10*time.Hour)
			tokens := []string{h.create(id), h.create(id)}
			ids := []string{sessionID(t, tokens[0]), sessionID(t, tokens[1])}
			if before := h.fields(id.UserID); len(before) != 3 {
				t.Fatalf("a login left %q", before)
			}
			for range 3 { // again is the same
				if err := c.end(h, id, tokens); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(l.users(), []string{id.UserID}) {
				t.Error("nobody was nudged")
			}
			h.wantEnds(id, c.want(id, ids))
			if name == "everywhere" || name == "deactivated" { // what ends afterwards was told with it
				for _, token := range tokens {
					if err := h.end(token); err != nil {
						t.Fatal(err)
					}
				}
				if err := h.RevokeToken(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				h.wantEnds(id, c.want(id, ids))
			}
		})
	}
}

// A lost acknowledgement, and the call repeated: the event is there once.
func TestRepeatedEndIsOneEvent(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 10*time.Hour)
	for _, end := range []func() error{
		func() error { return h.RevokeToken(t.Context(), id) },
		func() error { return h.EndAll(t.Context(), id.UserID, admin, "test") },
		func() error { return h.Deactivate(t.Context(), id.UserID, admin) },
	} {
		before := len(h.ends(id.UserID))
		h.spy.loseAck = errors.New("lost")
		if err := end(); err == nil {
			t.Fatal("acknowledged")
		}
		h.spy.loseAck = nil
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if after := len(h.ends(id.UserID)); after != before+1 {
			t.Errorf("%d events, %d before", after, before)
		}
	}
}

// A later logout everywhere is one of its own: JWTs issued in between end by it.
func TestSecondLogoutEverywhere(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 10*time.Hour)
	for n := range 3 {
		if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
		if got := len(h.ends(id.UserID)); got != n+1 {
			t.Errorf("%d events after %d logouts", got, n+1)
		}
		h.clock.Pass(time.Minute)
	}
	h.create(h.later(id)) // and at once, if there is something to end
	for range 2 {
		if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(h.ends(id.UserID)); got != 4 {
		t.Errorf("%d events", got)
	}
}

// With nobody to tell, nothing is written and nobody is put on a due-list for it.
func TestNoEventsWithoutTeller(t *testing.T) {
	deaf := &teller{deaf: true}
	for name, change := range map[string]func(*session.Options){"none": func(*session.Options) {}, "wants nothing": telling(deaf)} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, change)
			id := h.jwt("alice", 10*time.Hour)
			one, two := h.create(id), h.create(h.jwt("alice", time.Minute))
			dues := h.spy.dues.Load()
			if err := errors.Join(h.end(one), h.RevokeToken(t.Context(), id)); err != nil {
				t.Fatal(err)
			}
			if n := h.spy.dues.Load(); n != dues+1 { // for when the revocation can go
				t.Errorf("put on due-lists %d times", n-dues)
			}
			h.clock.Pass(2 * time.Minute)
			h.want(two, host.Expired)
			h.sweep()
			if err := errors.Join(h.EndAll(t.Context(), id.UserID, admin, "test"), h.Deactivate(t.Context(), id.UserID, admin)); err != nil {
				t.Fatal(err)
			}
			for _, f := range h.fields(id.UserID) {
				if strings.HasPrefix(f, "e:") {
					t.Errorf("an event %q", f)
				}
			}
			if nudged := deaf.users(); len(nudged) > 0 {
				t.Errorf("who wants nothing was nudged about %q", nudged)
			}
		})
	}
}

// Sessions that make room for another are told of in the write that made it.
func TestDisplacedIsAnEvent(t *testing.T) {
	h := newHouse(t, telling(&teller{}), limit(2, session.EndOldest))
	id := h.jwt("alice", 10*time.Hour)
	first := h.create(id)
	h.clock.Pass(time.Second)
	h.create(id)
	h.wantEnds(id)
	h.create(id)
	h.wantEnds(id, host.Ended{Issuer: issuer, Subject: "alice", What: "session", Why: "displaced", Sessions: []string{sessionID(t, first)}})
}

// However many replicas and requests find at once that a session has ended by
// itself, one event says so, by the deadline that it came to.
func TestExpiryIsOneEvent(t *testing.T) {
	l := &teller{}
	onReplicas(t, func(t *testing.T, r []*house) {
		h := r[0]
		id := h.jwt("alice", 30*time.Hour)
		idle, brief, live := h.create(id), h.create(h.jwt("alice", time.Hour)), h.create(id)
		for range 3 {
			h.clock.Pass(150 * time.Minute)
			h.want(live, host.Valid)
		}
		h.clock.Pass(40 * time.Minute)
		l.users()
		h.want(idle, host.Expired)
		if got := l.users(); !slices.Equal(got, []string{id.UserID}) {
			t.Errorf("a request that found it nudged %q", got)
		}
		var all sync.WaitGroup
		for i := range 12 {
			h := r[i%len(r)]
			all.Go(func() {
				switch i % 4 {
				case 0:
					_ = h.sweep()
				case 1:
					_ = h.end(idle)
				case 2:
					_, _ = h.EndSession(t.Context(), id.UserID, sessionID(t, brief), admin)
				case 3:
					_, _ = h.sweeper.Outbox().Tasks(t.Context(), id.UserID)
				}
			})
		}
		all.Wait()
		at := func(d time.Duration) time.Time { return start.Add(d).UTC().Truncate(time.Millisecond) }
		h.wantEnds(id,
			host.Ended{Issuer: issuer, Subject: "alice", What: "session", Why: "absolute", At: at(time.Hour), Sessions: []string{sessionID(t, brief)}},
			host.Ended{Issuer: issuer, Subject: "alice", What: "session", Why: "idle", At: at(8 * time.Hour), Sessions: []string{sessionID(t, idle)}})
		h.want(live, host.Valid)
		l.users()
		r[1].clock.Pass(40 * time.Second)
		r[1].sweep()
		if got := l.users(); !slices.Equal(got, []string{id.UserID}) {
			t.Errorf("the sweeper nudged %q", got)
		}
	}, telling(l))
}

// A login cleans up, but leaves to the sweeper what is still to be told.
func TestLoginLeavesExpiryToBeTold(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	token := h.create(h.jwt("alice", time.Hour))
	h.clock.Pass(5 * time.Hour)
	id := h.jwt("alice", 5*time.Hour)
	h.create(id)
	h.wantEnds(id, host.Ended{Issuer: issuer, Subject: "alice", What: "session", Why: "absolute",
		At: start.Add(time.Hour).UTC().Truncate(time.Millisecond), Sessions: []string{sessionID(t, token)}})
}

// Who logs out everywhere tells of sessions that had expired and were not swept
// yet: the sweeper does not once more.
func TestLogoutEverywhereTellsOfTheUnswept(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	token := h.create(h.jwt("alice", time.Hour))
	h.clock.Pass(2 * time.Hour)
	id := h.jwt("alice", time.Hour)
	if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	want := host.Ended{Issuer: issuer, Subject: "alice", What: "user", Why: "logout_everywhere", By: admin, Sessions: []string{sessionID(t, token)},
		At: h.clock.Now().UTC().Truncate(time.Millisecond)}
	h.wantEnds(id, want)
	h.clock.Pass(time.Minute)
	h.sweep()
	h.wantEnds(id, want)
}

// Who dies after the write has left the user on a due-list: another replica
// finds the event. Who dies before it has ended nothing and tells nothing.
func TestEventIsFoundByOthers(t *testing.T) {
	l := &teller{}
	onReplicas(t, func(t *testing.T, r []*house) {
		id := r[0].jwt("alice", 10*time.Hour)
		token := r[0].create(id)
		r[0].spy.failDue = errors.New("killed")
		if r[0].end(token) == nil || len(r[0].ends(id.UserID)) != 0 {
			t.Error("ended without being on a due-list")
		}
		r[0].spy.failDue, r[0].spy.failChanges = nil, errors.New("killed")
		if r[0].end(token) == nil || len(r[0].ends(id.UserID)) != 0 {
			t.Error("ended")
		}
		r[0].want(token, host.Valid)
		r[0].spy.failChanges = nil
		if err := r[0].end(token); err != nil {
			t.Fatal(err)
		}
		l.users() // the nudge is lost
		for range 3 {
			r[1].clock.Pass(40 * time.Second)
			r[1].sweep()
			if got := l.users(); !slices.Equal(got, []string{id.UserID}) { // until somebody has told
				t.Errorf("the sweeper nudged %q", got)
			}
		}
	}, telling(l))
}

// What many ends leave in one slot is bounded, and no session is forgotten.
func TestManyEndsAreToldTogether(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 10*time.Hour)
	want := map[string]bool{}
	for i := range 100 {
		token := h.create(id)
		want[sessionID(t, token)] = true
		single := h.jwt("alice", 10*time.Hour)
		single.TokenKey = fmt.Sprint("jti", i)
		if err := errors.Join(h.end(token), h.RevokeToken(t.Context(), single)); err != nil {
			t.Fatal(err)
		}
		h.clock.Pass(time.Second)
	}
	got := h.ends(id.UserID)
	if len(got) > 33 {
		t.Errorf("%d events", len(got))
	}
	for _, e := range got {
		for _, s := range e.Sessions {
			delete(want, s)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d sessions are not told of", len(want))
	}
}

// A JWT is ended and told of though its user's header cannot be read, and a
// sweeper finds what waits there.
func TestTokenIsToldWithDamagedHeader(t *testing.T) {
	l := &teller{}
	h := newHouse(t, telling(l))
	id := h.jwt("alice", 10*time.Hour)
	h.set(id.UserID, "h", []byte("\xff"))
	for range 2 {
		if err := h.RevokeToken(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	h.wantEnds(id, host.Ended{Issuer: issuer, Subject: "alice", What: "token", Why: "token_ended", By: host.Actor{Rank: host.Self, ID: id.UserID}})
	l.users() // the nudge is lost
	for range 3 {
		h.clock.Pass(40 * time.Second)
		h.sweep()
		if got := l.users(); !slices.Equal(got, []string{id.UserID}) {
			t.Errorf("the sweeper nudged %q", got)
		}
	}
}

// A task is one taker's until the moment that was said; the messages of an event
// take its place; what was done is gone, and nobody does it twice.
func TestOutbox(t *testing.T) {
	l := &teller{}
	onReplicas(t, func(t *testing.T, r []*house) {
		id := r[0].jwt("alice", 10*time.Hour)
		if err := r[0].EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
		a, b := r[0].sweeper.Outbox(), r[1].sweeper.Outbox()
		mine, err := a.Tasks(t.Context(), id.UserID)
		theirs, err2 := b.Tasks(t.Context(), id.UserID)
		if err != nil || err2 != nil || len(mine) != 1 || len(theirs) != 1 {
			t.Fatal(mine, theirs, err, err2)
		}
		until := r[0].clock.Now().Add(30 * time.Second)
		ok, err := a.Claim(t.Context(), mine[0], until)
		again, err2 := b.Claim(t.Context(), theirs[0], until)
		if !ok || again || err != nil || err2 != nil || mine[0].Tries != 1 {
			t.Fatal(ok, again, err, err2)
		}
		if list, _ := b.Tasks(t.Context(), id.UserID); len(list) != 0 {
			t.Errorf("%d tasks are free", len(list))
		}
		messages := []*host.Task{
			{Key: mine[0].Key + "-hook-0", Plugin: "hook", Message: &host.Fetch{Method: "POST", URL: "https://a.example/", Headers: []host.Header{{Name: "X-A", Value: "b"}}, Body: []byte("{}")}},
			{Key: mine[0].Key + "-hook-1", Plugin: "hook", Message: &host.Fetch{Method: "POST", URL: "https://b.example/"}}}
		if ok, err := a.Replace(t.Context(), mine[0], messages, until, time.Time{}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := a.Replace(t.Context(), mine[0], messages, until, time.Time{}); ok || err != nil {
			t.Error("replaced twice", err)
		}
		if ok, err := a.Drop(t.Context(), messages[1]); !ok || err != nil {
			t.Error("not dropped", err)
		}
		l.users()
		r[0].clock.Pass(40 * time.Second) // the taker has died
		r[1].sweep()
		if got := l.users(); !slices.Equal(got, []string{id.UserID}) {
			t.Errorf("nudged %q", got)
		}
		list, err := b.Tasks(t.Context(), id.UserID)
		if err != nil || len(list) != 1 || list[0].Key != messages[0].Key || list[0].Plugin != "hook" || !reflect.DeepEqual(list[0].Message, messages[0].Message) || list[0].Tries != 1 {
			t.Fatal(list, err)
		}
		if ok, err := b.Claim(t.Context(), list[0], r[0].clock.Now().Add(30*time.Second)); !ok || err != nil || list[0].Tries != 2 {
			t.Fatal(ok, err)
		}
		if err := b.Postpone(t.Context(), list[0], r[0].clock.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		r[0].clock.Pass(59 * time.Minute)
		if list, _ := a.Tasks(t.Context(), id.UserID); len(list) != 0 {
			t.Error("taken up too early")
		}
		r[0].clock.Pass(time.Minute + 5*time.Second)
		l.users()
		r[2].sweep()
		if got := l.users(); !slices.Equal(got, []string{id.UserID}) {
			t.Errorf("nudged %q", got)
		}
		if list, err = a.Tasks(t.Context(), id.UserID); err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if ok, err := a.Drop(t.Context(), list[0]); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if left := r[0].fields(id.UserID); !slices.Equal(left, []string{"h"}) {
			t.Errorf("left over: %q", left)
		}
	}, telling(l))
}

// A plugin is full by its own messages, in number and in bytes; by those of others
// only when the slot is.
func TestFull(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 10*time.Hour)
	box := h.sweeper.Outbox()
	put := func(plugin string, n, size int) {
		t.Helper()
		if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
			t.Fatal(err)
		}
		until := h.clock.Now().Add(time.Hour * 24)
		for _, task := range h.tasks(id.UserID) {
			if task.Ended == nil {
				continue
			}
			var messages []*host.Task
			for i := range n {
				messages = append(messages, &host.Task{Key: fmt.Sprint(task.Key, "-", plugin, "-", i), Plugin: plugin,
					Message: &host.Fetch{Method: "POST", URL: "https://a.example/", Body: make([]byte, size)}})
			}
			if ok, err := box.Replace(t.Context(), task, messages, until, time.Time{}); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		h.clock.Pass(time.Minute)
	}
	full := func(plugin string) bool {
		t.Helper()
		full, err := box.Full(t.Context(), id.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return full(plugin)
	}
	put("many", session.MaxMessages-1, 100)
	if full("many") || full("large") {
		t.Error("full with one less than may wait")
	}
	put("many", 8, 100) // the answer that fills it
	put("large", 3, 15<<10)
	if !full("many") || full("large") || full("other") {
		t.Error("many messages")
	}
	put("large", 2, 15<<10)
	if !full("large") || full("other") {
		t.Error("large messages")
	}
	for i := range 5 { // of 75 KiB each, with the first 450
		put(fmt.Sprint("large", i), 5, 15<<10)
	}
	if full("other") {
		t.Error("full by what waits of others")
	}
	put("last", 5, 15<<10)
	if !full("other") {
		t.Error("a slot that is full takes more")
	}
}

// tasks returns what is to be done about a user.
func (h *house) tasks(userID string) []*host.Task {
	h.t.Helper()
	tasks, err := h.sweeper.Outbox().Tasks(h.t.Context(), userID)
	if err != nil {
		h.t.Fatal(err)
	}
	return tasks
}

// What waits keeps its slot, and is counted.
func TestWaitingIsKeptAndCounted(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	if err := h.end(token); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(7 * 24 * time.Hour)
	h.sweep()
	if n := len(h.ends(id.UserID)); n != 1 {
		t.Errorf("%d events after a week", n)
	}
	tally, err := session.Survey(t.Context(), h.spy, nil, h.clock.Now, func(key string, err error) { t.Error(key, err) })
	if err != nil || tally.Events != 1 || tally.Messages != 0 || tally.Others != 0 {
		t.Errorf("%+v, %v", tally, err)
	}
}

// What waits is copied with what it tells of, and does not keep a copy from
// being followed.
func TestCopyTakesWhatWaits(t *testing.T) {
	h, there := twoHouses(t)
	l := &teller{}
	telling := newHouse(t, telling(l), func(o *session.Options) { o.Cache, o.Now = h.spy, h.clock.Now })
	telling.sweeper = newSweeper(t, h.spy, h.clock, l)
	id := h.jwt("alice", 10*time.Hour)
	one, two := h.create(id), h.create(id)
	if err := telling.end(one); err != nil {
		t.Fatal(err)
	}
	h.wantCopied(there, session.Copied{Users: 1, Sessions: 1, New: 1})
	if got := there.ends(id.UserID); len(got) != 1 || got[0].Sessions[0] != sessionID(t, one) {
		t.Errorf("copied %v", got)
	}
	tasks, err := telling.sweeper.Outbox().Tasks(t.Context(), id.UserID)
	if err != nil || len(tasks) != 1 {
		t.Fatal(tasks, err)
	}
	if _, err := telling.sweeper.Outbox().Drop(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	h.wantCopied(there, session.Copied{Users: 1, Sessions: 1, Same: 1})
	if err := telling.end(two); err != nil {
		t.Fatal(err)
	}
	h.wantCopied(there, session.Copied{Removed: 1})
	if got := there.ends(id.UserID); len(got) != 2 {
		t.Errorf("copied %v", got)
	}
}

// What was copied and told by the target meanwhile is not told by it again,
// however often and when the source is copied once more, as an event or as the
// messages that the source made of it.
func TestCopyTellsNothingTwice(t *testing.T) {
	for name, c := range map[string]struct {
		then func(h, there *house, id *host.Identity) // in between
		want session.Copied
	}{
		"the source was used": {func(h, _ *house, id *host.Identity) { h.create(id) }, session.Copied{Users: 1, Sessions: 2, Renewed: 1}},
		"the source ended": {func(h, _ *house, id *host.Identity) {
			if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
				t.Fatal(err)
			}
			h.clock.Pass(time.Minute)
			h.sweep()
		}, session.Copied{Users: 1, Renewed: 1}},
		"nothing is left of either": {func(h, there *house, id *host.Identity) {
			h.clock.Pass(40 * time.Hour)
			for range 2 {
				h.sweep()
				there.sweep()
				h.clock.Pass(2 * time.Hour)
			}
		}, session.Copied{}},
		"the source asked": {func(h, there *house, id *host.Identity) {
			h.create(id)
			task := h.tasks(id.UserID)[0]
			m := &host.Task{Key: task.Key + "-hook-0", Plugin: "hook", Message: &host.Fetch{Method: "POST", URL: "https://a.example/"}}
			if ok, err := h.sweeper.Outbox().Replace(t.Context(), task, []*host.Task{m}, h.clock.Now(), time.Time{}); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}, session.Copied{Users: 1, Sessions: 2, Renewed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			h, there := twoHouses(t)
			tellers := newHouse(t, telling(&teller{}), func(o *session.Options) { o.Cache, o.Now = h.spy, h.clock.Now })
			id := h.jwt("alice", 10*time.Hour)
			h.create(id)
			tellers.create(id)
			tellers.endOne(id)
			h.wantCopied(there, session.Copied{Users: 1, Sessions: 1, New: 1})
			waits := there.tasks(id.UserID)
			if len(waits) != 1 {
				t.Fatalf("%d tasks are copied", len(waits))
			}
			if ok, err := there.sweeper.Outbox().Drop(t.Context(), waits[0]); !ok || err != nil {
				t.Fatal(ok, err)
			}
			c.then(h, there, id)
			h.wantCopied(there, c.want)
			for range 2 {
				if again := there.tasks(id.UserID); len(again) != 0 {
					t.Fatalf("%q is told again", again[0].Key)
				}
				h.clock.Pass(10 * time.Hour)
				there.sweep()
				h.sweep()
				h.copyTo(there)
			}
			h.clock.Pass(9 * 24 * time.Hour)
			there.sweepAll(id.UserID)
			if left := there.fields(id.UserID); len(left) != 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}

// That something waited when a slot was copied hinders no copy once nothing else
// of it counts: the user begins anew, and is told nothing twice.
func TestCopyAfterWhatWaited(t *testing.T) {
	h, there := twoHouses(t)
	tellers := newHouse(t, telling(&teller{}), func(o *session.Options) { o.Cache, o.Now = h.spy, h.clock.Now })
	id := h.jwt("alice", time.Hour)
	h.create(id)
	tellers.endOne(id)
	h.create(id)
	h.wantCopied(there, session.Copied{Users: 1, Sessions: 1, New: 1})
	if ok, err := there.sweeper.Outbox().Drop(t.Context(), there.tasks(id.UserID)[0]); !ok || err != nil {
		t.Fatal(ok, err)
	}
	h.clock.Pass(3 * time.Hour)
	for range 2 {
		h.sweepAll(id.UserID)
		there.sweepAll(id.UserID)
	}
	token := h.create(h.jwt("alice", time.Hour))
	h.wantCopied(there, session.Copied{Users: 1, Sessions: 1, New: 1})
	there.want(token, host.Valid)
	if again := there.tasks(id.UserID); len(again) != 0 {
		t.Errorf("%q is told again", again[0].Key)
	}
}

// endOne ends the first session of a user.
func (h *house) endOne(id *host.Identity) {
	h.t.Helper()
	if found, err := h.EndSession(h.t.Context(), id.UserID, h.ids(id.UserID)[0], admin); !found || err != nil {
		h.t.Fatal(found, err)
	}
}

// Somebody who renews sessions all the time holds up neither a logout everywhere
// nor being deactivated.
func TestRenewalHoldsUpNoLogout(t *testing.T) {
	for name, end := range map[string]func(h *house, userID string) error{
		"everywhere":  func(h *house, userID string) error { return h.EndAll(h.t.Context(), userID, admin, "test") },
		"deactivated": func(h *house, userID string) error { return h.Deactivate(h.t.Context(), userID, admin) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, telling(&teller{}))
			id := h.jwt("alice", 10*time.Hour)
			token := h.create(id)
			var renew func()
			renew = func() {
				fresh, _, err := h.Rotate(t.Context(), token)
				if err != nil {
					t.Error(err)
				}
				token, h.spy.beforeChange = fresh, renew
			}
			h.spy.beforeChange = renew
			err := end(h, id.UserID)
			h.spy.beforeChange = nil
			if err != nil {
				t.Fatal(err)
			}
			h.want(token, host.Revoked)
			if n := len(h.ends(id.UserID)); n != 1 {
				t.Errorf("%d events", n)
			}
		})
	}
}
