package cachetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// moment is a time in a test of due-lists, which are told what time it is.
func moment(minutes int) time.Time {
	return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

func due(t *testing.T, s Store) {
	wantDue(t, s.A, 0, moment(0), moment(1), 10) // nothing yet
	putDue(t, s.A, 0, "c", moment(30))
	putDue(t, s.B, 0, "a", moment(10))
	putDue(t, s.A, 0, "b", moment(20))
	putDue(t, s.B, cache.DueLists-1, "z", moment(5)) // another list
	putDue(t, s.A, cache.DueLists-1, "a", moment(6)) // another member of that name
	put(t, s, s.A, "a", map[string][]byte{"x": {}})  // a slot of that name is another thing

	wantDue(t, s.A, 0, moment(9), moment(60), 10)
	wantDue(t, s.B, 0, moment(10).Add(-time.Millisecond), moment(60), 10)
	wantDue(t, s.B, 0, moment(20), moment(60), 1, "a")
	wantDue(t, s.A, 0, moment(25), moment(60), 10, "b")
	wantDue(t, s.A, cache.DueLists-1, moment(6), moment(60), 1, "z")
	wantDue(t, s.A, cache.DueLists-1, moment(6), moment(60), 1, "a")

	// A later moment is nothing; an earlier one moves the member.
	putDue(t, s.B, 0, "c", moment(40))
	putDue(t, s.A, 0, "d", moment(50))
	putDue(t, s.B, 0, "d", moment(20))
	putDue(t, s.A, 0, "d", moment(45))
	putDue(t, s.A, 0, "long ago", time.Unix(-5, 0))
	putDue(t, s.A, 0, "never said", time.Time{})
	wantTogether(t, s.A, 0, moment(0), moment(60), "long ago", "never said")
	wantDue(t, s.A, 0, moment(30), moment(60), 10, "d", "c")

	// A fraction of a millisecond delays nothing and is kept by nobody.
	putDue(t, s.A, 1, "now", moment(1).Add(999*time.Microsecond))
	wantDue(t, s.B, 1, moment(1).Add(999*time.Microsecond), moment(2).Add(time.Microsecond), 1, "now")
	dropDue(t, s.A, 1, "now", moment(2).Add(time.Microsecond))
	wantDue(t, s.B, 1, moment(60), moment(61), 1)
}

// dueMembers proves that a member is a name and never a place or a key, and
// comes back as it was put.
func dueMembers(t *testing.T, s Store) {
	members := []string{"a", "A", "a/b", "../a", "../../../../tmp/a", "/etc/passwd", "a\x00", "a\x00b", ".", "..", "{a}", "*", "a\n", "ä", "\xff\xfe",
		"lock", "1", "1.5", "-inf", "(", "[a", strings.Repeat("m", 5000)}
	for i, m := range members {
		putDue(t, s.A, 7, m, moment(i))
	}
	wantDue(t, s.B, 7, moment(99), moment(100), 99, members...)
	for _, m := range members[1:] {
		dropDue(t, s.A, 7, m, moment(100))
	}
	wantDue(t, s.B, 7, moment(100), moment(101), 99, members[0])
	wantSlots(t, s.A) // nothing of it is a slot
}

func dueLease(t *testing.T, s Store) {
	for i := range 5 {
		putDue(t, s.A, 3, fmt.Sprint("m", i), moment(i))
	}
	wantDue(t, s.A, 3, moment(10), moment(20), 2, "m0", "m1")
	wantDue(t, s.B, 3, moment(10), moment(25), 2, "m2", "m3")
	wantDue(t, s.A, 3, moment(10), moment(20), 2, "m4")
	wantDue(t, s.B, 3, moment(19), moment(40), 9) // all given out
	dropDue(t, s.B, 3, "m0", moment(20))          // whoever says it
	dropDue(t, s.B, 3, "m0", moment(20))          // again
	dropDue(t, s.A, 3, "m1", moment(21))          // nobody has it until then
	dropDue(t, s.A, 3, "never was", moment(20))
	wantTogether(t, s.B, 3, moment(20), moment(30), "m1", "m4") // their taker died
	dropDue(t, s.A, 3, "m1", moment(20))                        // it comes to, too late
	wantTogether(t, s.A, 3, moment(26), moment(40), "m2", "m3")
	dropDue(t, s.A, 3, "m2", moment(40))
	dropDue(t, s.A, 3, "m3", moment(40))
	dropDue(t, s.B, 3, "m4", moment(30))
	wantDue(t, s.A, 3, moment(99), moment(100), 9, "m1")
	dropDue(t, s.B, 3, "m1", moment(100))
	wantDue(t, s.A, 3, moment(999), moment(1000), 9)

	putDue(t, s.A, 3, "m1", moment(1)) // dropped, it can be put again
	dropDue(t, s.A, 3, "m1", moment(1))
	wantDue(t, s.B, 3, moment(1), moment(2), 9, "m1") // and nobody had it
}

// duePutWhileLeased proves that what is put while somebody has the member is
// not lost when that one drops it.
func duePutWhileLeased(t *testing.T, s Store) {
	// To a moment before the lease ends: given out then.
	putDue(t, s.A, 3, "early", moment(0))
	wantDue(t, s.A, 3, moment(1), moment(20), 9, "early")
	putDue(t, s.B, 3, "early", moment(5))
	wantDue(t, s.B, 3, moment(4), moment(30), 9)
	dropDue(t, s.A, 3, "early", moment(20))
	wantDue(t, s.B, 3, moment(5), moment(30), 9, "early")
	dropDue(t, s.B, 3, "early", moment(30))
	wantDue(t, s.A, 3, moment(99), moment(100), 9)

	// Later: kept until it is dropped, then on the list for the earliest.
	for _, end := range []int{50, 20} { // 20: at the very end of the lease
		putDue(t, s.A, 3, "late", moment(0))
		wantDue(t, s.A, 3, moment(1), moment(20), 9, "late")
		putDue(t, s.B, 3, "late", moment(60))
		putDue(t, s.A, 3, "late", moment(end))
		putDue(t, s.B, 3, "late", moment(70))
		wantDue(t, s.B, 3, moment(19), moment(30), 9)
		dropDue(t, s.A, 3, "late", moment(20))
		dropDue(t, s.A, 3, "late", moment(20)) // again, which drops nothing more
		wantDue(t, s.B, 3, moment(end).Add(-time.Millisecond), moment(90), 9)
		wantDue(t, s.B, 3, moment(end), moment(90), 9, "late")
		dropDue(t, s.B, 3, "late", moment(90))
		wantDue(t, s.A, 3, moment(99), moment(100), 9)
	}

	// Its taker dies: it comes when the lease ends, and all is as before then.
	putDue(t, s.A, 3, "orphan", moment(0))
	wantDue(t, s.A, 3, moment(1), moment(20), 9, "orphan")
	putDue(t, s.B, 3, "orphan", moment(50))
	wantDue(t, s.B, 3, moment(20), moment(30), 9, "orphan")
	dropDue(t, s.B, 3, "orphan", moment(30))
	wantDue(t, s.A, 3, moment(99), moment(100), 9)

	// Put before the lease ends and after: the earlier counts.
	putDue(t, s.A, 3, "both", moment(0))
	wantDue(t, s.A, 3, moment(1), moment(20), 9, "both")
	putDue(t, s.B, 3, "both", moment(50))
	putDue(t, s.B, 3, "both", moment(10))
	dropDue(t, s.A, 3, "both", moment(20))
	wantDue(t, s.A, 3, moment(10), moment(30), 9, "both")
	dropDue(t, s.A, 3, "both", moment(30))
	wantDue(t, s.A, 3, moment(99), moment(100), 9)
}

func dueInvalid(t *testing.T, s Store) {
	for _, list := range []int{-1, cache.DueLists} {
		if s.A.PutDue(t.Context(), list, "m", moment(0)) == nil {
			t.Errorf("PutDue on list %d without error", list)
		}
		if m, err := s.A.LeaseDue(t.Context(), list, moment(0), moment(1), 1); err == nil {
			t.Errorf("LeaseDue of list %d = %q without error", list, m)
		}
		if s.A.DropDue(t.Context(), list, "m", moment(0)) == nil {
			t.Errorf("DropDue on list %d without error", list)
		}
	}
	if s.A.PutDue(t.Context(), 0, "", moment(0)) == nil || s.A.DropDue(t.Context(), 0, "", moment(0)) == nil {
		t.Error("a member without a name was put or dropped without error")
	}
	putDue(t, s.A, 0, "m", moment(0))
	if m, err := s.A.LeaseDue(t.Context(), 0, moment(1), moment(1), 1); err == nil {
		t.Errorf("a lease that ends when it begins gave out %q", m)
	}
	wantDue(t, s.B, 0, moment(1), moment(2), 1, "m")
}

func putDue(t *testing.T, d cache.Driver, list int, member string, at time.Time) {
	t.Helper()
	if err := d.PutDue(t.Context(), list, member, at); err != nil {
		t.Fatalf("PutDue %.40q: %v", member, err)
	}
}

func dropDue(t *testing.T, d cache.Driver, list int, member string, until time.Time) {
	t.Helper()
	if err := d.DropDue(t.Context(), list, member, until); err != nil {
		t.Fatalf("DropDue %.40q: %v", member, err)
	}
}

func leaseDue(t *testing.T, d cache.Driver, list int, now, until time.Time, most int) []string {
	t.Helper()
	members, err := d.LeaseDue(t.Context(), list, now, until, most)
	if err != nil {
		t.Fatalf("LeaseDue: %v", err)
	}
	return members
}

func wantDue(t *testing.T, d cache.Driver, list int, now, until time.Time, most int, want ...string) {
	t.Helper()
	if got := leaseDue(t, d, list, now, until, most); !slices.Equal(got, want) {
		t.Errorf("due at %s: %.200q, want %.200q", now.Format(time.TimeOnly), got, want)
	}
}

// wantTogether wants members that are due at one moment, in whatever order.
func wantTogether(t *testing.T, d cache.Driver, list int, now, until time.Time, want ...string) {
	t.Helper()
	got := leaseDue(t, d, list, now, until, 99)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("due at %s: %.200q, want %.200q in any order", now.Format(time.TimeOnly), got, want)
	}
}

