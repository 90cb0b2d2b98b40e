package session_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/session"
)

const maxEvents = 32 // that wait in a slot

// told notes what plugins were told of, by plugin and session, as often as it was.
type told map[string]map[string]int

// ask asks a plugin about everything that it was not asked yet, and leaves the
// events there for others.
func (n told) ask(h *house, userID, plugin string) {
	h.t.Helper()
	if n[plugin] == nil {
		n[plugin] = map[string]int{}
	}
	for _, task := range h.tasks(userID) {
		if task.WasAsked(plugin) {
			continue
		}
		for _, s := range task.Ended.Sessions {
			n[plugin][s]++
		}
		task.Asked = append(task.Asked, plugin)
		now := h.clock.Now()
		if ok, err := h.sweeper.Outbox().Replace(h.t.Context(), task, nil, now, now.Add(-time.Second)); !ok || err != nil {
			h.t.Fatal(ok, err)
		}
	}
}

// Ends that are told together are told to each plugin once, also when others of
// the realm were asked about them before: a plugin that fails for days, or is
// full, costs no other a repetition and itself no end.
func TestToldTogetherOfWhatWasAsked(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 100*time.Hour)
	told, all := told{}, []string{}
	for i := range 150 {
		token := h.create(id)
		all = append(all, sessionID(t, token))
		end := func() error { return h.end(token) }
		if i%3 == 0 {
			end = func() error {
				_, err := h.EndSession(t.Context(), id.UserID, sessionID(t, token), admin)
				return err
			}
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		told.ask(h, id.UserID, "sound")
		if i%10 == 0 && i < 100 {
			told.ask(h, id.UserID, "sometimes")
		}
		if n := len(h.tasks(id.UserID)); n > maxEvents {
			t.Fatalf("%d events wait after %d ends", n, i+1)
		}
		h.clock.Pass(time.Second)
	}
	told.ask(h, id.UserID, "sometimes")
	told.ask(h, id.UserID, "fails")
	for _, plugin := range []string{"sound", "sometimes", "fails"} {
		for _, s := range all {
			if n := told[plugin][s]; n != 1 {
				t.Errorf("%s was told %d times of %s", plugin, n, s)
			}
		}
	}
	for _, task := range h.tasks(id.UserID) { // who and why are kept
		if by := task.Ended.By; (task.Ended.Why == host.WhySession) != (by == admin) {
			t.Errorf("%+v", task.Ended)
		}
	}
}

// What tells of more has another id: whoever has seen the one before does not
// take it for a repetition. Its moment is that of the last end, and it is kept for
// as long.
func TestToldTogetherIsAnotherEvent(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 100*time.Hour)
	seen := map[string][]string{}
	for range maxEvents + 10 {
		if err := h.end(h.create(id)); err != nil {
			t.Fatal(err)
		}
		for _, e := range h.ends(id.UserID) {
			if before, ok := seen[e.ID]; ok && !slices.Equal(before, e.Sessions) {
				t.Errorf("event %s told of %q, now of %q", e.ID, before, e.Sessions)
			}
			seen[e.ID] = e.Sessions
		}
		h.clock.Pass(time.Second)
	}
	list := h.ends(id.UserID)
	if last := list[len(list)-1]; len(last.Sessions) != 11 || !last.At.Equal(h.clock.Now().Add(-time.Second).UTC().Truncate(time.Millisecond)) {
		t.Errorf("%d sessions, at %s", len(last.Sessions), last.At)
	}
}

// However many ends wait, that the user was deactivated, and by whom, is told.
func TestDeactivationIsToldWhateverWaits(t *testing.T) {
	for _, first := range []bool{true, false} {
		h := newHouse(t, telling(&teller{}))
		id := h.jwt("alice", 100*time.Hour)
		deactivate := func() {
			if err := h.Deactivate(t.Context(), id.UserID, operator); err != nil {
				t.Fatal(err)
			}
			if err := h.Activate(t.Context(), id.UserID, operator); err != nil {
				t.Fatal(err)
			}
			h.clock.Pass(time.Minute)
		}
		if first {
			deactivate()
		}
		for i := range 3 * maxEvents { // by as many admins, so that none is like another
			if err := h.EndAll(t.Context(), id.UserID, host.Actor{Rank: host.RealmAdmin, ID: fmt.Sprint("usr_", i)}, "test"); err != nil {
				t.Fatal(err)
			}
			h.clock.Pass(time.Minute)
			if i == maxEvents+5 && !first {
				deactivate()
			}
		}
		list := h.ends(id.UserID)
		if len(list) > maxEvents || !slices.ContainsFunc(list, func(e host.Ended) bool { return e.Why == host.WhyDeactivated && e.By == operator }) {
			t.Errorf("of %d events none says deactivated by the operator", len(list))
		}
	}
}

