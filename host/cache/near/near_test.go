package near_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/near"
)

func TestOptions(t *testing.T) {
	for name, o := range map[string]near.Options{
		"no driver":          {MaxStaleness: time.Second},
		"negative staleness": {Driver: newRemote(), MaxStaleness: -1},
		"negative entries":   {Driver: newRemote(), Entries: -1},
	} {
		if _, err := near.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// An answer's age counts from when its read was sent, however long that took.
func TestAgeCountsFromSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRemote(), new(counts)
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Second, Metrics: m})
		r.change("u", put("a", "in"))
		r.answer(taking(800 * time.Millisecond))
		want(t, r, c, "u", "in", 1) // sent at 0, answered at 800 ms
		r.answer(nil)
		r.change("u", put("a", "out"))
		time.Sleep(200 * time.Millisecond)
		want(t, r, c, "u", "in", 0)
		time.Sleep(time.Nanosecond)
		want(t, r, c, "u", "out", 1)
		want(t, r, c, "u", "out", 0)
		if m.hits.Load() != 2 || m.misses.Load() != 2 {
			t.Errorf("%d hits and %d misses counted, want 2 and 2", m.hits.Load(), m.misses.Load())
		}
	})
}

// A read sent before a logout and answered long after serves nobody who asked
// more than MaxStaleness after it was sent: neither who finds it under way nor
// who comes when it is answered. No message tells of the logout.
func TestSlowReadIsNotJoinedTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Second})
		r.change("u", put("a", "in"))
		r.answer(taking(5 * time.Second))
		ask := func(value string) {
			go func() {
				if got := get(t, c, "u"); got != value {
					t.Errorf("a caller was given %s, want %s", got, value)
				}
			}()
			synctest.Wait()
		}
		ask("in")
		time.Sleep(time.Second / 2)
		r.change("u", put("a", "out"))
		time.Sleep(time.Second / 2)
		ask("in") // exactly a second after it was sent: joins
		if n := r.gets.Load(); n != 1 {
			t.Errorf("%d reads were sent, want 1", n)
		}
		time.Sleep(time.Nanosecond)
		ask("out")
		if n := r.gets.Load(); n != 2 {
			t.Errorf("%d reads were sent, want 2", n)
		}
		time.Sleep(time.Second - 1)
		ask("out") // joins the second
		if n := r.gets.Load(); n != 2 {
			t.Errorf("%d reads were sent, want 2", n)
		}
		time.Sleep(3*time.Second + 1) // the first was answered a moment ago
		r.answer(nil)
		want(t, r, c, "u", "out", 1)
		time.Sleep(5 * time.Second)
	})
}

// The answer of an older read does not replace that of a later one.
func TestLaterReadWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Second})
		r.change("u", put("a", "old"))
		r.answer(taking(5 * time.Second))
		go get(t, c, "u")
		time.Sleep(4500 * time.Millisecond)
		r.answer(nil)
		r.change("u", put("a", "new"))
		want(t, r, c, "u", "new", 1)
		time.Sleep(700 * time.Millisecond)
		want(t, r, c, "u", "new", 0)
	})
}

func TestZeroReadsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r})
		r.change("u", put("a", "in"))
		r.answer(taking(time.Second))
		for range 3 {
			go get(t, c, "u") // at one and the same moment of the clock
		}
		synctest.Wait()
		if n := r.gets.Load(); n != 3 {
			t.Errorf("3 callers, %d reads", n)
		}
		time.Sleep(time.Second)
		r.answer(nil)
		want(t, r, c, "u", "in", 1)
		r.change("u", put("a", "out"))
		want(t, r, c, "u", "out", 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || r.watches.Load() != 0 {
			t.Errorf("Run = %v, watched %d times", err, r.watches.Load())
		}
	})
}

func TestReadThroughHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Hour})
		d := c.ReadThrough()
		r.change("u", put("a", "in"))
		want(t, r, c, "u", "in", 1)
		r.change("u", put("a", "out"))
		want(t, r, d, "u", "out", 1)
		want(t, r, d, "u", "out", 1)
		want(t, r, c, "u", "in", 0)
		if applied, err := d.Change(t.Context(), "u", put("a", "back")); !applied || err != nil {
			t.Fatal(applied, err)
		}
		want(t, r, c, "u", "back", 1)
		r.change("u", put("a", "again"))
		if all, err := c.All(t.Context(), "u"); err != nil || string(all["a"]) != "again" {
			t.Errorf("All = %q, %v", all, err)
		}
	})
}

