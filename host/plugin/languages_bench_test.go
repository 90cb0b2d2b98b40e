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

// One plugin in the languages of the SDKs: what a call of on_authorize takes
// that finds its rule, has its role and allows, or does not and denies, and
// what an instance takes before it.
func BenchmarkLanguages(b *testing.B) {
	config := []byte(`["GET,HEAD /api/** viewer","POST /api/gitops/sync editor","POST /api/gitops/*/rollback admin"]`)
	for _, l := range wasmtest.Languages {
		module := wasmtest.SDKGuest(b, "../..", l, "example/rbac")
		p, err := Load(b.Context(), Options{Name: "rbac", Module: module, Config: config, Limits: Limits{Instances: 1}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close(context.Background()) })

		now := time.Unix(1767225600, 0)
		call := &host.Call{
			Request: &host.Request{Method: "POST", Scheme: "https", Host: "console.example", Path: "/api/gitops/sync", RawPath: "/api/gitops/sync",
				Header: http.Header{}, Client: netip.MustParseAddr("203.0.113.7")},
			Now: now, Realm: "main", Route: "/**", Credential: host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT},
			Identity: &host.Identity{Realm: "main", Issuer: "https://idp.example", Subject: "ada", UserID: host.UserID("main", "https://idp.example", "ada"),
				Roles: []string{"viewer", "editor"}, Groups: []string{"gitops"}, Expires: now.Add(time.Hour)},
		}
		for _, want := range []host.Effect{host.Allow, host.Deny} {
			b.Run(l.Name+"/"+want.String(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if o, err := p.Authorize(b.Context(), call); err != nil || o.Effect != want {
						b.Fatal(o, err)
					}
				}
			})
			call.Identity.Roles = []string{"viewer", "auditor"}
		}
		b.Run(l.Name+"/instance", func(b *testing.B) {
			var memory float64
			for b.Loop() {
				i := newInstance(p)
				if err := i.start(); err != nil {
					b.Fatal(err)
				}
				memory = float64(i.memory.Size())
				i.close()
			}
			b.ReportMetric(float64(len(module)), "module-bytes")
			b.ReportMetric(memory, "memory-bytes")
		})
	}
}
