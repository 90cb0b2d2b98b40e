package rollout_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/replay"
	"github.com/authhost/authhost/host/plugin/rollout"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// ask has the version in force decide 256 requests, the last of them with a
// long path.
func (g *rig) ask() {
	g.t.Helper()
	for i := range replay.Size {
		path := fmt.Sprintf("/%d", i)
		if i == replay.Size-1 {
			path = "/" + strings.Repeat("x", long)
		}
		g.decide(path)
	}
}

func (g *rig) decide(path string) {
	g.t.Helper()
	call := &host.Call{Now: time.Unix(1, 0), Route: "/**", Realm: "main", Request: &host.Request{Method: "GET", Host: "console.example", Path: path, RawPath: path},
		Identity: &host.Identity{UserID: "usr_ann", Roles: []string{"viewer"}}}
	if _, err := g.Serving().Host().Authorizer.Authorize(g.t.Context(), call); err != nil {
		g.t.Fatal(err)
	}
}

// A version that decides one of 256 recent requests differently is shown to,
// and refused where nothing may change.
func TestReplay(t *testing.T) {
	g := newRig(t)
	g.mustTry(false)
	g.ask()
	shows := func() {
		t.Helper()
		a := g.Status().Last
		if a.Asked != 256 || a.Changed != 1 || len(a.Changes) != 1 {
			t.Fatalf("%d changed of %d", a.Changed, a.Asked)
		}
		if c := a.Changes[0]; len(c.Path) != long+1 || c.Method != "GET" || c.UserID != "usr_ann" || c.Old.Reason != "one" || c.New.Reason != "two" || c.Old.Status != 403 {
			t.Errorf("%+v", c)
		}
	}
	g.spec.Gates.MaxChanged = 0
	g.files["p.wasm"] = denyingLong("one", "two")
	g.refused(g.try(false), "replay", "1 of 256 recent decisions would change, max_changed allows 0; the first: GET console.example/xxx")
	shows()
	if n := g.Serving().Number; n != 1 {
		t.Errorf("generation %d serves", n)
	}

	g.spec.Gates.MaxChanged = -1
	g.mustTry(false)
	shows()
	if s := g.Status(); s.Serving.Number != 3 || s.Last.Find("replay").Detail != "1 of 256 recent decisions change" {
		t.Errorf("%+v", s)
	}
	// What was replayed is remembered of the new version, though nobody asked it.
	g.spec.Gates.MaxChanged = 255
	g.files["p.wasm"] = denying("three")
	g.refused(g.try(false), "replay", "256 of 256")
	g.spec.Gates.MaxChanged = 256
	g.mustTry(false)
	a := g.Status().Last
	if c := a.Changes[0]; a.Changed != 256 || len(a.Changes) != 50 || c.Old.Reason != "one" || c.New.Reason != "three" {
		t.Errorf("%d changes, %d of them shown, the first %+v", a.Changed, len(a.Changes), c)
	}
	// Each version has decisions of its own, also when it is gone back to.
	g.back()
	g.spec.Gates.MaxChanged = 0
	g.files["p.wasm"] = denyingLong("one", "two") + "\x00\x02\x01x" // the same but for a custom section
	g.mustTry(false)
	if a := g.Status().Last; a.Asked != 256 || a.Changed != 0 {
		t.Errorf("%d changed of %d", a.Changed, a.Asked)
	}
}

// A version without on_authorize decides nothing, and one that fails does not
// decide as before either.
func TestReplayOfSilentAndFailing(t *testing.T) {
	chooser := Module{MinPages: 1, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
		{Export: abi.OnCredential.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Const64(0)},
	}}
	for name, module := range map[string]Module{"silent": chooser, "failing": guest(Op(Unreachable))} {
		g := newRig(t)
		g.mustTry(false)
		g.decide("/a")
		g.spec.Gates.MaxChanged = 0
		g.files["p.wasm"] = string(module.Encode())
		g.refused(g.try(false), "replay", "1 of 1 recent decisions would change")
		g.is(1, "one", rollout.Kept)
		g.spec.Gates.MaxChanged = 2 // the test has asked once itself
		if name == "silent" {
			g.mustTry(false)
			if h := g.Serving().Host(); h.Authorizer != nil || h.Chooser == nil {
				t.Errorf("%+v", h)
			}
			g.spec.Gates.MaxChanged = 0
			g.files["p.wasm"] = denying("one")
			g.refused(g.try(false), "replay", "2 of 2") // the request of then, once more
		}
	}
}

// counts are what is counted of a plugin's calls.
type counts struct{ calls, errors, open atomic.Int64 }

func (c *counts) PluginCall(string, string, time.Duration) { c.calls.Add(1) }
func (c *counts) PluginError(string, string)               { c.errors.Add(1) }
func (c *counts) PluginBreaker(_, _ string, open bool) {
	if c.open.Add(1); !open {
		c.open.Add(-2)
	}
}

// What a version does on trial is not counted as what it does to requests.
func TestTrialsAreNotCounted(t *testing.T) {
	var seen counts
	g := newRig(t)
	g.Rollout = rollout.New("gate", rollout.Options{Metrics: &seen})
	g.mustTry(false)
	g.decide("/a")
	g.files["p.wasm"] = string(guest(Op(Unreachable)).Encode())
	g.spec.Gates.MaxChanged = 0
	g.refused(g.try(false), "replay", "would change")
	g.files["p.wasm"] = denying("two")
	g.spec.Gates.MaxChanged = 1
	g.mustTry(false)
	if seen.calls.Load() != 1 || seen.errors.Load() != 0 {
		t.Errorf("%d calls, %d errors", seen.calls.Load(), seen.errors.Load())
	}
	g.decide("/a")
	if seen.calls.Load() != 2 {
		t.Errorf("%d calls", seen.calls.Load())
	}
}

// A breaker that is open shows while its version is in force, and not while it
// only waits to be gone back to.
func TestBreakerOfTheVersionInForce(t *testing.T) {
	var seen counts
	var passed atomic.Int64 // milliseconds
	g := newRig(t)
	g.Rollout = rollout.New("gate", rollout.Options{Metrics: &seen, Now: func() time.Time { return time.UnixMilli(1_800_000_000_000 + passed.Load()) }})
	g.files["p.wasm"] = string(guest(Op(Unreachable)).Encode())
	g.mustTry(false)
	for i := range 20 {
		if i < 11 {
			passed.Add(100)
		}
		call := &host.Call{Request: &host.Request{Method: "GET", Path: "/"}, Identity: &host.Identity{UserID: fmt.Sprint("usr_", i)}}
		if _, err := g.Serving().Host().Authorizer.Authorize(t.Context(), call); err == nil {
			t.Fatal("an answer")
		}
	}
	for i, want := range []int64{1, 0, 1, 0} { // serves, replaced, gone back to, and forth
		if n := seen.open.Load(); n != want {
			t.Errorf("%d: %d breakers are open, want %d", i, n, want)
		}
		if i == 0 {
			g.files["p.wasm"] = denying("two")
			g.mustTry(false)
		} else {
			g.back()
		}
	}
	if h := g.Serving().Health(); len(h.Breakers) != 1 || !h.Breakers[0].Open {
		t.Errorf("%+v", h)
	}
}
