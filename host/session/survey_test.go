package session_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/session"
)

// listing is a spy on a driver that lists what is due.
type listing struct {
	*spy
	cache.DueLister
}

func TestSurvey(t *testing.T) {
	h := newHouse(t)
	bytes := int64(0)
	for i := range 700 { // two pages
		id := h.jwt(fmt.Sprint("user ", i), time.Hour)
		token := h.create(id)
		if i%2 == 0 {
			h.create(h.jwt(fmt.Sprint("user ", i), 2*time.Hour))
		}
		if i%7 == 0 {
			if err := h.SetAttribute(t.Context(), id.UserID, sessionID(t, token), "a", "b"); err != nil {
				t.Fatal(err)
			}
		}
	}
	bad := h.jwt("user 3", time.Hour).UserID
	h.set(bad, "h", []byte("\xff"))
	h.set("no user", "x", []byte("y"))
	if err := h.Deactivate(t.Context(), h.jwt("zoe", 0).UserID, admin); err != nil {
		t.Fatal(err)
	}
	slots, _, err := h.memory.List(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		all, _ := h.memory.All(t.Context(), slot)
		bytes += int64(len(slot))
		for name, value := range all {
			bytes += int64(len(name) + len(value))
		}
	}
	h.clock.Pass(time.Hour)
	for _, member := range []string{bad + "@1", "of a later version"} {
		if err := h.memory.PutDue(t.Context(), int(crc32.ChecksumIEEE([]byte(bad))+1)%cache.DueLists, member, start.Add(56*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	changes := h.spy.changes.Load()
	var wrong []string
	tally, err := session.Survey(t.Context(), listing{h.spy, h.memory}, nil, h.clock.Now, func(key string, err error) { wrong = append(wrong, key+": "+err.Error()) })
	want := session.Tally{Users: 702, Deactivated: 1, Sessions: 350, Ended: 700, Attributes: 100, AttributeBytes: 500, Others: 1, Due: 703, Overdue: 1, Bytes: bytes, Problems: 3}
	slices.Sort(wrong)
	if tally != want || err != nil || len(wrong) != 3 || !strings.HasPrefix(wrong[0], "no user: ") ||
		!strings.HasPrefix(wrong[1], bad+": slot header") || !strings.HasPrefix(wrong[2], bad+": the entry ") {
		t.Errorf("%+v, %v, want %+v; %q", tally, err, want, wrong)
	}
	h.spy.failPing, h.spy.failReads = errDown, errDown
	if _, err := session.Survey(t.Context(), h.spy, nil, h.clock.Now, func(string, error) { t.Error("told") }); !errors.Is(err, errDown) {
		t.Errorf("a cache that is away: %v", err)
	}
	if n := h.spy.changes.Load(); n != changes {
		t.Errorf("%d changes", n-changes)
	}
}

// A cache in use is never taken for a damaged one, and what is copied from it
// in the end is what it holds.
func TestSurveyAndCopyOfACacheInUse(t *testing.T) {
	d, err := file.Open(file.Options{Dir: t.TempDir(), LockTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.New(session.Options{Realm: realm, Cache: d})
	if err != nil {
		t.Fatal(err)
	}
	w, err := session.NewSweeper(session.SweeperOptions{Cache: d})
	if err != nil {
		t.Fatal(err)
	}
	target := memory.New(time.Now)
	refused := func(key string, err error) { t.Error(key, err) }
	o := session.CopyOptions{From: d, To: target, Source: "here", Now: time.Now, Refused: refused}
	now := &house{t: t, clock: cachetest.NewClock(time.Now())}
	stop := make(chan struct{})
	var users sync.WaitGroup
	for i := range 4 {
		users.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := now.jwt(fmt.Sprint("user ", i, n%5), time.Hour)
				id.IssuedAt, id.Leeway = time.Now().Add(2*time.Second), 0 // after every logout
				token, _, err := s.Create(context.Background(), id, host.Terms{})
				if err == nil && n%2 == 0 {
					_, err = s.End(context.Background(), token)
				}
				if err == nil && n%7 == 0 {
					err = s.EndAll(context.Background(), id.UserID, admin, "test")
				}
				if err == nil && n%5 == 0 {
					_, err = w.Round(context.Background())
				}
				if _, known := errors.AsType[*host.Error](err); err != nil && !known {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if _, err := session.Survey(t.Context(), d, nil, time.Now, refused); err != nil {
			t.Error(err)
		}
		if _, err := session.Copy(t.Context(), o); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	users.Wait()
	if c, err := session.Copy(t.Context(), o); err != nil || c.Users == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	keys, _, err := target.List(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		here, err := d.All(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		there, err := target.All(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		delete(there, "c")
		if !maps.EqualFunc(here, there, slices.Equal) {
			t.Errorf("%s differs", key)
		}
	}
}
