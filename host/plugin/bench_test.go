package plugin_test

import (
	"context"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/tetratelabs/wazero"
)

// The allow path allocates nothing on the host.
func TestAuthorizeDoesNotAllocate(t *testing.T) {
	p := load(t, plugin.Options{Module: hook(base(), "on_authorize").Encode(), Limits: plugin.Limits{Time: time.Minute}})
	c, ctx := call(), context.Background()
	if n := testing.AllocsPerRun(500, func() {
		if o, err := p.Authorize(ctx, c); err != nil || o.Effect != host.Allow {
			t.Fatal(o, err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	tiny := load(b, plugin.Options{Module: hook(base(), "on_authorize").Encode()})
	for _, c := range []struct {
		name string
		p    *plugin.Plugin
	}{{"tiny", tiny}, {"go", loadGo(b, "", plugin.Options{})}, {"go-roles", loadGo(b, "roles", plugin.Options{})}} {
		b.Run(c.name, func(b *testing.B) {
			call, ctx := call(), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if o, err := c.p.Authorize(ctx, call); err != nil || o.Effect != host.Allow {
					b.Fatal(o, err)
				}
			}
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
