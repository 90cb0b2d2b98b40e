package plugin_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// broken is a plugin that fails on cue, with a clock that the test moves.
type broken struct {
	*plugin.Plugin
	t   *testing.T
	log *logs
	m   *counts
	now atomic.Int64
}

func newBroken(t *testing.T, o plugin.Options) *broken {
	b := &broken{t: t, m: newCounts()}
	if o.Module == nil {
		o.Module = hook(hook(base(), "on_authorize", onCue(Op(Unreachable))), "on_credential", result(abi.CodeNo, 0)).Encode()
	}
	b.log, o.Logger = newLogs()
	o.Metrics, o.Limits.Instances = b.m, 2
	o.Now = func() time.Time { return time.Unix(1_800_000_000, b.now.Load()) }
	b.Plugin = load(t, o)
	return b
}

func (b *broken) pass(d time.Duration) { b.now.Add(int64(d)) }

// by makes a call about a user.
func by(c *host.Call, n int) *host.Call {
	c.Identity.UserID = fmt.Sprint("usr_", n)
	return c
}

// fail has calls of so many users fail in turn, over a second.
func (b *broken) fail(calls, users int) {
	b.t.Helper()
	for n := range calls {
		_, err := b.Authorize(b.t.Context(), by(cue(), n%users))
		fails(b.t, err, "unreachable")
		if n == 0 && calls > 1 {
			b.pass(time.Second)
		}
	}
}

// A burst of failures, of however many callers, is not taken for a plugin that
// fails them all.
func TestBreakerWaitsForASecond(t *testing.T) {
	b := newBroken(t, plugin.Options{})
	for n := range 30 {
		_, err := b.Authorize(t.Context(), by(cue(), n))
		fails(t, err, "unreachable")
	}
	if b.open() {
		t.Error("it opened within the second")
	}
	b.pass(time.Second)
	b.fail(1, 1)
	if !b.open() {
		t.Error("it did not open after it")
	}
}

// What calls on trial left in a guest's memory is not there for those that count.
func TestRenew(t *testing.T) {
	b := newBroken(t, plugin.Options{})
	if !b.asked(0) {
		t.Fatal("it was not asked")
	}
	b.fail(10, 3)
	atRest(t, b.Plugin)
	b.Renew()
	_, before := b.Instances()
	if b.open() || !b.asked(0) {
		t.Error("what failed is not forgotten")
	}
	if _, now := b.Instances(); now == before {
		t.Error("an instance of before was asked")
	}
}

// asked says whether a sound call of a user reached the plugin.
func (b *broken) asked(user int) bool {
	b.t.Helper()
	before := b.m.calls["guest on_authorize"]
	o, err := b.Authorize(b.t.Context(), by(call(), user))
	if err != nil {
		fails(b.t, err, "the breaker is open")
	} else if o.Effect != host.Allow {
		b.t.Fatalf("got %+v", o)
	}
	reached := b.m.calls["guest on_authorize"] > before
	if reached != (err == nil) {
		b.t.Errorf("reached %v, but %v", reached, err)
	}
	return reached
}

func (b *broken) open() bool {
	b.t.Helper()
	h := b.Health().Breakers
	if len(h) != 2 || h[0].Hook != "on_authorize" || h[1].Hook != "on_credential" || h[1].Open {
		b.t.Fatalf("%+v", h)
	}
	if shown := b.m.open["guest on_authorize"]; shown != map[bool]int{true: 1}[h[0].Open] {
		b.t.Errorf("%d shown as open, it is %v", shown, h[0].Open)
	}
	return h[0].Open
}

// A hook that failed for everybody is not asked for a while: its callers get
// its error at once, no instance is used, other hooks are asked.
func TestBreaker(t *testing.T) {
	b := newBroken(t, plugin.Options{})
	b.fail(9, 3)
	if b.open() {
		t.Error("it opened too early")
	}
	b.fail(1, 1)
	if !b.open() {
		t.Fatal("it did not open")
	}
	atRest(t, b.Plugin)
	_, ever := b.Instances()
	for n := range 20 {
		if b.asked(n) {
			t.Error("it was asked")
		}
	}
	if _, now := b.Instances(); now != ever {
		t.Errorf("%d instances were made while it was open", now-ever)
	}
	if got := b.m.errors["guest on_authorize"]; got != 30 {
		t.Errorf("%d errors are counted, want 30", got)
	}
	if _, err := b.Choose(t.Context(), call()); err != nil {
		t.Error("the other hook:", err)
	}

	// The pause is 50 to 100 ms.
	b.pass(50*time.Millisecond - 1)
	if b.asked(7) {
		t.Error("it was asked before half the pause was over")
	}
	b.pass(50 * time.Millisecond)
	if b.asked(0) || b.asked(1) || b.asked(2) {
		t.Error("those who failed may try first")
	}
	if !b.asked(7) {
		t.Error("a stranger may not try")
	}
	if b.open() {
		t.Error("it did not close")
	}
	for n := range 4 {
		if !b.asked(n) {
			t.Error("it is closed and was not asked")
		}
	}
	text := b.log.String()
	if strings.Count(text, `"msg":"plugin breaker opened","plugin":"guest","hook":"on_authorize"`) != 1 || strings.Count(text, `"msg":"plugin breaker closed"`) != 1 {
		t.Errorf("the log is\n%s", text)
	}
}

