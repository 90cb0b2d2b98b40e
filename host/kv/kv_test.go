package kv_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/kv"
	"github.com/authhost/authhost/host/kv/kvtest"
	"github.com/authhost/authhost/host/session"
)

func open(t *testing.T, o kv.Options) *kv.Space {
	t.Helper()
	s, err := kv.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeys(t *testing.T) {
	kvtest.Run(t, func(t *testing.T, keys int) kvtest.Shared {
		s := kvtest.Shared{Clock: &kvtest.Clock{}}
		d := memory.New(s.Clock.Now)
		for range 3 {
			s.Replicas = append(s.Replicas, open(t, kv.Options{Cache: d, Plugin: "p", Keys: keys, Now: s.Clock.Now}))
		}
		return s
	})
}

func TestOptions(t *testing.T) {
	d := memory.New(nil)
	for _, o := range []kv.Options{{}, {Cache: d, Keys: 1}, {Cache: d, Plugin: "a/b", Keys: 1}, {Cache: d, Plugin: "a"}, {Cache: d, Plugin: "a", Keys: kv.MaxKeys + 1}} {
		if _, err := kv.New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// stopping fails every change from the one with that number on.
type stopping struct {
	cache.Driver
	left int
	made bool // the first that fails is made all the same
}

var errStopped = errors.New("stopped")

func (s *stopping) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	if s.left--; s.left < 0 {
		if s.made && s.left == -1 {
			_, _ = s.Driver.Change(ctx, slot, c)
		}
		return false, errStopped
	}
	return s.Driver.Change(ctx, slot, c)
}

// A replica that is killed between two changes leaves the bound as it is: at
// no moment there are more keys than that, and once the deadline of what it was
// about is past all places are free again.
func TestKilledBetweenTwoChanges(t *testing.T) {
	const keys = 2
	for variant := range 4 {
		made, before := variant%2 == 1, []int{keys, 5000}[variant/2] // as the bound is, or was when there was one key
		for changes := range 9 {
			clock := &kvtest.Clock{}
			d := memory.New(clock.Now)
			mine := func(d cache.Driver) *kv.Space {
				return open(t, kv.Options{Cache: d, Plugin: "p", Keys: keys, Now: clock.Now})
			}
			first := open(t, kv.Options{Cache: d, Plugin: "p", Keys: before, Now: clock.Now})
			if done, err := first.Set(t.Context(), "old", nil, []byte("1"), false, time.Minute); !done || err != nil {
				t.Fatal(done, err)
			}
			dying := &stopping{Driver: d, left: changes, made: made}
			// Prolonged, cut short, deleted, made anew: as far as it gets.
			s := mine(dying)
			steps := []func() (bool, error){
				func() (bool, error) { return s.Set(t.Context(), "old", []byte("1"), []byte("2"), false, time.Hour) },
				func() (bool, error) { return s.Set(t.Context(), "old", []byte("2"), []byte("3"), false, time.Minute) },
				func() (bool, error) { return s.Set(t.Context(), "old", []byte("3"), nil, false, 0) },
				func() (bool, error) { return s.Set(t.Context(), "new", nil, []byte("4"), false, time.Minute) },
			}
			var err error
			for _, step := range steps {
				if _, err = step(); err != nil {
					break
				}
			}
			if e, ok := errors.AsType[*host.Error](err); !ok || e.Kind != host.Unavailable {
				t.Fatalf("%d changes: %v", changes, err)
			}
			live := func() (n int) {
				for _, key := range []string{"old", "new", "a", "b", "c"} {
					if _, ok, err := mine(d).Get(t.Context(), key); err != nil {
						t.Fatal(err)
					} else if ok {
						n++
					}
				}
				return n
			}
			for _, key := range []string{"a", "b", "c"} {
				_, _, _ = mine(d).Add(t.Context(), key, 1, time.Hour)
				if n := live(); n > keys {
					t.Errorf("%d changes, made %v: %d keys live", changes, made, n)
				}
			}
			clock.Pass(2 * time.Hour)
			for _, key := range []string{"a", "b"} {
				if _, ok, err := mine(d).Add(t.Context(), key, 1, time.Minute); !ok || err != nil {
					t.Errorf("%d changes, made %v: no place for %s after all: %v", changes, made, key, err)
				}
			}
			if n := live(); n != keys {
				t.Errorf("%d changes, made %v: %d keys live in the end", changes, made, n)
			}
			survey(t, d, clock, "")
		}
	}
}

// survey expects that everything in a cache can be read, or what cannot.
func survey(t *testing.T, d cache.Driver, clock *kvtest.Clock, wrong string) kv.Tally {
	t.Helper()
	s := kv.Survey{Now: clock.Now}
	slots, _, err := d.List(t.Context(), "", 20_000)
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, slot := range slots {
		if !kv.Owns(slot) {
			t.Errorf("slot %q", slot)
		}
		all, err := d.All(t.Context(), slot)
		errs = append(errs, err, s.Examine(slot, all))
	}
	err = errors.Join(errs...)
	if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
		t.Errorf("survey: %v, want %q", err, wrong)
	}
	return s.Tally()
}

func TestSurvey(t *testing.T) {
	clock := &kvtest.Clock{}
	d := memory.New(clock.Now)
	s := open(t, kv.Options{Cache: d, Plugin: "p", Keys: 10, Now: clock.Now})
	for key, ttl := range map[string]time.Duration{"a": time.Second, "b": time.Hour, "c": time.Hour} {
		if _, _, err := s.Add(t.Context(), key, 1, ttl); err != nil {
			t.Fatal(err)
		}
	}
	clock.Pass(2 * time.Second)
	if got := survey(t, d, clock, ""); got.Keys != 2 || got.Ended != 1 || got.Entries != 3 || got.Bytes == 0 {
		t.Errorf("%+v", got)
	}
	put := func(slot, name, value, wrong string) {
		t.Helper()
		old, err := d.Get(t.Context(), slot, name)
		if err != nil {
			t.Fatal(err)
		}
		set := func(value []byte) {
			c := cache.Change{Put: []cache.Field{{Name: name, Value: value}}, Expires: clock.Now().Add(time.Hour)}
			if value == nil {
				c = cache.Change{Delete: []string{name}}
			}
			if _, err := d.Change(t.Context(), slot, c); err != nil {
				t.Fatal(err)
			}
		}
		set([]byte(value))
		survey(t, d, clock, wrong)
		set(old[0])
	}
	put("kv/p/i/0", "n", "4", "it counts 4 entries and has 3")
	put("kv/p/i/0", "n", "x", "a number is damaged")
	put("kv/p/i/0", "e:0123456789abcdef", "x", "an entry is damaged")
	put("kv/p/k/YQ", "m", "x", "key: ")
	put("kv/p/k/!", "m", "x", "its name")
	put("kv/p/x", "m", "x", "neither a key nor an index")
	survey(t, d, clock, "")
}

// Who surveys and copies users' slots passes those of plugins over, and has them
// examined.
func TestUsersAndPluginsShareACache(t *testing.T) {
	clock := &kvtest.Clock{}
	d := memory.New(clock.Now)
	s := open(t, kv.Options{Cache: d, Plugin: "p", Keys: 10, Now: clock.Now})
	if _, _, err := s.Add(t.Context(), "a", 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	plugins := kv.Survey{Now: clock.Now}
	told := func(key string, err error) { t.Errorf("%s: %v", key, err) }
	tally, err := session.Survey(t.Context(), d, &plugins, clock.Now, told)
	if err != nil || tally.Users != 0 || tally.Problems != 0 || plugins.Tally().Keys != 1 {
		t.Errorf("%+v, %+v, %v", tally, plugins.Tally(), err)
	}
	copied, err := session.Copy(t.Context(), session.CopyOptions{From: d, To: memory.New(clock.Now), Source: "here", Now: clock.Now, Others: kv.Owns, Refused: told})
	if err != nil || copied.Others != 2 || copied.Users != 0 {
		t.Errorf("%+v, %v", copied, err)
	}
}
