package redis_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
	"github.com/authhost/authhost/host/session"
)

var rounds = flag.Int("rounds", 10, "how often Redis is killed")

const killLanes = 8 // who work at once, each on a user of its own

// fate is what became of a session, as far as it was acknowledged.
type fate struct {
	token string
	gone  bool // its end was acknowledged
	// unsure: its end was begun, and was not acknowledged.
	unsure bool
	// notes is what it was told to remember; told is that, or one more that
	// was not acknowledged.
	notes, told int
}

// lane makes, changes and ends sessions of one user, and keeps a record of what
// was acknowledged.
type lane struct {
	store    *session.Store
	id       host.Identity
	sessions []*fate
	strays   int   // sessions that may have been made: nobody was told their token
	err      error // at which the work ended
	made     int
	ended    int
}

var errWrong = errors.New("wrong")

// work goes on until something fails, as it must when Redis is killed.
func (l *lane) work(acknowledged *atomic.Int64) {
	for l.err = nil; l.err == nil; {
		if l.err = l.step(context.Background()); l.err == nil {
			acknowledged.Add(1)
		}
	}
}

func (l *lane) step(ctx context.Context) error {
	live := slices.DeleteFunc(slices.Clone(l.sessions), func(f *fate) bool { return f.gone })
	if len(live) < 3 {
		return l.create(ctx)
	}
	f := live[rand.IntN(len(live))]
	switch n := rand.IntN(100); {
	case n < 30 && len(live) < 30:
		return l.create(ctx)
	case n < 50:
		return l.note(ctx, f)
	case n < 65:
		return l.rotate(ctx, f)
	case n < 90:
		return l.end([]*fate{f}, func() error {
			v, err := l.store.End(ctx, f.token)
			return must(v, err)
		})
	case n < 95:
		return l.end(live, func() error {
			return l.store.EndAll(ctx, l.id.UserID, host.Actor{Rank: host.Operator, ID: "root"}, "test")
		})
	}
	v, err := l.store.Resolve(ctx, f.token)
	return must(v, err)
}

// must wants a session to count until now.
func must(v host.Validation, err error) error {
	if err == nil && v.Verdict != host.Valid {
		return fmt.Errorf("%w: a live session is %s", errWrong, v.Verdict)
	}
	return err
}

func (l *lane) create(ctx context.Context) error {
	l.strays++
	token, _, err := l.store.Create(ctx, &l.id, host.Terms{})
	if err != nil {
		return err
	}
	l.strays--
	l.made++
	l.sessions = append(l.sessions, &fate{token: token})
	return nil
}

// note has a session remember one more than it did.
func (l *lane) note(ctx context.Context, f *fate) error {
	f.told = f.notes + 1
	t, err := session.ParseToken(f.token)
	if err == nil {
		err = l.store.ChangeAttributes(ctx, t.UserID, t.SessionID, func(attributes map[string]string) error {
			attributes["notes"] = strconv.Itoa(f.told)
			return nil
		})
	}
	if err == nil {
		f.notes = f.told
	}
	return err
}

// rotate gives a session another token. Where that was not acknowledged nobody
// knows whether the old one counts, nor what the new one is.
func (l *lane) rotate(ctx context.Context, f *fate) error {
	l.strays++
	return l.end([]*fate{f}, func() error {
		token, _, err := l.store.Rotate(ctx, f.token)
		if err == nil {
			l.strays--
			l.made++
			l.sessions = append(l.sessions, &fate{token: token, notes: f.notes, told: f.told})
		}
		return err
	})
}

// end ends sessions, all of them in one write.
func (l *lane) end(which []*fate, end func() error) error {
	for _, f := range which {
		f.unsure = true
	}
	if err := end(); err != nil {
		return err
	}
	for _, f := range which {
		f.gone, f.unsure = true, false
	}
	l.ended += len(which)
	return nil
}

