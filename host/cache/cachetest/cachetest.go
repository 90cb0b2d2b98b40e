package cachetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// Store is one empty store behind two handles, as two replicas would hold it,
// and the clock by which its slots expire.
type Store struct {
	A, B cache.Driver
	Now  func() time.Time
	// Pass lets time pass on that clock: by moving it, or by waiting where the
	// clock is a server's.
	Pass func(time.Duration)
	// Interrupt cuts every watch of the store off; nil if nothing can. It is
	// called once, when a watch is known to be ready.
	Interrupt func()
}

// step is the unit in which the suite lets time pass; long beside what a
// server's answer takes, short beside a person's patience.
const step = time.Second

// Run runs the whole suite. open is called once for each part and returns an
// empty store, which it closes by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Store) {
	parts := []struct {
		name string
		run  func(t *testing.T, s Store)
	}{
		{"Absent", absent},
		{"PutGetAll", putGetAll},
		{"Keys", keys},
		{"Conditions", conditions},
		{"Delete", deletes},
		{"Expiry", expiry},
		{"ExpiryAfterDelete", expiryAfterDelete},
		{"LastingSlot", lastingSlot},
		{"Invalid", invalid},
		{"Cancelled", cancelled},
		{"Ownership", ownership},
		{"LargeSlot", largeSlot},
		{"Add", add},
		{"AddToWhatIsNoNumber", addToWhatIsNoNumber},
		{"AddExpiry", addExpiry},
		{"Due", due},
		{"DueMembers", dueMembers},
		{"DueLease", dueLease},
		{"DuePutWhileLeased", duePutWhileLeased},
		{"DueInvalid", dueInvalid},
		{"DueListed", dueListed},
		{"List", list},
		{"ListExpiry", listExpiry},
		{"Watch", watch},
		{"WatchEnds", watchEnds},
		{"WatchInterrupted", watchInterrupted},
		{"HammerAdd", hammerAdd},
		{"HammerDue", hammerDue},
		{"HammerList", hammerList},
		{"HammerWatch", hammerWatch},
		{"HammerCounter", hammerCounter},
		{"HammerFirst", hammerFirst},
		{"HammerSnapshot", hammerSnapshot},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, open(t)) })
	}
}

func absent(t *testing.T, s Store) {
	if err := s.A.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	want(t, s.A, "nobody", map[string][]byte{})
	got := get(t, s.B, "nobody", "a", "b")
	if len(got) != 2 || got[0] != nil || got[1] != nil {
		t.Errorf("Get of an absent slot = %q, want two nils", got)
	}
	if got := get(t, s.B, "nobody"); len(got) != 0 {
		t.Errorf("Get of no fields = %q, want none", got)
	}
	// A slot without fields is absent: nothing may come of such a change.
	change(t, s.A, "nobody", cache.Change{Delete: []string{"a"}, Expires: s.Now().Add(time.Hour)}, true)
	change(t, s.A, "nobody", cache.Change{If: []cache.Field{{Name: "a"}}}, true)
	want(t, s.B, "nobody", map[string][]byte{})
}

func putGetAll(t *testing.T, s Store) {
	fields := map[string][]byte{
		"plain": []byte("value"), "empty": {}, "binary": {0, 0xff, '\n', '\r', 0x80}, "n\x00\xff:\n": []byte("odd name"),
	}
	put(t, s, s.A, "slot", fields)
	want(t, s.A, "slot", fields)
	want(t, s.B, "slot", fields)
	got := get(t, s.B, "slot", "binary", "absent", "empty", "binary")
	if !bytes.Equal(got[0], fields["binary"]) || got[1] != nil || got[2] == nil || len(got[2]) != 0 || !bytes.Equal(got[3], got[0]) {
		t.Errorf("Get = %q", got)
	}
	put(t, s, s.B, "slot", map[string][]byte{"plain": []byte("other")})
	fields["plain"] = []byte("other")
	want(t, s.A, "slot", fields)
	put(t, s, s.A, "slot", map[string][]byte{"plain": nil})
	fields["plain"] = []byte{}
	want(t, s.B, "slot", fields)
}

// keys proves that a key is a name and never a place: no two meet, none leads
// out of the store.
func keys(t *testing.T, s Store) {
	slots := []string{"a", "A", "a ", "a/b", "a%2fb", "../a", "../../../../../../tmp/a", "/etc/passwd", "a\x00", "a\x00b", ".", "..", "{a}", "}{",
		"{}", "*", "a*", "a\n", "ä", "\xff\xfe", "con", "format", "lock", strings.Repeat("k", 5000)}
	for i, slot := range slots {
		put(t, s, s.A, slot, map[string][]byte{"n": fmt.Append(nil, i)})
	}
	for i, slot := range slots {
		want(t, s.B, slot, map[string][]byte{"n": fmt.Append(nil, i)})
	}
}

