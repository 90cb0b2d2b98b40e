package plugin_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// drawing is a guest whose configure draws a byte: at 1 it says so and loops
// for ever, at 2 it refuses. on_authorize traps on cue.
func drawing() []byte {
	m := with(base(randomImport, logImport), Func{Export: "configure", Params: hookParams, Results: hookResults, Body: Join(
		Const32(dataAt), Const32(1), Call(0), Op(Drop),
		Const32(dataAt), Op(0x2d, 0, 0), Const32(1), Op(0x46, 0x04, 0x40), Const32(1), Const32(0), Const32(1), Call(1), Forever(), Op(0x0b),
		Const32(dataAt), Op(0x2d, 0, 0, ExtendU))})
	return hook(m, "on_authorize", onCue(Op(Unreachable))).Encode()
}

// idle waits until so many instances are.
func idle(t *testing.T, p *plugin.Plugin, want int) {
	t.Helper()
	settles(t, 0, func() int { return want - p.Health().Idle })
}

// atRest waits until whatever is made in the background is there.
func atRest(t *testing.T, p *plugin.Plugin) {
	t.Helper()
	settles(t, 0, func() int {
		if p.AtRest() {
			return 0
		}
		return 1
	})
}

// An instance that was thrown away is replaced without being asked for.
func TestSpare(t *testing.T) {
	p := load(t, plugin.Options{Module: hook(base(), "on_authorize", onCue(Op(Unreachable))).Encode(), Limits: plugin.Limits{Instances: 1}})
	for n := range int64(3) {
		_, err := p.Authorize(t.Context(), cue())
		fails(t, err, "unreachable")
		idle(t, p, 1)
		if h := p.Health(); h.Instances != 1 || h.Ever != n+2 {
			t.Errorf("%+v", h)
		}
	}
}

