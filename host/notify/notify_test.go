package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/notify"
	"github.com/authhost/authhost/host/session"
)

const realm = "main"

var admin = host.Actor{Rank: host.RealmAdmin, ID: "usr_admin"}

// rig is one replica: a store, a sweeper and a teller, on a cache that others
// may share. Its clock runs, and can be set forward.
type rig struct {
	t       testing.TB
	store   *session.Store
	sweeper *session.Sweeper
	teller  *notify.Teller
	log     bytes.Buffer

	mu      sync.Mutex
	ahead   time.Duration
	results map[string]int
	plugins []notify.Plugin
	deaf    bool
}

func (g *rig) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Add(g.ahead)
}

func (g *rig) pass(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ahead += d
}

func (g *rig) count(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.results[what]++
}

func (g *rig) counted(what string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.results[what]
}

func (g *rig) EndedEvent(result string)           { g.count("event " + result) }
func (g *rig) EndedMessage(plugin, result string) { g.count(plugin + " " + result) }
func (g *rig) EndedWaiting(users int) {
	if users == 0 {
		g.count("waiting none")
	}
}

// locked is a log that is written by several at once.
type locked struct {
	*rig
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}

func newRig(t testing.TB, d cache.Driver, plugins ...notify.Plugin) *rig {
	t.Helper()
	g := &rig{t: t, results: map[string]int{}, plugins: plugins}
	if d == nil {
		d = memory.New(g.now)
	}
	logger := slog.New(slog.NewTextHandler(locked{g}, nil))
	var err error
	if g.teller, err = notify.New(notify.Options{Metrics: g, Now: g.now, Logger: logger,
		Wants: func(string) bool { return !g.deaf },
		Open:  func(string) (string, []notify.Plugin, func()) { return realm, g.plugins, func() {} },
	}); err != nil {
		t.Fatal(err)
	}
	if g.sweeper, err = session.NewSweeper(session.SweeperOptions{Cache: d, Teller: g.teller, Now: g.now, Every: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if g.store, err = session.New(session.Options{Realm: realm, Cache: d, Teller: g.teller, Now: g.now}); err != nil {
		t.Fatal(err)
	}
	return g
}

// run runs the replica until the test ends or stop is called.
func (g *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { g.teller.Run(ctx, g.sweeper.Outbox()) })
	all.Go(func() { g.sweeper.Run(ctx) })
	stop = func() {
		cancel()
		all.Wait()
	}
	g.t.Cleanup(stop)
	return stop
}

func (g *rig) user(name string) string { return host.UserID(realm, "https://idp.example", name) }

func (g *rig) logout(name string) {
	g.t.Helper()
	if err := g.store.EndAll(g.t.Context(), g.user(name), admin, "test"); err != nil {
		g.t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("not in a minute: " + what)
}

// notifier is an on_logout as a function.
type notifier func(c *host.Call) ([]host.Fetch, error)

func (f notifier) Notify(_ context.Context, c *host.Call) ([]host.Fetch, error) { return f(c) }

// posts tells the receiver at a URL of the user.
func posts(urls ...string) notifier {
	return func(c *host.Call) (list []host.Fetch, err error) {
		for _, u := range urls {
			list = append(list, host.Fetch{Method: "POST", URL: u, Body: []byte(c.Ended.UserID), Headers: []host.Header{{Name: "idempotency-key", Value: "mine"}}})
		}
		return list, nil
	}
}

// receiver notes what it was sent, and answers by a function.
type receiver struct {
	mu     sync.Mutex
	got    []host.Fetch
	answer func(r host.Fetch) host.Fetched // nil: 204
}

func (r *receiver) Fetch(_ context.Context, f host.Fetch) host.Fetched {
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	a := host.Fetched{Status: 204}
	if answer != nil {
		a = answer(f)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, f)
	return a
}

func (r *receiver) answers(f func(host.Fetch) host.Fetched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// keys returns the keys of what it was sent, each as often as it came.
func (r *receiver) keys() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.got {
		list = append(list, f.Headers[0].Name+": "+f.Headers[0].Value)
	}
	return list
}

func (g *rig) empty(name string) bool {
	tasks, err := g.sweeper.Outbox().Tasks(g.t.Context(), g.user(name))
	return err == nil && len(tasks) == 0
}

// What a plugin wants sent is sent once, with a key of its own, soon after the
// end, and then nothing waits.
func TestDelivered(t *testing.T) {
	r := &receiver{}
	var calls []*host.Call
	g := newRig(t, nil, notify.Plugin{Name: "hook", Sender: r, Notifier: notifier(func(c *host.Call) ([]host.Fetch, error) {
		calls = append(calls, c)
		return posts("https://a.example/x", "https://b.example/y")(c)
	})}, notify.Plugin{Name: "login-only"})
	g.run()
	g.logout("alice")
	eventually(t, "both are sent", func() bool { return len(r.keys()) == 2 })
	eventually(t, "nothing waits", func() bool { return g.empty("alice") && g.counted("hook delivered") == 2 })
	e := calls[0].Ended
	want := []string{"Idempotency-Key: " + e.ID + "-hook-0", "Idempotency-Key: " + e.ID + "-hook-1"}
	if got := slices.Sorted(slices.Values(r.keys())); !slices.Equal(got, want) || len(calls) != 1 {
		t.Errorf("sent %q, want %q; asked %d times", got, want, len(calls))
	}
	if e.Why != host.WhyEverywhere || e.By != admin || e.UserID != g.user("alice") || calls[0].Realm != realm || calls[0].Request != nil {
		t.Errorf("asked about %+v", e)
	}
	for _, f := range r.got {
		if len(f.Headers) != 1 || string(f.Body) != g.user("alice") {
			t.Errorf("sent %+v", f)
		}
	}
	if g.counted("event asked") != 1 || g.counted("hook failed") != 0 {
		t.Errorf("counted %v", g.results)
	}
}

// A receiver that is down for a while gets everything once it is back, with the
// keys of the first time; neither the logouts nor other receivers wait for it.
func TestReceiverIsDown(t *testing.T) {
	down, up := &receiver{}, &receiver{}
	down.answers(func(host.Fetch) host.Fetched {
		return host.Fetched{Failure: "unreachable", Cause: errors.New("refused")}
	})
	g := newRig(t, nil, notify.Plugin{Name: "down", Sender: down, Notifier: posts("https://down.example/secret-path")},
		notify.Plugin{Name: "up", Sender: up, Notifier: posts("https://up.example/")})
	g.run()
	const users = 50
	for i := range users {
		g.logout(fmt.Sprint("user", i))
	}
	eventually(t, "the others are told", func() bool { return len(up.keys()) == users })
	eventually(t, "a try has failed", func() bool { return len(down.keys()) > 0 })
	if n := len(down.keys()); n > users {
		t.Errorf("%d tries at a receiver that is down", n)
	}
	failed := down.keys()
	down.answers(nil)
	eventually(t, "all are told", func() bool { return g.counted("down delivered") == users })
	distinct := slices.Compact(slices.Sorted(slices.Values(down.keys())))
	if len(distinct) != users || !slices.Contains(distinct, failed[0]) {
		t.Errorf("%d keys for %d ends", len(distinct), users)
	}
	if strings.Contains(g.log.String(), "secret-path") || !strings.Contains(g.log.String(), "a message was not delivered") {
		t.Errorf("the log says %s", g.log.String())
	}
}

// reading counts how often slots are read as a whole.
type reading struct {
	cache.Driver
	times atomic.Int64
}

func (r *reading) All(ctx context.Context, slot string) (map[string][]byte, error) {
	r.times.Add(1)
	return r.Driver.All(ctx, slot)
}

// However many messages of one user wait for a receiver that is down, one look
// at the user follows another.
func TestManyMessagesOfOneUser(t *testing.T) {
	down := &receiver{}
	down.answers(func(host.Fetch) host.Fetched { return host.Fetched{Failure: "unreachable"} })
	d := &reading{}
	g := newRig(t, d, notify.Plugin{Name: "down", Sender: down, Notifier: posts("https://down.example/")})
	d.Driver = memory.New(g.now)
	for range 8 {
		g.logout("user")
		g.pass(time.Minute) // else it is the same logout once more
	}
	g.run()
	eventually(t, "four tries have failed", func() bool { return g.counted("down failed") >= 4 })
	if n := d.times.Load(); n > 100 {
		t.Errorf("the slot was read %d times", n)
	}
}

// A receiver that hangs holds up its own messages alone.
func TestReceiverHangs(t *testing.T) {
	hangs, up := &receiver{}, &receiver{}
	release := make(chan struct{})
	hangs.answers(func(host.Fetch) host.Fetched {
		<-release
		return host.Fetched{Failure: "timeout"}
	})
	g := newRig(t, nil, notify.Plugin{Name: "hangs", Sender: hangs, Notifier: notifier(func(c *host.Call) ([]host.Fetch, error) {
		if c.Ended.UserID == (&rig{}).user("calm") {
			return nil, nil
		}
		return posts("https://hangs.example/")(c)
	})}, notify.Plugin{Name: "up", Sender: up, Notifier: posts("https://up.example/")})
	stop := g.run()
	for i := range 40 {
		g.logout(fmt.Sprint("user", i))
	}
	g.logout("calm")
	eventually(t, "the calm one is told", func() bool {
		up.mu.Lock()
		defer up.mu.Unlock()
		return slices.ContainsFunc(up.got, func(f host.Fetch) bool { return string(f.Body) == g.user("calm") })
	})
	close(release)
	stop()
}

// Whatever panics in sending a message or in asking a plugin, it is a try that
// failed as any other: it is counted, holds up nobody else, and is made again.
func TestSenderAndPluginPanic(t *testing.T) {
	falls, up := &receiver{}, &receiver{}
	falls.answers(func(f host.Fetch) host.Fetched { panic("fell at " + f.URL) })
	var asked atomic.Int64
	g := newRig(t, nil, notify.Plugin{Name: "falls", Sender: falls, Notifier: posts("https://falls.example/secret-path")},
		notify.Plugin{Name: "fell", Sender: up, Notifier: notifier(func(c *host.Call) ([]host.Fetch, error) {
			if asked.Add(1) == 1 {
				var none *host.Ended
				return nil, errors.New(none.ID)
			}
			return posts("https://fell.example/")(c)
		})}, notify.Plugin{Name: "up", Sender: up, Notifier: posts("https://up.example/")})
	g.run()
	const users = 20 // more than there are workers
	for i := range users {
		g.logout(fmt.Sprint("user", i))
	}
	eventually(t, "the others are told", func() bool { return g.counted("up delivered") == users && g.counted("fell delivered") == users })
	eventually(t, "a try has failed", func() bool { return g.counted("falls failed") > 0 })
	if g.counted("event failed") != 1 || g.counted("falls delivered") != 0 {
		t.Errorf("counted %v", g.results)
	}
	falls.answers(nil)
	eventually(t, "all are told", func() bool { return g.counted("falls delivered") == users })
	if n := len(falls.keys()); n != users {
		t.Errorf("%d were sent for %d ends", n, users)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	log := g.log.String()
	for _, want := range []string{"a message was not delivered", "the host panicked: string", "the host panicked: runtime error: invalid memory address", "TestSenderAndPluginPanic"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log", want)
		}
	}
	if strings.Contains(log, "secret-path") {
		t.Errorf("the log says %s", log)
	}
}

// A receiver that answers with an error for one message is sent the others.
func TestOneMessageIsRefused(t *testing.T) {
	r := &receiver{}
	bad := (&rig{}).user("bad")
	r.answers(func(f host.Fetch) host.Fetched {
		if string(f.Body) == bad {
			return host.Fetched{Status: 400}
		}
		return host.Fetched{Status: 200}
	})
	g := newRig(t, nil, notify.Plugin{Name: "hook", Sender: r, Notifier: posts("https://a.example/")})
	g.run()
	g.logout("bad")
	eventually(t, "the first has failed", func() bool { return g.counted("hook failed") > 0 })
	for i := range 20 {
		g.logout(fmt.Sprint("user", i))
	}
	eventually(t, "the others are told", func() bool { return g.counted("hook delivered") == 20 })
}

// A hook that fails is asked again, and again about that end alone; the other
// plugin was asked once.
func TestHookFails(t *testing.T) {
	r := &receiver{}
	var mu sync.Mutex
	tries, others := 0, 0
	g := newRig(t, nil, notify.Plugin{Name: "fails", Sender: r, Notifier: notifier(func(c *host.Call) ([]host.Fetch, error) {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries < 3 {
			return nil, errors.New("trap")
		}
		return posts("https://a.example/")(c)
	})}, notify.Plugin{Name: "sound", Sender: r, Notifier: notifier(func(c *host.Call) ([]host.Fetch, error) {
		mu.Lock()
		defer mu.Unlock()
		others++
		return posts("https://b.example/")(c)
	})})
	g.run()
	g.logout("alice")
	eventually(t, "the sound one's is sent meanwhile", func() bool { return g.counted("sound delivered") == 1 })
	eventually(t, "the other's too", func() bool { return g.counted("fails delivered") == 1 })
	mu.Lock()
	defer mu.Unlock()
	if tries != 3 || others != 1 || g.counted("event failed") != 2 || g.counted("event asked") != 1 {
		t.Errorf("asked %d and %d times, counted %v", tries, others, g.results)
	}
}

// What nobody took for a week is given up, loudly.
func TestGivenUp(t *testing.T) {
	r := &receiver{}
	r.answers(func(host.Fetch) host.Fetched { return host.Fetched{Status: 500} })
	g := newRig(t, nil, notify.Plugin{Name: "hook", Sender: r, Notifier: posts("https://a.example/")})
	g.run()
	g.logout("alice")
	eventually(t, "a try", func() bool { return g.counted("hook failed") > 0 })
	g.pass(6 * 24 * time.Hour)
	tries := len(r.keys())
	eventually(t, "more tries", func() bool { return len(r.keys()) > tries })
	if g.counted("hook given_up") != 0 {
		t.Error("given up too early")
	}
	g.pass(24 * time.Hour)
	eventually(t, "giving up", func() bool { return g.counted("hook given_up") == 1 })
	if !g.empty("alice") || !strings.Contains(g.log.String(), "level=ERROR") {
		t.Error("it waits still, or nothing was said")
	}
}

// A replica that does not know whom to tell leaves what waits to those that do.
func TestReplicaThatTellsNobody(t *testing.T) {
	g := newRig(t, nil)
	shared := memory.New(g.now)
	r := &receiver{}
	knows := newRig(t, shared, notify.Plugin{Name: "hook", Sender: r, Notifier: posts("https://a.example/")})
	other := newRig(t, shared)
	other.deaf = true
	knows.logout("alice") // and dies
	stop := other.run()
	other.pass(10 * time.Minute)
	other.teller.Nudge(other.user("alice"))
	eventually(t, "a worker takes it", func() bool { return other.counted("waiting none") > 0 })
	stop() // when it is done
	back := newRig(t, shared, notify.Plugin{Name: "hook", Sender: r, Notifier: posts("https://a.example/")})
	back.pass(11 * time.Minute)
	back.run()
	eventually(t, "the other tells", func() bool { return back.counted("hook delivered") == 1 })
}

// Replicas share the work: each message is sent once, whoever was nudged.
func TestReplicasShareTheWork(t *testing.T) {
	clock := newRig(t, nil)
	shared := memory.New(clock.now)
	r := &receiver{}
	var all []*rig
	for range 3 {
		g := newRig(t, shared, notify.Plugin{Name: "hook", Sender: r, Notifier: posts("https://a.example/")})
		g.run()
		all = append(all, g)
	}
	const users = 60
	for i := range users {
		name := fmt.Sprint("user", i)
		all[i%3].logout(name)
		for _, g := range all {
			g.teller.Nudge(g.user(name))
		}
	}
	eventually(t, "all are told", func() bool { return len(r.keys()) >= users })
	eventually(t, "nothing waits", func() bool {
		for i := range users {
			if !all[0].empty(fmt.Sprint("user", i)) {
				return false
			}
		}
		return true
	})
	if got := r.keys(); len(got) != users {
		t.Errorf("%d messages for %d ends", len(got), users)
	}
}

// A plugin whose messages nobody takes keeps no other from telling about the same
// user, is not asked while it is full, and tells everything once it can.
func TestFullPluginHoldsUpNoOther(t *testing.T) {
	down, up := &receiver{}, &receiver{}
	down.answers(func(host.Fetch) host.Fetched { return host.Fetched{Failure: "unreachable"} })
	var asked atomic.Int64
	g := newRig(t, nil, notify.Plugin{Name: "down", Sender: down, Notifier: notifier(func(c *host.Call) ([]host.Fetch, error) {
		asked.Add(1)
		return posts("https://down.example/")(c)
	})}, notify.Plugin{Name: "up", Sender: up, Notifier: posts("https://up.example/")})
	g.run()
	const ends = session.MaxMessages + 8
	for n := range ends {
		g.pass(time.Minute) // else it is the same logout once more; before it, so that it ends no claim of this one
		g.logout("user")
		eventually(t, fmt.Sprintf("the sound receiver is told of end %d", n), func() bool { return g.counted("up delivered") > n })
	}
	if n := asked.Load(); n != session.MaxMessages {
		t.Errorf("the full plugin was asked %d times", n)
	}
	if g.counted("event failed") == 0 || g.counted("event asked") != session.MaxMessages {
		t.Errorf("counted %v", g.results)
	}
	g.mu.Lock()
	log := g.log.String()
	g.mu.Unlock()
	if !strings.Contains(log, "plugin=down") || !strings.Contains(log, "see to its receiver") {
		t.Errorf("the log says %s", log)
	}
	down.answers(nil)
	g.pass(time.Hour)
	g.teller.Nudge(g.user("user"))
	eventually(t, "there is room", func() bool { return g.counted("down delivered") == session.MaxMessages })
	g.pass(time.Hour)
	g.teller.Nudge(g.user("user"))
	eventually(t, "the other is told of everything", func() bool { return g.counted("down delivered") == ends })
	if n := len(slices.Compact(slices.Sorted(slices.Values(up.keys())))); n != ends || len(up.keys()) != ends {
		t.Errorf("the sound receiver was told %d times of %d ends", len(up.keys()), n)
	}
}

// losing is an outbox of which somebody else always was faster to take up
// messages, as often as it is told; or it panics instead.
type losing struct {
	notify.Outbox
	times  atomic.Int64
	panics bool
}

func (l *losing) Claim(ctx context.Context, t *host.Task, until time.Time) (bool, error) {
	if t.Message != nil && l.times.Add(-1) >= 0 {
		if l.panics {
			panic("fell")
		}
		return false, nil
	}
	return l.Outbox.Claim(ctx, t, until)
}

// Messages that others took up instead leave a receiver as free as it was,
// however many there are, and so do those that nobody could, for the cache panics.
func TestLostClaims(t *testing.T) {
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprint("panics ", panics), func(t *testing.T) { lostClaims(t, panics) })
	}
}