// Each field list is a read of its own: what one caller is given was there at
// one moment.
func TestFieldsOfOneAnswerBelongTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Hour})
		both := func(v string) cache.Change {
			return cache.Change{Put: []cache.Field{{Name: "a", Value: []byte(v)}, {Name: "b", Value: []byte(v)}}, Expires: time.Now()}
		}
		r.change("u", both("1"))
		want(t, r, c, "u", "1", 1)
		r.change("u", both("2"))
		for _, fields := range [][]string{{"a", "b"}, {"b", "a"}, {"b", "b"}, {"b"}} {
			for range 2 {
				v, err := c.Get(t.Context(), "u", fields...)
				if err != nil || len(v) != len(fields) {
					t.Fatal(v, err)
				}
				for i := range v {
					if string(v[i]) != "2" {
						t.Errorf("Get(%q) = %q", fields, v)
					}
				}
			}
		}
		if n := r.gets.Load(); n != 5 {
			t.Errorf("%d reads were sent, want 5", n)
		}
	})
}

// The key of a question is a hash: two that meet are still told apart.
func TestQuestionsWithOneKey(t *testing.T) {
	c := open(t, near.Options{Driver: newRemote(), MaxStaleness: time.Hour})
	ab := []string{"a", "b"}
	if !c.Confuses("u", ab, "u", []string{"a", "b"}) {
		t.Error("a question is not told to be the same as itself")
	}
	for _, fields := range [][]string{{"b", "a"}, {"a"}, {"a", "b", "c"}, {"ab", ""}} {
		if c.Confuses("u", ab, "u", fields) {
			t.Errorf("%q is answered by what was found for %q", fields, ab)
		}
	}
	if c.Confuses("u", ab, "v", ab) {
		t.Error("one slot is answered by what was found of another")
	}
}

// Callers join a read under way; who gives up harms nobody else, and a failure
// is remembered by nobody.
func TestJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Second})
		r.change("u", put("a", "in"))
		r.answer(taking(500 * time.Millisecond))
		first, giveUp := context.WithCancel(t.Context())
		second, giveUpToo := context.WithCancel(t.Context())
		fails := func(ctx context.Context) {
			if v, err := c.Get(ctx, "u", "a"); !errors.Is(err, context.Canceled) {
				t.Errorf("Get after giving up = %q, %v", v, err)
			}
		}
		go fails(first)
		synctest.Wait()
		go fails(second)
		for range 3 {
			go func() {
				if got := get(t, c, "u"); got != "in" {
					t.Errorf("who joined was given %s", got)
				}
			}()
		}
		synctest.Wait()
		giveUpToo()
		time.Sleep(100 * time.Millisecond)
		giveUp()
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if n := r.gets.Load(); n != 2 {
			t.Errorf("%d reads were sent, want that of who gave up and one more", n)
		}
		want(t, r, c, "u", "in", 1)
		if v, err := c.Get(first, "u", "a"); err == nil {
			t.Errorf("Get with a context that has ended = %q", v)
		}

		broken := errors.New("broken")
		r.answer(func(context.Context) error { time.Sleep(time.Second / 10); return broken })
		for range 3 {
			go func() {
				if v, err := c.Get(t.Context(), "other", "a"); !errors.Is(err, broken) {
					t.Errorf("Get = %q, %v", v, err)
				}
			}()
		}
		before := r.gets.Load()
		time.Sleep(time.Second / 5)
		if n := r.gets.Load() - before; n != 1 {
			t.Errorf("%d reads were sent, want 1", n)
		}
		r.answer(nil)
		want(t, r, c, "other", "-", 1)
	})
}

// A read that was sent while the store was away, and fails after it is back, is
// no answer to who asked after it was sent: those take one later read together.
func TestFailureIsNotForLaterCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Second})
		r.change("u", put("a", "in"))
		away := errors.New("away")
		r.answer(func(context.Context) error { time.Sleep(100 * time.Millisecond); return away })
		go func() {
			if v, err := c.Get(t.Context(), "u", "a"); !errors.Is(err, away) {
				t.Errorf("Get while the store is away = %q, %v", v, err)
			}
		}()
		time.Sleep(50 * time.Millisecond)
		r.answer(taking(100 * time.Millisecond))
		for range 3 {
			go func() {
				if got := get(t, c, "u"); got != "in" {
					t.Errorf("who asked once the store was back was given %s", got)
				}
			}()
		}
		time.Sleep(time.Second / 2)
		if n := r.gets.Load(); n != 2 {
			t.Errorf("%d reads were sent, want that which failed and one more", n)
		}
	})
}