// check compares every session with what was acknowledged of it.
func (l *lane) check(t *testing.T) {
	t.Helper()
	var kept, lost, live int
	for _, f := range l.sessions {
		v, err := l.store.Resolve(t.Context(), f.token)
		if err != nil {
			t.Fatal(err)
		}
		valid := v.Verdict == host.Valid
		switch {
		case f.unsure && valid:
			kept++
		case f.unsure:
			lost++
		case f.gone && valid:
			t.Error("a session that was ended is back")
		case !f.gone && !valid:
			t.Errorf("a session that was acknowledged is %s", v.Verdict)
		}
		if f.gone, f.unsure = !valid, false; valid {
			live++
			l.checkNotes(t, f)
		}
	}
	if kept > 0 && lost > 0 {
		t.Errorf("one write ended %d sessions and left %d", lost, kept)
	}
	items, _, err := l.store.List(t.Context(), l.id.UserID, host.Page{Limit: 1000})
	if err != nil || len(items) < live || len(items) > live+l.strays {
		t.Errorf("%d sessions are listed, %v; %d count, and %d may have been made", len(items), err, live, l.strays)
	}
	if over := len(l.sessions) - 200; over > 0 { // old ones were looked at often enough
		l.sessions = slices.DeleteFunc(l.sessions, func(f *fate) bool { over--; return over >= 0 && f.gone })
	}
}

// checkNotes wants a session to remember what it was told: the last of it as a
// whole or not at all.
func (l *lane) checkNotes(t *testing.T, f *fate) {
	t.Helper()
	parsed, err := session.ParseToken(f.token)
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := l.store.Attributes(t.Context(), parsed.UserID, parsed.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(attributes["notes"])
	if n != f.notes && n != f.told {
		t.Errorf("a session remembers %d, acknowledged was %d, told %d", n, f.notes, f.told)
	}
	f.notes, f.told = n, n
}

// Redis is killed in the middle of logins, changes and logouts, and of
// rewriting its append-only file, again and again: every session that was
// acknowledged resolves afterwards, none that was ended comes back, what was
// under way was done as a whole or not at all, and every record is sound.
func TestKilledRedis(t *testing.T) {
	s := redistest.Serve(t, "--appendonly", "yes", "--appendfsync", "always",
		"--auto-aof-rewrite-min-size", "256kb", "--auto-aof-rewrite-percentage", "50")
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	store, err := session.New(session.Options{Realm: "main", Cache: d})
	if err != nil {
		t.Fatal(err)
	}
	var lanes []*lane
	for n := range killLanes {
		const issuer = "https://idp.example"
		lanes = append(lanes, &lane{store: store, id: host.Identity{Realm: "main", Issuer: issuer, Subject: strconv.Itoa(n),
			UserID:   host.UserID("main", issuer, strconv.Itoa(n)),
			IssuedAt: time.Now().Add(time.Hour)}}) // counts after a logout everywhere
	}
	var acknowledged atomic.Int64
	for round := range *rounds {
		patience := acknowledged.Load() + 50 + rand.Int64N(400)
		var wg sync.WaitGroup
		for _, l := range lanes {
			wg.Go(func() { l.work(&acknowledged) })
		}
		redistest.Until(t, "so much is acknowledged", func(context.Context) bool { return acknowledged.Load() >= patience })
		s.Kill()
		wg.Wait()
		s.Start()
		redistest.Until(t, "the driver is answered", func(ctx context.Context) bool { return d.Ping(ctx) == nil })
		for n, l := range lanes {
			if kind, _ := host.Explain(l.err); errors.Is(l.err, errWrong) || kind != host.Unavailable {
				t.Errorf("lane %d: %v", n, l.err)
			}
			l.check(t)
		}
		tally, err := session.Survey(t.Context(), d, nil, time.Now, func(user string, err error) { t.Errorf("%s: %v", user, err) })
		if err != nil || tally.Users != killLanes || tally.Others > 0 {
			t.Errorf("the store holds %+v, %v, want %d users", tally, err, killLanes)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	var made, ended, strays int
	for _, l := range lanes {
		made, ended, strays = made+l.made, ended+l.ended, strays+l.strays
	}
	t.Logf("%d kills: %d operations acknowledged, of them %d sessions made and %d ended; %d cut in the making",
		*rounds, acknowledged.Load(), made, ended, strays)
}
