package edge_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

// sink is a ResponseWriter that keeps nothing, so that what is measured is the
// edge and the pipeline.
type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

type quick struct{}

func (quick) Find(r *host.Request, dst []host.Credential) ([]host.Credential, string) {
	return append(dst, host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: "a.b.c"}), r.RawQuery
}

func (quick) Validate(context.Context, string) (host.Validation, error) {
	return host.Validation{Verdict: host.Valid, Identity: people["alice"]}, nil
}

func (quick) Revoked(context.Context, *host.Identity) (bool, error)       { return false, nil }
func (quick) Resolve(context.Context, string) (host.Validation, error)    { return host.Validation{}, nil }
func (quick) Authorize(context.Context, *host.Call) (host.Opinion, error) { return host.Opinion{}, nil }
func (quick) Record(context.Context, *host.Event)                         {}

func BenchmarkForwardAuth(b *testing.B) {
	pipeline := host.New(time.Now)
	pipeline.Swap(&host.Snapshot{
		Realms:         []*host.Realm{{Name: "main", Hosts: []string{"*"}, Finder: quick{}, Tokens: quick{}, Sessions: quick{}, Revoked: quick{}}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		PluginHeaders:  []string{"X-Team"},
		Routes: []host.Route{{Pattern: pattern(b, "/healthz"), Authenticate: host.None},
			{Pattern: pattern(b, "/**"), AllowDefault: true, Plugins: []host.Plugin{{Name: "quick", Authorizer: quick{}}}}},
	})
	h := edge.New(edge.Options{Pipeline: pipeline, Recorder: quick{}}).Public(http.NotFoundHandler())
	a := ask{method: "POST", uri: "/api/gitops/sync?dry=1", extra: []string{bearerAlice, "X-Forwarded-For: 203.0.113.7", "Accept: */*",
		"Accept-Encoding: gzip", "User-Agent: curl/8", "Content-Type: application/json", "X-Forwarded-Port: 443", "Upgrade-Insecure-Requests: 1"}}
	for _, c := range conventions {
		b.Run(c.name, func(b *testing.B) {
			r := c.make(a)
			b.ReportAllocs()
			for b.Loop() {
				w := sink{h: make(http.Header)}
				if h.ServeHTTP(&w, r); w.status != 200 {
					b.Fatal(w.status)
				}
			}
		})
	}
}