func lostClaims(t *testing.T, panics bool) {
	r := &receiver{}
	r.answers(func(host.Fetch) host.Fetched { return host.Fetched{Status: 500} }) // so that messages wait to be claimed
	g := newRig(t, nil, notify.Plugin{Name: "hook", Sender: r, Notifier: posts("https://a.example/")})
	box := &losing{Outbox: g.sweeper.Outbox(), panics: panics}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { g.teller.Run(ctx, box) })
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	const users = 20
	for i := range users {
		g.logout(fmt.Sprint("user", i))
	}
	eventually(t, "each has failed", func() bool { return g.counted("hook failed") >= users })
	box.times.Store(users)
	r.answers(nil)
	eventually(t, "all claims are lost, then all are told", func() bool {
		g.pass(10 * time.Minute)
		for i := range users {
			g.teller.Nudge(g.user(fmt.Sprint("user", i)))
		}
		return g.counted("hook delivered") == users
	})
	if n := box.times.Load(); n >= 0 {
		t.Errorf("%d claims were not lost", n+1)
	}
}

// A message is sent only under a claim that lasts for as long as sending may
// take, lest another replica send it at the same time.
func TestClaimLastsForSending(t *testing.T) {
	r := &receiver{}
	g := newRig(t, nil, notify.Plugin{Name: "hook", Sender: r, Notifier: posts("https://a.example/", "https://b.example/")})
	r.answers(func(f host.Fetch) host.Fetched { // what is sent next has waited for this
		g.pass(21 * time.Second) // of the 30 that a claim lasts
		if !g.empty("alice") {
			t.Error("others may take up what is being sent")
		}
		return host.Fetched{Status: 204}
	})
	box := g.sweeper.Outbox()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { g.teller.Run(ctx, box) })
	g.logout("alice")
	eventually(t, "both are sent", func() bool { return g.counted("hook delivered") == 2 })
	cancel()
	all.Wait()
}