// dueListed proves that a list is shown whole, page by page, and that to look
// takes nothing from it. What stands in front of a driver need not show any.
func dueListed(t *testing.T, s Store) {
	lister, ok := s.B.(cache.DueLister)
	if !ok {
		return
	}
	listed := func(list int) map[string]int64 {
		t.Helper()
		got := map[string]int64{}
		for next := ""; ; {
			members, following, err := lister.ListDue(t.Context(), list, next)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range members {
				if _, twice := got[m.Name]; twice {
					t.Errorf("%q is listed twice", m.Name)
				}
				got[m.Name] = m.At.UnixMilli()
			}
			if following == "" {
				return got
			}
			next = following
		}
	}
	want := map[string]int64{}
	check := func() {
		t.Helper()
		if got := listed(11); !maps.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
	}
	check()
	for i := range 300 {
		m := fmt.Sprint("m", i)
		putDue(t, s.A, 11, m, moment(i))
		want[m] = moment(i).UnixMilli()
	}
	for _, odd := range []string{"\x00", "a/b", "\xff", strings.Repeat("m", 5000)} {
		putDue(t, s.A, 11, odd, moment(400))
		want[odd] = moment(400).UnixMilli()
	}
	check()
	wantDue(t, s.A, 11, moment(1), moment(500), 9, "m0", "m1")
	want["m0"], want["m1"] = moment(500).UnixMilli(), moment(500).UnixMilli()
	dropDue(t, s.A, 11, "m0", moment(500))
	delete(want, "m0")
	check()
	if got := listed(12); len(got) != 0 {
		t.Errorf("another list holds %v", got)
	}
	for _, list := range []int{-1, cache.DueLists} {
		if _, _, err := lister.ListDue(t.Context(), list, ""); err == nil {
			t.Errorf("there is a list %d", list)
		}
	}
}
