package cachetest

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

func expiry(t *testing.T, s Store) {
	at := func(steps int) time.Time { return s.Now().Add(time.Duration(steps) * step) }
	one := func(slot string, expires time.Time) {
		t.Helper()
		change(t, s.A, slot, cache.Change{Put: []cache.Field{{Name: "a", Value: []byte("1")}}, Expires: expires}, true)
	}
	here, gone := map[string][]byte{"a": []byte("1")}, map[string][]byte{}
	soonest, later := at(2), at(4)

	one("short", at(2))
	one("lengthened", at(2))
	one("lengthened", at(4))
	one("not shortened", at(4))
	one("not shortened", at(2))
	one("delete only", at(2))
	change(t, s.A, "delete only", cache.Change{Delete: []string{"x"}, Expires: at(4)}, true)
	one("refused", at(2))
	change(t, s.B, "refused", cache.Change{If: []cache.Field{{Name: "a"}}, Put: []cache.Field{{Name: "b"}}, Expires: at(9)}, false)
	one("past", s.Now().Add(-time.Hour))

	want(t, s.B, "past", gone)
	for _, slot := range []string{"short", "lengthened", "not shortened", "delete only", "refused"} {
		wantBefore(t, s, s.B, slot, here, soonest)
	}
	s.Pass(2*step + step/2)
	want(t, s.A, "short", gone)
	want(t, s.B, "short", gone)
	want(t, s.A, "refused", gone)
	for _, slot := range []string{"lengthened", "not shortened", "delete only"} {
		wantBefore(t, s, s.A, slot, here, later)
		wantBefore(t, s, s.B, slot, here, later)
	}
	// What has expired is absent for a condition too, and nothing of it returns.
	change(t, s.B, "short", cache.Change{If: []cache.Field{{Name: "a", Value: []byte("1")}}, Put: []cache.Field{{Name: "b"}}, Expires: at(9)}, false)
	change(t, s.B, "short", cache.Change{If: []cache.Field{{Name: "a"}}, Put: []cache.Field{{Name: "b", Value: []byte("2")}}, Expires: at(9)}, true)
	want(t, s.A, "short", map[string][]byte{"b": []byte("2")})
	s.Pass(2 * step)
	want(t, s.A, "lengthened", gone)
	want(t, s.A, "not shortened", gone)
	want(t, s.A, "short", map[string][]byte{"b": []byte("2")})
}

// expiryAfterDelete proves that a slot made anew owes nothing to the deadline
// of the one before it.
func expiryAfterDelete(t *testing.T, s Store) {
	put(t, s, s.A, "slot", map[string][]byte{"a": []byte("1")})
	change(t, s.A, "slot", cache.Change{Delete: []string{"a"}}, true)
	expires := s.Now().Add(step)
	change(t, s.B, "slot", cache.Change{Put: []cache.Field{{Name: "a", Value: []byte("2")}}, Expires: expires}, true)
	wantBefore(t, s, s.A, "slot", map[string][]byte{"a": []byte("2")}, expires)
	s.Pass(step + step/2)
	want(t, s.A, "slot", map[string][]byte{})
}

// lastingSlot proves that a deadline a lifetime away is kept as it is.
func lastingSlot(t *testing.T, s Store) {
	change(t, s.A, "slot", cache.Change{Put: []cache.Field{{Name: "a"}}, Expires: s.Now().AddDate(100, 0, 0)}, true)
	change(t, s.B, "slot", cache.Change{Put: []cache.Field{{Name: "b"}}, Expires: s.Now().Add(step)}, true)
	s.Pass(step + step/2)
	want(t, s.A, "slot", map[string][]byte{"a": {}, "b": {}})
}

// wantBefore wants a slot to be there before a deadline. A machine that is so
// slow that the deadline is past by the time of the answer proves nothing.
func wantBefore(t *testing.T, s Store, d cache.Driver, slot string, fields map[string][]byte, deadline time.Time) {
	t.Helper()
	all, err := d.All(t.Context(), slot)
	if err != nil {
		t.Fatalf("All %q: %v", slot, err)
	}
	if !maps.EqualFunc(all, fields, bytes.Equal) && s.Now().Before(deadline) {
		t.Errorf("slot %q holds %.200q %v before its deadline, want %.200q", slot, all, deadline.Sub(s.Now()), fields)
	}
}