// A spare that cannot be made is not tried again and again, and Close ends one
// that is being made.
func TestSpareThatFails(t *testing.T) {
	before := runtime.NumGoroutine()
	log, logger := newLogs()
	p := load(t, plugin.Options{Module: drawing(), Rand: strings.NewReader("\x00\x02\x00\x01"), Limits: plugin.Limits{Instances: 1, Time: time.Hour}, Logger: logger})
	fail := func() {
		_, err := p.Authorize(t.Context(), cue())
		fails(t, err, "unreachable")
	}
	fail()
	settles(t, 0, func() int { now, ever := p.Instances(); return now + int(2-ever) })
	for !strings.Contains(log.String(), `"msg":"plugin did not start"`) { // it says so once it is gone
		runtime.Gosched()
	}
	if n := strings.Count(log.String(), `"msg":"plugin did not start"`); n != 1 {
		t.Errorf("%d lines say that the spare failed", n)
	}
	allows(t, p)
	fail()
	for !strings.Contains(log.String(), "plugin says") { // it is being made
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Error("close:", err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error("close:", err)
	}
	if now, ever := p.Instances(); now != 0 || ever != 4 {
		t.Errorf("%d instances, %d ever", now, ever)
	}
	settles(t, before, runtime.NumGoroutine)
}

// A caller does not wait for a start that takes longer than its request; what
// is being made is there for the next one.
func TestSlowStart(t *testing.T) {
	log, logger := newLogs()
	p := load(t, plugin.Options{Module: drawing(), Rand: strings.NewReader("\x00\x02\x01"), Limits: plugin.Limits{Instances: 1, Time: time.Hour}, Logger: logger})
	_, err := p.Authorize(t.Context(), cue())
	fails(t, err, "unreachable")
	settles(t, 0, func() int { now, ever := p.Instances(); return now + int(2-ever) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !strings.Contains(log.String(), "plugin says") { // its start is under way
			runtime.Gosched()
		}
		cancel()
	}()
	_, err = p.Authorize(ctx, call())
	fails(t, err, "waiting for an instance")
	if !errors.Is(err, context.Canceled) {
		t.Error("the cause of", err, "is not kept")
	}
	_, err = p.Authorize(t.Context(), call())
	fails(t, err, "all 1 instances were busy")
	p.Close(ctx)
}

func TestWarm(t *testing.T) {
	p := load(t, plugin.Options{Module: drawing(), Rand: strings.NewReader("\x00\x00\x00\x02"), Limits: plugin.Limits{Instances: 4}})
	if h := p.Health(); h.Idle != 1 {
		t.Fatalf("%d are idle after the load", h.Idle)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Warm(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	err := p.Warm(t.Context())
	if e, ok := errors.AsType[*plugin.LoadError](err); !ok || e.Step != "warm" || !strings.Contains(err.Error(), "no reason given") {
		t.Errorf("got %v", err)
	}
	if h := p.Health(); h.Idle != 3 || h.Instances != 3 || h.Ever != 4 {
		t.Errorf("%+v", h)
	}
	allows(t, p)

	q := load(t, plugin.Options{Module: hook(base(), "on_authorize").Encode(), Limits: plugin.Limits{Instances: 4}})
	for range 2 {
		if err := q.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := q.Health(); h.Idle != 4 || h.Instances != 4 || h.Ever != 4 {
			t.Errorf("%+v", h)
		}
	}
	q.Close(t.Context())
	if err := q.Warm(t.Context()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
}

// An instance is replaced after so many calls, and once its memory has grown
// past three quarters of its limit; no call fails for it.
func TestRecycling(t *testing.T) {
	grow := hook(base(), "on_authorize", Const32(1), Op(0x40, 0), Const32(-1), Op(0x46, 0x04, 0x40, Unreachable, 0x0b))
	large := hook(base(), "on_authorize")
	large.MinPages = 15
	for _, c := range []struct {
		name   string
		module Module
		limits plugin.Limits
		ever   int64 // after 100 calls
	}{
		{"calls", hook(base(), "on_authorize"), plugin.Limits{Calls: 10}, 11},
		{"memory", grow, plugin.Limits{Memory: 16 * 64 << 10}, 9}, // 12 calls each
		{"neither", hook(base(), "on_authorize"), plugin.Limits{}, 1},
		{"large from the start", large, plugin.Limits{Memory: 16 * 64 << 10}, 1},
	} {
		c.limits.Instances = 1
		p := load(t, plugin.Options{Module: c.module.Encode(), Limits: c.limits})
		for range 100 {
			allows(t, p)
		}
		idle(t, p, 1)
		if _, ever := p.Instances(); ever != c.ever {
			t.Errorf("%s: %d instances, want %d", c.name, ever, c.ever)
		}
	}
}

// The memories of all instances, spares included, stay within their bound, and
// nothing is held once the plugin is closed.
func TestMemoryBudget(t *testing.T) {
	const limit, instances = 4 << 20, 3
	// Takes all it may a page at a time, and traps, or leaves that for the next.
	bomb := Join(Op(0x03, 0x40), Const32(1), Op(0x40, 0), Const32(-1), Op(0x47, 0x0d, 0, 0x0b))
	module := hook(base(), "on_authorize", bomb, onCue(Op(Unreachable))).Encode()
	for _, isolated := range []bool{false, true} {
		p := load(t, plugin.Options{Module: module, Isolated: isolated, Limits: plugin.Limits{Memory: limit, Instances: instances, Time: time.Minute}})
		most := int64(limit * instances)
		if isolated {
			most += limit
		}
		if got := p.Health().MostMemory; got != most {
			t.Errorf("at most %d, want %d", got, most)
		}
		seen := int64(0)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for g := range 2 * instances {
			wg.Go(func() {
				for n := range 20 {
					c := call()
					if (g+n)%2 == 0 {
						c = cue()
					}
					p.Authorize(t.Context(), c)
					mu.Lock()
					seen = max(seen, p.Health().Memory)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if seen > most || seen < limit {
			t.Errorf("isolated %v: %d bytes at most, want %d to %d", isolated, seen, limit, most)
		}
		p.Close(context.Background())
		if h := p.Health(); h.Memory != 0 || h.Instances != 0 {
			t.Errorf("isolated %v: %+v is left", isolated, h)
		}
	}
}

// What a start that failed had is given back.
func TestMemoryOfFailedStarts(t *testing.T) {
	m := hook(base(randomImport), "on_authorize", onCue(Op(Unreachable)))
	m = with(m, Func{Body: Join(Const32(dataAt), Const32(1), Call(0), Op(Drop), Const32(dataAt), Op(0x2d, 0, 0, 0x04, 0x40, Unreachable, 0x0b))})
	m.HasStart, m.Start = true, 4
	p := load(t, plugin.Options{Module: m.Encode(), Rand: strings.NewReader("\x00\x01\x01"), Limits: plugin.Limits{Instances: 1}})
	_, err := p.Authorize(t.Context(), cue())
	fails(t, err, "unreachable")
	settles(t, 0, func() int { now, ever := p.Instances(); return now + int(2-ever) })
	_, err = p.Authorize(t.Context(), call())
	fails(t, err, "start")
	if h := p.Health(); h.Memory != 0 {
		t.Errorf("%d bytes are held by nobody", h.Memory)
	}
}

// A call is not sent to a plugin whose request has ended only because it
// waits; and one that a caller left is not lost.
func TestNoInstanceIsLost(t *testing.T) {
	p := load(t, plugin.Options{Module: hook(base(), "on_authorize", onCue(Op(Unreachable))).Encode(), Limits: plugin.Limits{Instances: 2, Time: time.Minute}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%2 == 0 {
					cancel()
				}
				c := call()
				if (g+n)%3 == 0 {
					c = cue()
				}
				if o, err := p.Authorize(ctx, c); err == nil && o.Effect != host.Allow {
					t.Errorf("got %+v", o)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	allows(t, p)
	if err := p.Warm(t.Context()); err != nil {
		t.Error(err)
	}
	idle(t, p, 2)
	if h := p.Health(); h.Instances != 2 {
		t.Errorf("%+v", h)
	}
}