// Who makes a plugin fail for himself does not turn it off for others, though
// nobody else comes by; nor do many whose calls fail in between others.
func TestAttackPlugin_client_that_turns_a_plugin_off(t *testing.T) {
	b := newBroken(t, plugin.Options{})
	b.fail(50, 1)
	b.fail(50, 2)
	if !b.asked(7) {
		t.Error("two callers turned it off")
	}
	for range 20 {
		b.fail(9, 9)
		if !b.asked(7) {
			t.Error("callers turned it off while others had an answer")
		}
	}
	// Anonymous ones count by their address, in IPv6 by their site.
	anonymous := func(address string) {
		c := cue()
		c.Identity, c.Request.Client = nil, netip.MustParseAddr(address)
		_, err := b.Authorize(t.Context(), c)
		fails(t, err, "unreachable")
	}
	anonymous("192.0.2.1")
	b.pass(time.Second)
	for n := range 50 {
		anonymous(fmt.Sprintf("2001:db8:0:%x::%x", n, n+1)) // a site's /48 is whoever's site it is
		anonymous("192.0.2.1")
		anonymous("::ffff:192.0.2.1")
	}
	if b.open() {
		t.Error("one network turned it off")
	}
	anonymous("192.0.2.2")
	if !b.open() {
		t.Error("it did not open")
	}
}

// Whoever has failed already shows nothing new by failing again: however often
// they try, the pause grows no longer, and others are let in before them.
func TestAttackPlugin_client_that_keeps_a_plugin_off(t *testing.T) {
	b := newBroken(t, plugin.Options{})
	b.fail(10, 3)
	tries := func(user int, want string) {
		t.Helper()
		_, err := b.Authorize(t.Context(), by(cue(), user))
		fails(t, err, want)
	}
	const pause = 100 * time.Millisecond
	for n := range 60 {
		b.pass(pause)
		tries(n%3, "the breaker is open")
		b.pass(pause)
		tries(n%3, "unreachable")
		if until := b.Health().Breakers[0].Until.Sub(time.Unix(1_800_000_000, b.now.Load())); until > pause {
			t.Fatalf("the next may try in %v", until)
		}
	}
	// More of them can make it longer, each once, however they take turns.
	longest := time.Duration(0)
	for n := range 100 {
		b.pass(20 * time.Second)
		tries(n%6, "unreachable")
		longest = max(longest, b.Health().Breakers[0].Until.Sub(time.Unix(1_800_000_000, b.now.Load())))
	}
	if longest > 8*pause {
		t.Errorf("three more made the pause %v", longest)
	}
	b.pass(8 * pause)
	for n := range 6 {
		tries(n, "the breaker is open")
	}
	if !b.asked(7) || b.open() {
		t.Error("a stranger is not let in first")
	}
}

