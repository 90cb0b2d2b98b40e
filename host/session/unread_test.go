package session_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/session"
)

// unread puts two records of a user's that cannot be read, beside one that can,
// and has what sweepers say written to a log.
func unread(t *testing.T) (h *house, userID string, log *bytes.Buffer) {
	h = newHouse(t, telling(&teller{}))
	log = new(bytes.Buffer)
	var err error
	if h.sweeper, err = session.NewSweeper(session.SweeperOptions{Cache: h.spy, Now: h.clock.Now, Teller: &teller{}, Logger: slog.New(slog.NewTextHandler(log, nil))}); err != nil {
		t.Fatal(err)
	}
	id := h.jwt("alice", time.Hour)
	if err := h.end(h.create(id)); err != nil {
		t.Fatal(err)
	}
	h.set(id.UserID, "e:evt_aaaaaaaaaaaaaaaaaaaaaaaa", []byte("\xff"))
	h.set(id.UserID, "d:evt_bbbbbbbbbbbbbbbbbbbbbbbb-hook-0", nil)
	return h, id.UserID, log
}

// look looks at a user as a sweeper does and as whoever was nudged does.
func (h *house) look(userID string) {
	h.t.Helper()
	h.clock.Pass(5 * time.Second)
	h.sweep()
	h.tasks(userID)
}

// What is to be told and cannot be read is said once, and is kept for a replica
// of another version, for as long as any would try; then it is removed.
func TestUnreadIsKeptForOthers(t *testing.T) {
	h, userID, log := unread(t)
	for day := range 8 {
		for range 5 {
			h.look(userID)
			h.clock.Pass(4*time.Hour + 40*time.Minute)
		}
		for _, name := range []string{"e:evt_aaaaaaaaaaaaaaaaaaaaaaaa", "d:evt_bbbbbbbbbbbbbbbbbbbbbbbb-hook-0"} {
			if !slices.Contains(h.fields(userID), name) {
				t.Fatalf("%s is gone on day %d", name, day)
			}
		}
		h.set(userID, "e:evt_aaaaaaaaaaaaaaaaaaaaaaaa", []byte{0xff, byte(day)}) // another version tries again
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "cannot be read") {
		t.Errorf("%d errors: %s", n, log)
	}
	h.clock.Pass(start.Add(8*24*time.Hour + time.Minute).Sub(h.clock.Now()))
	h.look(userID)
	if len(h.fields(userID)) == 0 {
		t.Fatal("the slot is gone before anything was removed")
	}
	for _, name := range h.fields(userID) {
		if strings.Contains(name, "evt_aaaa") || strings.Contains(name, "evt_bbbb") {
			t.Errorf("left over: %s", name)
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 2 || !strings.Contains(log.String(), "was removed") {
		t.Errorf("%d errors: %s", n, log)
	}
}

// Of what cannot be read nothing is left when it is taken out by who can.
func TestUnreadIsToldByOthers(t *testing.T) {
	h, userID, _ := unread(t)
	h.look(userID)
	all, err := h.memory.All(t.Context(), userID)
	if err != nil {
		t.Fatal(err)
	}
	task := h.tasks(userID)[0]
	h.set(userID, "e:evt_aaaaaaaaaaaaaaaaaaaaaaaa", all["e:"+task.Key])
	if n := len(h.ends(userID)); n != 2 {
		t.Errorf("%d events can be read", n)
	}
	h.look(userID)
	for _, task := range h.tasks(userID) {
		if ok, err := h.sweeper.Outbox().Drop(t.Context(), task); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if _, err := h.memory.Change(t.Context(), userID, cache.Change{Delete: []string{"d:evt_bbbbbbbbbbbbbbbbbbbbbbbb-hook-0"}}); err != nil {
		t.Fatal(err)
	}
	if left := h.sweepAll(userID); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}

// What cannot be read is told of by cache check, and a user of whom something
// cannot be is not copied.
func TestUnreadIsAProblem(t *testing.T) {
	h, userID, _ := unread(t)
	h.look(userID)
	var wrong []string
	tally, err := session.Survey(t.Context(), h.spy, nil, h.clock.Now, func(_ string, err error) { wrong = append(wrong, err.Error()) })
	if err != nil || tally.Problems != 1 || tally.Others != 0 || !strings.Contains(strings.Join(wrong, "\n"), "evt_aaaa") {
		t.Errorf("%+v, %v: %q", tally, err, wrong)
	}
	_, there := twoHouses(t)
	if c, _ := h.copyTo(there); c.New != 0 || c.Refused == 0 {
		t.Errorf("copied %+v", c)
	}
}
