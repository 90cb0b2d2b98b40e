package plugin_test

import (
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
)

// What isolation costs: one allowed call in a pool of four, with the memory
// left as it is and restored, for a guest of one page and a Go guest.
func BenchmarkIsolation(b *testing.B) {
	goModule, err := goGuest()
	if err != nil {
		b.Fatal(err)
	}
	tiny := hook(base(), "on_authorize").Encode()
	for _, c := range []struct {
		name     string
		o        plugin.Options
		isolated bool
	}{
		{"tiny/none", plugin.Options{Module: tiny}, false},
		{"tiny/request", plugin.Options{Module: tiny}, true},
		{"go/none", plugin.Options{Module: goModule, Config: []byte("roles")}, false},
		{"go/request", plugin.Options{Module: goModule, Config: []byte("roles")}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.o.Isolated, c.o.Limits.Instances = c.isolated, 4
			p, call, ctx := load(b, c.o), call(), b.Context()
			if err := p.Warm(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if o, err := p.Authorize(ctx, call); err != nil || o.Effect != host.Allow {
					b.Fatal(o, err)
				}
			}
			h := p.Health()
			b.ReportMetric(float64(h.Ever-4)/float64(b.N), "instances/op")
			b.ReportMetric(float64(h.Memory)/(1<<20), "MiB")
		})
	}
}