// A driver that panics takes nobody along.
func TestPanicIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote()
		c := open(t, near.Options{Driver: r, MaxStaleness: time.Second})
		r.answer(func(context.Context) error { time.Sleep(time.Second / 10); panic("out of order") })
		go func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was lost")
				}
			}()
			get(t, c, "u")
		}()
		synctest.Wait()
		if v, err := c.Get(t.Context(), "u", "a"); err == nil {
			t.Errorf("who joined was given %q", v)
		}
		r.answer(nil)
		want(t, r, c, "u", "-", 1)
	})
}

// What is remembered is the cache's own: no part of it is the driver's, nor of
// the strings that a caller held.
func TestAnswersAreCopies(t *testing.T) {
	value := []byte("in")
	r := newRemote()
	r.slots["u"] = map[string][]byte{"a": value, "e": {}}
	c := open(t, near.Options{Driver: r, MaxStaleness: time.Hour})
	want(t, r, c, "u", "in", 1)
	value[0] = 'X'
	want(t, r, c, "u", "in", 0)
	for range 2 {
		v, err := c.Get(t.Context(), "u", "e", "none", "e")
		if err != nil || v[0] == nil || len(v[0]) != 0 || v[1] != nil || v[2] == nil {
			t.Errorf("Get = %#v, %v", v, err)
		}
	}
}

// Ids that somebody made up, of users or of a user's sessions, displace no
// session that is there; and they are bounded themselves, as is what is found.
func TestMadeUpIDsDisplaceNobody(t *testing.T) {
	r := newRemote()
	c := open(t, near.Options{Driver: r, MaxStaleness: time.Hour, Entries: 100})
	for i := range 80 {
		r.change(fmt.Sprint("user", i), put("a", "in"))
		want(t, r, c, fmt.Sprint("user", i), "in", 1)
	}
	for i := range 20_000 {
		if v, err := c.Get(t.Context(), fmt.Sprint("nobody", i), "a"); err != nil || v[0] != nil {
			t.Fatal(v, err)
		}
		if v, err := c.Get(t.Context(), "user1", "a", fmt.Sprint("session", i)); err != nil || v[1] != nil {
			t.Fatal(v, err)
		}
	}
	for i := range 80 {
		want(t, r, c, fmt.Sprint("user", i), "in", 0)
	}
	if found, missed := c.Remembered(); found != 80 || missed > 100 || missed < 50 {
		t.Errorf("%d answers are kept and %d absent ones, want 80 and at most 100", found, missed)
	}
	for i := range 1000 {
		r.change(fmt.Sprint("large", i), put("a", strings.Repeat("x", 9*2048)))
		get(t, c, fmt.Sprint("large", i))
	}
	if found, _ := c.Remembered(); found > 100 {
		t.Errorf("%d answers are kept, at most 100 may be", found)
	}
}

// What becomes present or absent is found once, where it now belongs.
func TestPresentAndAbsent(t *testing.T) {
	r := newRemote()
	c := open(t, near.Options{Driver: r, MaxStaleness: time.Hour})
	for i := range 6 {
		change, value := put("a", "in"), "in"
		if i%2 == 1 {
			change, value = cache.Change{Delete: []string{"a"}}, "-"
		}
		if _, err := c.Change(t.Context(), "u", change); err != nil {
			t.Fatal(err)
		}
		want(t, r, c, "u", value, 1)
		want(t, r, c, "u", value, 0)
		if found, missed := c.Remembered(); found+missed != 1 {
			t.Errorf("%d and %d answers are kept of one read", found, missed)
		}
	}
}

func TestLargeAnswersWeighMore(t *testing.T) {
	r := newRemote()
	c := open(t, near.Options{Driver: r, MaxStaleness: time.Hour, Entries: 100})
	for i := range 500 {
		r.change(fmt.Sprint("u", i), put("a", strings.Repeat("x", 9*2048)))
		get(t, c, fmt.Sprint("u", i))
	}
	if found, _ := c.Remembered(); found > 10 || found < 5 {
		t.Errorf("%d answers of 18 KiB are kept where 100 of 2 KiB may be", found)
	}
}