func conditions(t *testing.T, s Store) {
	put(t, s, s.A, "slot", map[string][]byte{"a": []byte("1"), "e": {}})
	before := map[string][]byte{"a": []byte("1"), "e": {}}
	for name, c := range map[string][]cache.Field{
		"other value":           {{Name: "a", Value: []byte("2")}},
		"longer value":          {{Name: "a", Value: []byte("1\x00")}},
		"empty for a value":     {{Name: "a", Value: []byte{}}},
		"absent for a value":    {{Name: "a"}},
		"absent for an empty":   {{Name: "e"}},
		"value for an absent":   {{Name: "x", Value: []byte("1")}},
		"empty for an absent":   {{Name: "x", Value: []byte{}}},
		"one of two holds":      {{Name: "a", Value: []byte("1")}, {Name: "e", Value: []byte("1")}},
		"two on one contradict": {{Name: "a", Value: []byte("1")}, {Name: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			change(t, s.B, "slot", cache.Change{If: c, Put: []cache.Field{{Name: "a", Value: []byte("new")}}, Delete: []string{"e"},
				Expires: s.Now().Add(time.Hour)}, false)
			want(t, s.A, "slot", before)
		})
	}
	change(t, s.B, "slot", cache.Change{
		If:     []cache.Field{{Name: "a", Value: []byte("1")}, {Name: "e", Value: []byte{}}, {Name: "x"}},
		Put:    []cache.Field{{Name: "x", Value: []byte("here")}},
		Delete: []string{"e", "never was"}, Expires: s.Now().Add(time.Hour),
	}, true)
	want(t, s.A, "slot", map[string][]byte{"a": []byte("1"), "x": []byte("here")})
	change(t, s.A, "slot", cache.Change{If: []cache.Field{{Name: "x", Value: []byte("here")}, {Name: "e"}}}, true)
	change(t, s.A, "slot", cache.Change{If: []cache.Field{{Name: "x", Value: []byte("gone")}}}, false)
	want(t, s.B, "slot", map[string][]byte{"a": []byte("1"), "x": []byte("here")})
}

func deletes(t *testing.T, s Store) {
	put(t, s, s.A, "slot", map[string][]byte{"a": []byte("1"), "b": []byte("2"), "c": []byte("3")})
	put(t, s, s.A, "neighbour", map[string][]byte{"a": []byte("n")})
	change(t, s.B, "slot", cache.Change{Delete: []string{"a", "c"}}, true)
	want(t, s.A, "slot", map[string][]byte{"b": []byte("2")})
	change(t, s.A, "slot", cache.Change{Delete: []string{"a", "c"}}, true) // again: nothing to do, and said so
	want(t, s.B, "slot", map[string][]byte{"b": []byte("2")})
	change(t, s.A, "slot", cache.Change{Delete: []string{"b"}}, true)
	want(t, s.B, "slot", map[string][]byte{})
	want(t, s.B, "neighbour", map[string][]byte{"a": []byte("n")})
	change(t, s.B, "slot", cache.Change{If: []cache.Field{{Name: "b"}}, Put: []cache.Field{{Name: "b", Value: []byte("9")}}, Expires: s.Now().Add(time.Hour)}, true)
	want(t, s.A, "slot", map[string][]byte{"b": []byte("9")})
}

func invalid(t *testing.T, s Store) {
	soon := s.Now().Add(time.Hour)
	for name, c := range map[string]cache.Change{
		"no deadline":       {Put: []cache.Field{{Name: "a"}}},
		"put twice":         {Put: []cache.Field{{Name: "a"}, {Name: "a"}}, Expires: soon},
		"put and delete":    {Put: []cache.Field{{Name: "a"}}, Delete: []string{"a"}, Expires: soon},
		"put unnamed":       {Put: []cache.Field{{}}, Expires: soon},
		"delete unnamed":    {Delete: []string{""}},
		"condition unnamed": {If: []cache.Field{{}}},
	} {
		if applied, err := s.A.Change(t.Context(), "slot", c); err == nil || applied {
			t.Errorf("%s: Change = %v, %v, want an error", name, applied, err)
		}
	}
	if _, err := s.A.Change(t.Context(), "", cache.Change{Put: []cache.Field{{Name: "a"}}, Expires: soon}); err == nil {
		t.Error("a slot without a key was changed")
	}
	want(t, s.B, "slot", map[string][]byte{})
}

