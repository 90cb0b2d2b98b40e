package plugin_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// settles waits until what comes reaches want: goroutines end a little after
// what they did.
func settles(t *testing.T, want int, what func() int) {
	t.Helper()
	got := what()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); got = what() {
		if got <= want {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Errorf("%d left, want at most %d", got, want)
}

// patient asks again while all instances are busy for longer than a call waits,
// as they may be for many callers on a busy machine.
func patient(p *plugin.Plugin, ctx context.Context, c *host.Call) (o host.Opinion, err error) {
	for end := time.Now().Add(time.Minute); ; {
		o, err = p.Authorize(ctx, c)
		if e, ok := errors.AsType[*host.Error](err); !ok || !strings.Contains(e.Error()+e.Cause.Error(), "were busy") || time.Now().After(end) {
			return o, err
		}
	}
}

// Many callers, some of whose calls trap: each call gets its own answer, the
// pool stays within its bound, and nothing is left behind.
func TestHammer(t *testing.T) {
	before := runtime.NumGoroutine()
	const instances = 3
	p := load(t, plugin.Options{
		Module: hook(base(), "on_authorize", onCue(Op(Unreachable))).Encode(),
		Limits: plugin.Limits{Instances: instances, Time: time.Minute},
	})
	var wg sync.WaitGroup
	var trapped atomic.Int64
	for g := range 16 {
		wg.Go(func() {
			for n := range 60 {
				if (g+n)%5 == 0 {
					_, err := patient(p, t.Context(), cue())
					if err == nil || !strings.Contains(err.Error(), "unreachable") {
						t.Errorf("got %v, want a trap", err)
					}
					trapped.Add(1)
				} else if o, err := patient(p, t.Context(), call()); err != nil || o.Effect != host.Allow {
					t.Errorf("got %+v, %v, want allow", o, err)
				}
				if now, _ := p.Instances(); now > instances {
					t.Errorf("%d instances", now)
				}
			}
		})
	}
	wg.Wait()
	if _, ever := p.Instances(); ever > trapped.Load()+instances {
		t.Errorf("%d instances were made for %d traps", ever, trapped.Load())
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if now, _ := p.Instances(); now != 0 {
		t.Errorf("%d instances are left", now)
	}
	settles(t, before, runtime.NumGoroutine)
}

// Calls that go on while a plugin is closed end with an error, and nothing is
// left of the plugin.
func TestCloseUnderCalls(t *testing.T) {
	module := hook(base(), "on_authorize").Encode()
	for round := range 20 {
		p := load(t, plugin.Options{Module: module, Limits: plugin.Limits{Instances: 1 + round%2, Time: time.Minute}})
		var wg, under sync.WaitGroup
		under.Add(4)
		for range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					_, err := patient(p, t.Context(), call())
					if n == 10 {
						under.Done()
					}
					if err != nil {
						fails(t, err, "closed")
						return
					}
				}
			})
		}
		under.Wait()
		if err := p.Close(t.Context()); err != nil {
			t.Error("close:", err)
		}
		wg.Wait()
		if h := p.Health(); h.Instances != 0 || h.Idle != 0 || h.Memory != 0 {
			t.Errorf("%d instances are left, %d idle, %d bytes", h.Instances, h.Idle, h.Memory)
		}
	}
}

// Closing one plugin does not touch another of the same module and cache.
func TestCloseTouchesNoOther(t *testing.T) {
	module := hook(base(), "on_authorize").Encode()
	a := load(t, plugin.Options{Module: module})
	b := load(t, plugin.Options{Module: module})
	for range 2 {
		if err := a.Close(t.Context()); err != nil {
			t.Error("close:", err)
		}
		_, err := a.Authorize(t.Context(), call())
		fails(t, err, "closed")
		allows(t, b)
	}
	allows(t, load(t, plugin.Options{Module: module}))
}

// Close waits for a call under way, which ends at its time limit.
func TestAttackPlugin_call_still_running_at_close(t *testing.T) {
	p, done := looping(t, 100*time.Millisecond)
	if err := p.Close(context.Background()); err != nil {
		t.Error("close:", err)
	}
	fails(t, <-done, "time limit")
	if now, _ := p.Instances(); now != 0 {
		t.Errorf("%d instances are left", now)
	}
}

// When the time for closing is up, calls under way are ended whatever their
// own limit.
func TestCloseInAHurry(t *testing.T) {
	p, done := looping(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	if err := <-done; err == nil {
		t.Error("the call had an answer")
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error("close:", err)
	}
}

// looping returns a plugin one of whose calls loops.
func looping(t *testing.T, limit time.Duration) (*plugin.Plugin, <-chan error) {
	log, logger := newLogs()
	body := Join(Const32(1), Const32(0), Const32(1), Call(0), Forever())
	p := load(t, plugin.Options{
		Module: hook(base(logImport), "on_authorize", onCue(body)).Encode(), Logger: logger, Limits: plugin.Limits{Time: limit, Instances: 2},
	})
	done := make(chan error, 1)
	go func() {
		_, err := p.Authorize(context.Background(), cue())
		done <- err
	}()
	<-log.seen
	return p, done
}

// A caller waits for an instance no longer than for its own request.
func TestBusy(t *testing.T) {
	log, logger := newLogs()
	body := Join(Const32(1), Const32(0), Const32(1), Call(0), Forever())
	p := load(t, plugin.Options{
		Module: hook(base(logImport), "on_authorize", body).Encode(), Logger: logger, Limits: plugin.Limits{Time: time.Hour, Instances: 1},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Authorize(context.Background(), call())
	}()
	<-log.seen
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Authorize(ctx, call())
	fails(t, err, "waiting for an instance")
	if !errors.Is(err, context.Canceled) {
		t.Error("the cause of", err, "is not kept")
	}
	_, err = p.Authorize(t.Context(), call())
	fails(t, err, "all 1 instances were busy")
	p.Close(ctx)
	<-done
}

// A refused load leaves nothing behind.
func TestNoLeakOfRefusedLoads(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		refused(t, plugin.Options{Module: hook(hook(base(), "on_authorize"), "configure", Op(Unreachable)).Encode()}, "configure", "unreachable")
		refused(t, plugin.Options{Module: base().Encode()}, "check", "no hook")
	}
	settles(t, before, runtime.NumGoroutine)
}