// A trial of somebody whose calls had failed keeps no stranger waiting, however
// long it takes.
func TestAttackPlugin_client_whose_trial_takes_long(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	m := base(getImport, fetchImport)
	ask := answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
	seen := Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(abi.FieldFetchStatus)), Const32(0), Const32(0), Call(0))
	m = hook(hook(m, "on_authorize", onCue(seen, Const32(0), Op(0x48, 0x04, 0x40), ask, Op(0x0b), Op(Unreachable))), "on_credential")
	b := newBroken(t, plugin.Options{Module: m.Encode(), HTTP: fetcher(func(context.Context, host.Fetch) host.Fetched {
		if hold.Load() {
			begun <- struct{}{}
			<-end
		}
		return host.Fetched{Status: 200}
	})})
	b.fail(10, 3)
	b.pass(time.Second)
	hold.Store(true)
	var slow sync.WaitGroup
	try := func(user int) {
		t.Helper()
		refused := make(chan error)
		slow.Go(func() {
			if _, err := b.Authorize(t.Context(), by(cue(), user)); !strings.Contains(err.(*host.Error).Cause.Error(), "unreachable") {
				refused <- err
			}
		})
		select {
		case <-begun:
		case err := <-refused:
			t.Error("user", user, err)
		}
	}
	try(0)
	if b.asked(1) {
		t.Error("two of those that failed try at once")
	}
	try(7)
	if b.asked(8) {
		t.Error("two strangers try at once")
	}
	close(end)
	slow.Wait()
	hold.Store(false)
	b.pass(time.Second)
	if !b.asked(9) || b.open() {
		t.Error("it did not close")
	}
}

// Each further pause is twice as long, up to a bound; what is under way when it
// opens changes nothing; one stranger tries at a time.
func TestBreakerBacksOff(t *testing.T) {
	b := newBroken(t, plugin.Options{})
	b.fail(10, 3)
	stranger := 100
	for pause := 100 * time.Millisecond; pause < 80*time.Second; pause *= 2 {
		most := min(pause, 10*time.Second)
		if until := b.Health().Breakers[0].Until.Sub(time.Unix(1_800_000_000, b.now.Load())); until < most/2 || until > most {
			t.Errorf("a pause of %v, want %v to %v", until, most/2, most)
		}
		b.pass(most)
		stranger++
		_, err := b.Authorize(t.Context(), by(cue(), stranger)) // tries
		fails(t, err, "unreachable")
		_, err = b.Authorize(t.Context(), by(cue(), 8))
		fails(t, err, "the breaker is open")
	}
	if n := strings.Count(b.log.String(), "plugin breaker opened"); n != 1 {
		t.Errorf("%d lines say that it opened", n)
	}
	b.pass(20 * time.Second)
	var tried, refused atomic.Int64
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			if _, err := b.Authorize(t.Context(), by(cue(), 200+n)); strings.Contains(err.(*host.Error).Cause.Error(), "unreachable") {
				tried.Add(1)
			} else {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if tried.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d tried, %d were refused", tried.Load(), refused.Load())
	}
	b.Close(context.Background())
	if n := b.m.open["guest on_authorize"]; n != 0 {
		t.Errorf("a closed plugin shows %d breakers", n)
	}
}

// A plugin that does not start fails whoever asks, so one caller is enough to
// know.
func TestBreakerOfStarts(t *testing.T) {
	b := newBroken(t, plugin.Options{Module: drawing(), Rand: strings.NewReader("\x00" + strings.Repeat("\x02", 30))})
	_, err := b.Authorize(t.Context(), by(cue(), 1))
	fails(t, err, "unreachable")
	settles(t, 0, func() int { now, ever := b.Instances(); return now + int(2-ever) })
	b.pass(time.Second)
	for range 9 {
		_, err := b.Authorize(t.Context(), by(call(), 1))
		fails(t, err, "no reason given")
	}
	_, err = b.Authorize(t.Context(), by(call(), 1))
	fails(t, err, "the breaker is open")
}

// That callers give up, or that all instances are busy, says nothing of the
// plugin: a breaker would make a crowd worse.
func TestBreakerLeavesACrowdAlone(t *testing.T) {
	log, logger := newLogs()
	body := Join(Const32(1), Const32(0), Const32(1), Call(0), Forever())
	m := newCounts()
	p := load(t, plugin.Options{
		Module: hook(base(logImport), "on_authorize", onCue(body)).Encode(), Logger: logger, Metrics: m, Limits: plugin.Limits{Time: time.Hour, Instances: 1},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Authorize(context.Background(), cue())
	}()
	<-log.seen
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 50 {
		_, err := p.Authorize(ctx, by(call(), n))
		fails(t, err, "waiting for an instance")
	}
	var wg sync.WaitGroup
	for n := range 30 {
		wg.Go(func() {
			if _, err := p.Authorize(t.Context(), by(call(), n)); err == nil || !strings.Contains(err.(*host.Error).Cause.Error(), "were busy") {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if h := p.Health().Breakers[0]; h.Open || h.Failures != 0 {
		t.Errorf("%+v", h)
	}
	p.Close(ctx)
	<-done
	if m.errors["guest on_authorize"] != 81 {
		t.Errorf("%d errors are counted", m.errors["guest on_authorize"])
	}
}
