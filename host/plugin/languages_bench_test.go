package plugin

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/wasmtest"
)

// One plugin in the languages of the SDKs, a row each: what a call of
// on_authorize takes that finds its rule and the role, or not the role; what
// it takes to make an instance, and how large that is before the first call.
func BenchmarkLanguages(b *testing.B) {
	config := []byte(`["GET,HEAD /api/** viewer","POST /api/gitops/sync editor","POST /api/gitops/*/rollback admin"]`)
	for _, l := range wasmtest.Languages {
		module := wasmtest.SDKGuest(b, "../..", l, "example/rbac")
		p, err := Load(b.Context(), Options{Name: "rbac", Module: module, Config: config, Limits: Limits{Instances: 1}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close(context.Background()) })
		b.Run(l.Name, func(b *testing.B) {
			var memory uint32
			var allow, deny, instance shortest
			for b.Loop() {
				allow.turn(100, func() { decides(b, p, host.Allow, "viewer", "editor") })
				deny.turn(100, func() { decides(b, p, host.Deny, "viewer", "auditor") })
				instance.turn(1, func() {
					i := newInstance(p)
					if err := i.start(); err != nil {
						b.Fatal(err)
					}
					memory = i.memory.Size()
					i.close()
				})
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(allow), "allow-ns")
			b.ReportMetric(float64(deny), "deny-ns")
			b.ReportMetric(float64(instance)/1e3, "instance-µs")
			b.ReportMetric(float64(memory)/1024, "memory-KiB")
			b.ReportMetric(float64(len(module))/1024, "module-KiB")
		})
	}
}

// shortest is what the shortest of some turns took a call, in nanoseconds: the
// machine may be busy.
type shortest float64

func (s *shortest) turn(calls int, f func()) {
	start := time.Now()
	for range calls {
		f()
	}
	if took := shortest(time.Since(start)) / shortest(calls); *s == 0 || took < *s {
		*s = took
	}
}

var rbacCall = &host.Call{
	Request: &host.Request{Method: "POST", Scheme: "https", Host: "console.example", Path: "/api/gitops/sync", RawPath: "/api/gitops/sync",
		Header: http.Header{}, Client: netip.MustParseAddr("203.0.113.7")},
	Now: time.Unix(1767225600, 0), Realm: "main", Route: "/**",
	Credential: host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT},
	Identity: &host.Identity{Realm: "main", Issuer: "https://idp.example", Subject: "ada", UserID: host.UserID("main", "https://idp.example", "ada"),
		Groups: []string{"gitops"}, Expires: time.Unix(1767229200, 0)},
}

func decides(b *testing.B, p *Plugin, want host.Effect, roles ...string) {
	rbacCall.Identity.Roles = roles
	if o, err := p.Authorize(b.Context(), rbacCall); err != nil || o.Effect != want {
		b.Fatal(o, err)
	}
}