// What a sweeper has told together is told: the log does not say that it was
// removed.
func TestSweeperTellsTogether(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, telling(&teller{}))
	var err error
	if h.sweeper, err = session.NewSweeper(session.SweeperOptions{Cache: h.spy, Now: h.clock.Now, Teller: &teller{}, Logger: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
		t.Fatal(err)
	}
	id := h.jwt("alice", 2*time.Hour)
	last := h.create(id)
	for range maxEvents {
		if err := h.end(h.create(id)); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.Pass(2*time.Hour + time.Minute)
	h.sweep()
	list := h.ends(id.UserID)
	if len(list) != maxEvents || !slices.ContainsFunc(list, func(e host.Ended) bool { return slices.Contains(e.Sessions, sessionID(t, last)) }) {
		t.Errorf("%d events, or the last session is in none", len(list))
	}
	if text := log.String(); !strings.Contains(text, "told together") || strings.Contains(text, "removed") {
		t.Errorf("the log says %s", text)
	}
}

// A login that ends very many sessions tells of each.
func TestManyDisplacedAreAllNamed(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 10*time.Hour)
	want := map[string]bool{}
	for range 600 {
		want[sessionID(t, h.create(id))] = true
	}
	strict, err := session.New(session.Options{Realm: realm, Cache: h.spy, Now: h.clock.Now, MaxSessions: 1, Teller: &teller{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := strict.Create(t.Context(), id, host.Terms{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.ends(id.UserID) {
		if e.Why != host.WhyDisplaced || len(e.Sessions) > 256 {
			t.Errorf("%s of %d sessions", e.Why, len(e.Sessions))
		}
		for _, s := range e.Sessions {
			if !want[s] {
				t.Errorf("told of %s, which did not end or was told", s)
			}
			delete(want, s)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d sessions are not told of", len(want))
	}
}

// A logout everywhere is one event of the user, which names as many sessions as a
// plugin can name in one answer; others are named by events of their own.
func TestLogoutEverywhereNamesAll(t *testing.T) {
	h := newHouse(t, telling(&teller{}))
	id := h.jwt("alice", 10*time.Hour)
	all := map[string]bool{}
	for range 600 {
		all[sessionID(t, h.create(id))] = true
	}
	if err := h.EndAll(t.Context(), id.UserID, admin, "test"); err != nil {
		t.Fatal(err)
	}
	var what, sizes []string
	for _, e := range h.ends(id.UserID) {
		what, sizes = append(what, e.What), append(sizes, fmt.Sprint(len(e.Sessions)))
		if e.Why != host.WhyEverywhere || e.By != admin {
			t.Errorf("%+v", e)
		}
		for _, s := range e.Sessions {
			if !all[s] {
				t.Errorf("named twice, or no session: %s", s)
			}
			delete(all, s)
		}
	}
	slices.Sort(what)
	slices.Sort(sizes)
	if !slices.Equal(what, []string{"session", "session", "user"}) || !slices.Equal(sizes, []string{"256", "256", "88"}) || len(all) > 0 {
		t.Errorf("events of %q with %q sessions, %d are not named", what, sizes, len(all))
	}
}

// What is past all bounds is in the log at least: the slot does not grow on, and
// no session's end goes unsaid.
func TestEndsPastAllBounds(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t)
	id := h.jwt("alice", 100*time.Hour)
	var all []string
	for range 256 {
		all = append(all, sessionID(t, h.create(id)))
	}
	strict, err := session.New(session.Options{Realm: realm, Cache: h.spy, Now: h.clock.Now, MaxSessions: 1, Teller: &teller{},
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	end := func() { // the one before makes room, each time
		token, _, err := strict.Create(t.Context(), id, host.Terms{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sessionID(t, token))
	}
	end()
	slot, err := h.memory.All(t.Context(), id.UserID)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range slot { // as many such events, of other sessions, as may wait
		if strings.HasPrefix(name, "e:") && len(raw) > 256*28 {
			for i := range maxEvents - 1 {
				h.set(id.UserID, fmt.Sprintf("%s%02d", name[:len(name)-2], i), bytes.ReplaceAll(raw, []byte("ses_"), fmt.Appendf(nil, "s%02d_", i)))
				for _, s := range all[:256] {
					ids[strings.Replace(s, "ses_", fmt.Sprintf("s%02d_", i), 1)] = true
				}
			}
		}
	}
	for range 600 {
		end()
	}
	all = append(slices.Collect(maps.Keys(ids)), all...)
	list := h.ends(id.UserID)
	if len(list) > maxEvents {
		t.Errorf("%d events", len(list))
	}
	named := map[string]bool{}
	for _, e := range list {
		if len(e.Sessions) > 256 {
			t.Errorf("an event names %d sessions", len(e.Sessions))
		}
		for _, s := range e.Sessions {
			named[s] = true
		}
	}
	text, unsaid := log.String(), 0
	for _, s := range all[:len(all)-1] {
		if !named[s] && !strings.Contains(text, s) {
			unsaid++
		}
	}
	if len(named) < 31*256 || unsaid > 0 || !strings.Contains(text, "level=ERROR") {
		t.Errorf("%d sessions named, %d neither named nor in the log", len(named), unsaid)
	}
}

// The log says what is told together once it is, and not of a change that was
// forestalled.
func TestToldTogetherIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, telling(&teller{}), func(o *session.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	id := h.jwt("alice", 100*time.Hour)
	for range maxEvents {
		if err := h.end(h.create(id)); err != nil {
			t.Fatal(err)
		}
	}
	token, other := h.create(id), ""
	h.spy.beforeChange = func() { other = h.create(id) }
	before := h.spy.changes.Load()
	if err := h.end(token); err != nil {
		t.Fatal(err)
	}
	if n := h.spy.changes.Load() - before; n != 3 {
		t.Fatalf("%d changes, want one that is forestalled, what forestalls it, and another try", n)
	}
	if n := strings.Count(log.String(), "told together"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	log.Reset()
	h.spy.loseAck = errDown
	if err := h.end(other); err == nil {
		t.Fatal("a lost acknowledgement is none")
	}
	if n := strings.Count(log.String(), "told together"); n != 1 {
		t.Errorf("a change that may have been made is spoken of %d times", n)
	}
}