// cancelled proves that a caller who gave up is told so, never "absent".
func cancelled(t *testing.T, s Store) {
	put(t, s, s.A, "slot", map[string][]byte{"a": []byte("1")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := s.A.Get(ctx, "slot", "a"); err == nil {
		t.Errorf("Get = %q without error", v)
	}
	if v, err := s.A.All(ctx, "slot"); err == nil {
		t.Errorf("All = %q without error", v)
	}
	if applied, err := s.A.Change(ctx, "slot", cache.Change{Delete: []string{"a"}}); err == nil || applied {
		t.Errorf("Change = %v, %v, want an error", applied, err)
	}
	if n, err := s.A.Add(ctx, "slot", "n", 1, s.Now().Add(time.Hour)); err == nil {
		t.Errorf("Add = %d without error", n)
	}
	if s.A.PutDue(ctx, 0, "slot", s.Now()) == nil {
		t.Error("PutDue without error")
	}
	if members, err := s.A.LeaseDue(ctx, 0, s.Now(), s.Now().Add(time.Hour), 1); err == nil {
		t.Errorf("LeaseDue = %q without error", members)
	}
	if s.A.DropDue(ctx, 0, "slot", s.Now()) == nil {
		t.Error("DropDue without error")
	}
	if slots, _, err := s.A.List(ctx, "", 10); err == nil {
		t.Errorf("List = %q without error", slots)
	}
	if s.A.Ping(ctx) == nil {
		t.Error("Ping without error")
	}
	want(t, s.B, "slot", map[string][]byte{"a": []byte("1")})
}

// ownership proves that a driver keeps nothing of what the caller may alter.
func ownership(t *testing.T, s Store) {
	value, condition := []byte("abc"), []byte("abc")
	change(t, s.A, "slot", cache.Change{Put: []cache.Field{{Name: "a", Value: value}}, Expires: s.Now().Add(time.Hour)}, true)
	value[0] = 'X'
	want(t, s.A, "slot", map[string][]byte{"a": []byte("abc")})
	change(t, s.A, "slot", cache.Change{If: []cache.Field{{Name: "a", Value: condition}}, Put: []cache.Field{{Name: "b", Value: condition}},
		Expires: s.Now().Add(time.Hour)}, true)
	condition[0] = 'X'
	want(t, s.B, "slot", map[string][]byte{"a": []byte("abc"), "b": []byte("abc")})
	all, err := s.A.All(t.Context(), "slot")
	if err != nil {
		t.Fatal(err)
	}
	delete(all, "a") // the map, unlike the values, is the caller's
	want(t, s.A, "slot", map[string][]byte{"a": []byte("abc"), "b": []byte("abc")})
}

// get, put, change and want do one thing each and stop the test on an error.

func get(t *testing.T, d cache.Driver, slot string, fields ...string) [][]byte {
	t.Helper()
	v, err := d.Get(t.Context(), slot, fields...)
	if err != nil {
		t.Fatalf("Get %q: %v", slot, err)
	}
	return v
}

func put(t *testing.T, s Store, d cache.Driver, slot string, fields map[string][]byte) {
	t.Helper()
	c := cache.Change{Expires: s.Now().Add(time.Hour)}
	for name, value := range fields {
		c.Put = append(c.Put, cache.Field{Name: name, Value: value})
	}
	change(t, d, slot, c, true)
}

func change(t *testing.T, d cache.Driver, slot string, c cache.Change, applied bool) {
	t.Helper()
	got, err := d.Change(t.Context(), slot, c)
	if err != nil {
		t.Fatalf("Change %q: %v", slot, err)
	}
	if got != applied {
		t.Fatalf("Change %q applied: %v, want %v", slot, got, applied)
	}
}

func want(t *testing.T, d cache.Driver, slot string, fields map[string][]byte) {
	t.Helper()
	all, err := d.All(t.Context(), slot)
	if err != nil {
		t.Fatalf("All %q: %v", slot, err)
	}
	if !maps.EqualFunc(all, fields, bytes.Equal) {
		t.Errorf("slot %.40q holds %.200q, want %.200q", slot, all, fields)
	}
	for name, value := range fields {
		if got := get(t, d, slot, name)[0]; got == nil || !bytes.Equal(got, value) {
			t.Errorf("slot %.40q field %q = %.80q, want %.80q", slot, name, got, value)
		}
	}
}
