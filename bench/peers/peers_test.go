// Package peers measures the host of plugins beside others, on one rule: who
// has the role editor may call /api/gitops/sync. Each is used as its
// documentation has it for many calls: compiled or prepared once, instances
// reused, the guest made for that host by the same compiler.
//
// It is a module of its own, so that authhost requires none of them.
package peers

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"
	wasm "github.com/http-wasm/http-wasm-host-go/handler/nethttp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/wasmtest"
)

// A contender makes a function that asks about one request, over and over.
type contender struct {
	name string
	ask  func(tb testing.TB, path string, roles []string) func() (allowed bool)
}

func contenders(tb testing.TB) []contender {
	return []contender{
		{"authhost-c", authhost(wasmtest.BuildC(tb, "../../host/plugin/testdata/c/rule.c"))},
		{"authhost-rust", authhost(wasmtest.BuildRust(tb, "../../host/plugin/testdata/rust/rule.rs"))},
		{"authhost-go", authhost(wasmtest.BuildGo(tb, "../../sdk", "testdata/rule"))},
		{"http-wasm-c", httpWasm(wasmtest.BuildC(tb, "guests/httpwasm.c"))},
		{"extism-c", extismOf(wasmtest.BuildC(tb, "guests/extism.c"))},
		{"opa-rego", opa},
	}
}

const ours = 3 // of the contenders, the first

func authhost(module []byte) func(testing.TB, string, []string) func() bool {
	return func(tb testing.TB, path string, roles []string) func() bool {
		p, err := plugin.Load(tb.Context(), plugin.Options{Name: "rule", Module: module})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = p.Close(context.Background()) })
		call := &host.Call{
			Request: &host.Request{
				Method: "POST", Scheme: "https", Authority: "console.example", Host: "console.example",
				Path: path, RawPath: path, Header: http.Header{}, Client: netip.MustParseAddr("192.0.2.7"),
			},
			Now: time.Now(), Realm: "main", Route: "/**",
			Identity:   &host.Identity{Realm: "main", Issuer: "https://idp.example", Subject: "alice", UserID: host.UserID("main", "https://idp.example", "alice"), Roles: roles},
			Credential: host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT},
		}
		ctx := context.Background()
		return func() bool {
			o, err := p.Authorize(ctx, call)
			if err != nil {
				tb.Fatal(err)
			}
			return o.Effect == host.Allow
		}
	}
}

// nowhere is a response that is thrown away.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(status int)      { n.status = status }

func httpWasm(module []byte) func(testing.TB, string, []string) func() bool {
	return func(tb testing.TB, path string, roles []string) func() bool {
		ctx := context.Background()
		middleware, err := wasm.NewMiddleware(ctx, module)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = middleware.Close(ctx) })
		passed := false
		h := middleware.NewHandler(ctx, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }))
		r := &http.Request{Method: "POST", URL: &url.URL{Path: path}, Header: http.Header{"X-Roles": roles}, Proto: "HTTP/1.1", Host: "console.example"}
		return func() bool {
			passed = false
			h.ServeHTTP(&nowhere{header: http.Header{}}, r)
			return passed
		}
	}
}

func extismOf(module []byte) func(testing.TB, string, []string) func() bool {
	return func(tb testing.TB, path string, roles []string) func() bool {
		ctx := context.Background()
		compiled, err := extism.NewCompiledPlugin(ctx, extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: module}}}, extism.PluginConfig{}, nil)
		if err != nil {
			tb.Fatal(err)
		}
		instance, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _, _ = instance.Close(ctx), compiled.Close(ctx) })
		return func() bool {
			input := append(make([]byte, 0, 64), "POST\n"...)
			input = append(append(input, path...), '\n')
			for _, role := range roles {
				input = append(append(input, role...), '\n')
			}
			_, out, err := instance.CallWithContext(ctx, "authorize", input)
			if err != nil {
				tb.Fatal(err)
			}
			return string(out) == "1"
		}
	}
}

// opa has its input parsed beforehand, which is to its favour.
func opa(tb testing.TB, path string, roles []string) func() bool {
	text, err := os.ReadFile("guests/rule.rego")
	if err != nil {
		tb.Fatal(err)
	}
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.rule.allow"), rego.Module("rule.rego", string(text))).PrepareForEval(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	input, err := ast.InterfaceToValue(map[string]any{"method": "POST", "path": path, "roles": roles})
	if err != nil {
		tb.Fatal(err)
	}
	return func() bool {
		results, err := query.Eval(ctx, rego.EvalParsedInput(input))
		if err != nil {
			tb.Fatal(err)
		}
		return results.Allowed()
	}
}

// All follow the rule.
func TestContenders(t *testing.T) {
	for _, c := range contenders(t) {
		for _, q := range []struct {
			path  string
			roles []string
			want  bool
		}{
			{"/api/gitops/sync", []string{"viewer", "editor"}, true},
			{"/api/gitops/sync", []string{"viewer"}, false},
			{"/api/gitops/sync", []string{"editors", "edit"}, false},
			{"/api/gitops/sync", nil, false},
			{"/api/gitops/status", []string{"editor"}, false},
		} {
			ask := c.ask(t, q.path, q.roles)
			for range 3 {
				if got := ask(); got != q.want {
					t.Errorf("%s: %s by %q: %v, want %v", c.name, q.path, q.roles, got, q.want)
				}
			}
		}
	}
}

// BenchmarkRule asks all in turns and prints what one call takes, the best
// turn of each, and how many times as long that is as authhost with a guest in
// the language of the others' guests. If another host is faster it fails.
func BenchmarkRule(b *testing.B) {
	const turn = 200 * time.Microsecond
	all := contenders(b)
	asks, calls, best := make([]func() bool, len(all)), make([]int, len(all)), make([]float64, len(all))
	for i, c := range all {
		asks[i] = c.ask(b, "/api/gitops/sync", []string{"viewer", "editor"})
		start := time.Now()
		for range 1000 {
			asks[i]()
		}
		calls[i] = max(1, int(1000*turn/time.Since(start)))
	}
	for b.Loop() {
		for i, ask := range asks {
			start := time.Now()
			for range calls[i] {
				if !ask() {
					b.Fatal(all[i].name, "denies")
				}
			}
			if took := float64(time.Since(start)) / float64(calls[i]); best[i] == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, c := range all {
		b.ReportMetric(best[i], c.name+"-ns")
		b.ReportMetric(best[i]/best[0], c.name+"/"+all[0].name)
		if i >= ours && best[i] <= best[0] {
			b.Errorf("%s takes %.0f ns, %s %.0f", c.name, best[i], all[0].name, best[0])
		}
	}
}
