package plugin_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
)

// The allow path allocates nothing on the host, also if the plugin gives one
// of a few reasons.
func TestAuthorizeDoesNotAllocate(t *testing.T) {
	silent := hook(base(), "on_authorize")
	telling := base()
	telling = hook(telling, "on_authorize", answering(&telling, abi.CodeYes, abi.AppendAnswer(nil, abi.Answer{Code: abi.CodeYes, Reason: "rules[0]: editors may"})))
	for reason, module := range map[string]wasmtest.Module{"": silent, "rules[0]: editors may": telling} {
		p := load(t, plugin.Options{Module: module.Encode(), Limits: plugin.Limits{Time: time.Minute}})
		c, ctx := call(), context.Background()
		if n := testing.AllocsPerRun(500, func() {
			if o, err := p.Authorize(ctx, c); err != nil || o.Effect != host.Allow || o.Reason != reason {
				t.Fatal(o, err)
			}
		}); n >= 1 {
			t.Errorf("reason %q: %v allocations", reason, n)
		}
	}
}

// rules are plugins that follow one rule, in each language: who has the role
// editor may call /api/gitops/sync. The Go one has the SDK, the others are on
// the ABI itself.
func rules(tb testing.TB) map[string]*plugin.Plugin {
	return map[string]*plugin.Plugin{
		"go":   load(tb, plugin.Options{Module: wasmtest.BuildGo(tb, "../../sdk", "testdata/rule"), Limits: plugin.Limits{Time: time.Minute}}),
		"c":    load(tb, plugin.Options{Module: wasmtest.BuildC(tb, "testdata/c/rule.c"), Limits: plugin.Limits{Time: time.Minute}}),
		"rust": load(tb, plugin.Options{Module: wasmtest.BuildRust(tb, "testdata/rust/rule.rs"), Limits: plugin.Limits{Time: time.Minute}}),
	}
}

// The rule is followed in each language, whatever comes in the frame and
// whatever has to be read beside it, and an allow allocates nothing on the
// host.
func TestRules(t *testing.T) {
	for language, p := range rules(t) {
		ask := func(change func(*host.Call)) host.Effect {
			c := call()
			change(c)
			o, err := p.Authorize(t.Context(), c)
			if err != nil {
				t.Fatal(language, err)
			}
			return o.Effect
		}
		for name, q := range map[string]struct {
			change func(*host.Call)
			want   host.Effect
		}{
			"an editor":    {func(*host.Call) {}, host.Allow},
			"a viewer":     {func(c *host.Call) { c.Identity.Roles = []string{"viewer"} }, host.Abstain},
			"no roles":     {func(c *host.Call) { c.Identity.Roles = nil }, host.Abstain},
			"nearly":       {func(c *host.Call) { c.Identity.Roles = []string{"edit", "editors", ""} }, host.Abstain},
			"nobody":       {func(c *host.Call) { c.Identity = nil }, host.Abstain},
			"another path": {func(c *host.Call) { c.Request.Path = "/api/gitops/syn" }, host.Abstain},
			"roles are lazy": {func(c *host.Call) {
				c.Identity.Roles = []string{strings.Repeat("x", 14000), "editor"}
				c.Query = strings.Repeat("q", 9000)
			}, host.Allow},
			"the path is long": {func(c *host.Call) { c.Request.Path = strings.Repeat("/", 15000) }, host.Abstain},
		} {
			if got := ask(q.change); got != q.want {
				t.Errorf("%s: %s: %s, want %s", language, name, got, q.want)
			}
		}
		c, ctx := call(), context.Background()
		if n := testing.AllocsPerRun(500, func() {
			if o, err := p.Authorize(ctx, c); err != nil || o.Effect != host.Allow {
				t.Fatal(o, err)
			}
		}); n != 0 {
			t.Errorf("%s: an allow allocates %v times", language, n)
		}
	}
}

// BenchmarkAuthorize prints how many times as long as the engine's emptiest
// call a decision takes, pool, frame and answer included. They take turns, and
// the best turn of each counts.
func BenchmarkAuthorize(b *testing.B) {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig())
	defer rt.Close(ctx)
	m, err := rt.Instantiate(ctx, hook(base(), "on_authorize").Encode())
	if err != nil {
		b.Fatal(err)
	}
	f, stack := m.ExportedFunction("on_authorize"), make([]uint64, 1)
	for language, p := range rules(b) {
		b.Run(language, func(b *testing.B) {
			const empties, decisions = 2000, 100
			empty, decision := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			c := call()
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				for range empties {
					if err := f.CallWithStack(ctx, stack); err != nil {
						b.Fatal(err)
					}
				}
				between := time.Now()
				for range decisions {
					if o, err := p.Authorize(ctx, c); err != nil || o.Effect != host.Allow {
						b.Fatal(o, err)
					}
				}
				empty, decision = min(empty, between.Sub(start)), min(decision, time.Since(between))
			}
			each, least := float64(decision)/decisions, float64(empty)/empties
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(each, "decision-ns")
			b.ReportMetric(least, "empty-call-ns")
			b.ReportMetric(each/least, "decision/empty-call")
		})
	}
}

func BenchmarkAuthorizeParallel(b *testing.B) {
	p := loadGo(b, "roles", plugin.Options{})
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		call, ctx := call(), b.Context()
		for pb.Next() {
			if o, err := p.Authorize(ctx, call); err != nil || o.Effect != host.Allow {
				b.Fatal(o, err)
			}
		}
	})
}

// What the engine takes for a call that does nothing: without a way to end it,
// and with the engine's own way, which package plugin does not use.
func BenchmarkEmptyCallWithStack(b *testing.B) {
	for name, terminable := range map[string]bool{"plain": false, "terminable": true} {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCloseOnContextDone(terminable))
			defer rt.Close(ctx)
			m, err := rt.Instantiate(ctx, hook(base(), "on_authorize").Encode())
			if err != nil {
				b.Fatal(err)
			}
			f, stack := m.ExportedFunction("on_authorize"), make([]uint64, 1)
			b.ReportAllocs()
			for b.Loop() {
				if err := f.CallWithStack(ctx, stack); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoadGo(b *testing.B) {
	module, err := goGuest()
	if err != nil {
		b.Fatal(err)
	}
	load(b, plugin.Options{Module: module}) // compiled once
	b.ReportAllocs()
	for b.Loop() {
		p, err := plugin.Load(b.Context(), plugin.Options{Name: "guest", Module: module, Cache: shared()})
		if err != nil {
			b.Fatal(err)
		}
		p.Close(b.Context())
	}
}
