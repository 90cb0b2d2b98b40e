package cachetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

func add(t *testing.T, s Store) {
	sum := func(d cache.Driver, field string, delta, want int64) {
		t.Helper()
		mustAdd(t, d, "slot", field, delta, want, s.Now().Add(time.Hour))
	}
	sum(s.A, "n", 5, 5)
	sum(s.B, "n", 1, 6)
	sum(s.A, "n", -10, -4)
	sum(s.B, "n", 0, -4)
	sum(s.B, "zero", 0, 0)
	sum(s.A, "n\x00\xff:\n", 1, 1)
	sum(s.A, "big", math.MaxInt64, math.MaxInt64)
	sum(s.B, "big", -1, math.MaxInt64-1) // every digit counts
	sum(s.A, "small", math.MinInt64, math.MinInt64)
	want(t, s.B, "slot", map[string][]byte{"n": []byte("-4"), "zero": []byte("0"), "n\x00\xff:\n": []byte("1"),
		"big": []byte("9223372036854775806"), "small": []byte("-9223372036854775808")})

	// A number is a field like others: tested, put, deleted and begun anew.
	change(t, s.A, "slot", cache.Change{If: []cache.Field{{Name: "n", Value: []byte("-4")}}, Put: []cache.Field{{Name: "n", Value: []byte("7")}},
		Delete: []string{"big", "small", "zero", "n\x00\xff:\n"}, Expires: s.Now().Add(time.Hour)}, true)
	sum(s.B, "n", 1, 8)
	change(t, s.A, "slot", cache.Change{Delete: []string{"n"}}, true)
	want(t, s.B, "slot", map[string][]byte{})
	sum(s.B, "n", 1, 1)
	want(t, s.A, "slot", map[string][]byte{"n": []byte("1")})
}

// addToWhatIsNoNumber proves that an addition which cannot be made changes
// nothing: neither the field nor the slot.
func addToWhatIsNoNumber(t *testing.T, s Store) {
	for i, value := range []string{"", "x", "1x", " 1", "1 ", "+1", "01", "-0", "--1", "1.5", "1e3", "0x1", "1\n", "1\x00", "9223372036854775808", "-9223372036854775809"} {
		slot, fields := fmt.Sprint("slot ", i), map[string][]byte{"n": []byte(value)}
		put(t, s, s.A, slot, fields)
		if n, err := s.B.Add(t.Context(), slot, "n", 1, s.Now().Add(time.Hour)); err == nil {
			t.Errorf("Add to %q = %d without error", value, n)
		}
		want(t, s.A, slot, fields)
	}
	for _, end := range []int64{math.MaxInt64, math.MinInt64} {
		slot := fmt.Sprint(end)
		put(t, s, s.A, slot, map[string][]byte{"n": []byte(slot)})
		if n, err := s.B.Add(t.Context(), slot, "n", end/math.MaxInt64, s.Now().Add(time.Hour)); err == nil {
			t.Errorf("Add past %d = %d without error", end, n)
		}
		want(t, s.A, slot, map[string][]byte{"n": []byte(slot)})
	}
	soon := s.Now().Add(time.Hour)
	for name, call := range map[string]func() (int64, error){
		"no slot":     func() (int64, error) { return s.A.Add(t.Context(), "", "n", 1, soon) },
		"no field":    func() (int64, error) { return s.A.Add(t.Context(), "fresh", "", 1, soon) },
		"no deadline": func() (int64, error) { return s.A.Add(t.Context(), "fresh", "n", 1, time.Time{}) },
	} {
		if n, err := call(); err == nil {
			t.Errorf("%s: Add = %d without error", name, n)
		}
	}
	want(t, s.B, "fresh", map[string][]byte{})
}

func addExpiry(t *testing.T, s Store) {
	at := func(steps int) time.Time { return s.Now().Add(time.Duration(steps) * step) }
	mustAdd(t, s.A, "short", "n", 3, 3, at(2))
	mustAdd(t, s.A, "lengthened", "n", 3, 3, at(2))
	mustAdd(t, s.B, "lengthened", "n", 1, 4, at(9))
	mustAdd(t, s.A, "not shortened", "n", 3, 3, at(9))
	mustAdd(t, s.B, "not shortened", "n", 1, 4, at(2))
	mustAdd(t, s.A, "past", "n", 3, 3, s.Now().Add(-time.Hour))
	want(t, s.B, "past", map[string][]byte{})
	s.Pass(2*step + step/2)
	want(t, s.B, "short", map[string][]byte{})
	want(t, s.B, "lengthened", map[string][]byte{"n": []byte("4")})
	want(t, s.A, "not shortened", map[string][]byte{"n": []byte("4")})
	mustAdd(t, s.B, "short", "n", 1, 1, at(9)) // nothing of the old sum returns
	want(t, s.A, "short", map[string][]byte{"n": []byte("1")})
}

func mustAdd(t *testing.T, d cache.Driver, slot, field string, delta, want int64, expires time.Time) {
	t.Helper()
	got, err := d.Add(t.Context(), slot, field, delta, expires)
	if err != nil {
		t.Fatalf("Add %d to %q of %q: %v", delta, field, slot, err)
	}
	if got != want {
		t.Errorf("Add %d to %q of %q = %d, want %d", delta, field, slot, got, want)
	}
}
