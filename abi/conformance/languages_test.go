package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/wasmtest"
)

// rule is a rule of the plugin rbac in miniature, which every SDK brings.
type rule struct {
	methods []string // nil: all
	pattern host.Pattern
	need    int
}

var roles = []string{"viewer", "editor", "admin"}

func (r rule) String() string {
	methods := "*"
	if r.methods != nil {
		methods = strings.Join(r.methods, ",")
	}
	return fmt.Sprintf("%s %s %s", methods, r.pattern, roles[r.need])
}

// decide is what rbac is to answer, by the host's own patterns.
func decide(rules []rule, c *host.Call) host.Opinion {
	for _, r := range rules {
		if r.methods != nil && !slices.Contains(r.methods, c.Request.Method) || !r.pattern.Match(c.Request.Path) {
			continue
		}
		if c.Identity != nil && slices.ContainsFunc(roles[r.need:], func(role string) bool { return slices.Contains(c.Identity.Roles, role) }) {
			return host.Opinion{Effect: host.Allow}
		}
		return host.Opinion{Effect: host.Deny, Kind: host.Forbidden, Reason: "needs " + roles[r.need]}
	}
	return host.Opinion{}
}

func one[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

var (
	segments = []string{"api", "gitops", "sync", "a", "é", "clusters", "0123456789abcdef"}
	odd      = []string{"", "ap", "apis", "\xff", "API", "*", "**", strings.Repeat("long/", 300)}
	methods  = []string{"GET", "POST", "PUT", "DELETE"}
)

func randomRule(r *rand.Rand) rule {
	path := ""
	for range r.IntN(4) {
		path += "/" + one(r, append(segments, "*", "*"))
	}
	if r.IntN(3) == 0 {
		path += "/**"
	}
	if path == "" {
		path = "/"
	}
	pattern, err := host.ParsePattern(path)
	if err != nil {
		panic(err)
	}
	rule := rule{pattern: pattern, need: r.IntN(3)}
	for range r.IntN(3) {
		rule.methods = append(rule.methods, one(r, methods))
	}
	return rule
}

func randomCall(r *rand.Rand) *host.Call {
	path := ""
	for range 1 + r.IntN(4) {
		path += "/" + one(r, segments)
	}
	if r.IntN(4) == 0 {
		path += "/" + one(r, odd)
	}
	c := call(one(r, append(methods, "PATCH")), path)
	if r.IntN(8) == 0 {
		c.Identity = nil
		return c
	}
	c.Identity.Roles = nil
	for range r.IntN(3) {
		c.Identity.Roles = append(c.Identity.Roles, one(r, []string{"viewer", "editor", "admin", "", "edit", "administrator"}))
	}
	if r.IntN(50) == 0 { // a frame that they do not fit into
		c.Identity.Roles = append(slices.Repeat([]string{"team-0123456789"}, 1500), c.Identity.Roles...)
	}
	return c
}

func call(method, path string) *host.Call {
	now := time.Unix(1767225600, 0)
	return &host.Call{
		Request: &host.Request{Method: method, Scheme: "https", Host: "console.example", Path: path, RawPath: "/raw",
			Header: http.Header{}, Client: netip.MustParseAddr("203.0.113.7")},
		Query: "dry=1", Now: now, Realm: "main", Route: "/**",
		Identity: &host.Identity{Realm: "main", Issuer: "https://idp.example", Subject: "ada",
			UserID: host.UserID("main", "https://idp.example", "ada"), Expires: now.Add(time.Hour)},
		Credential: host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT},
	}
}

var (
	buildMu sync.Mutex
	built   = map[string][]byte{}
)

// build compiles a guest once for all tests.
func build(t *testing.T, l wasmtest.Language, guest string) []byte {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	key := l.Name + " " + guest
	if built[key] == nil {
		built[key] = wasmtest.SDKGuest(t, "../..", l, guest)
	}
	return built[key]
}

// loader compiles a guest of each language, and loads it with a configuration.
func loader(t *testing.T, guest string) func(config []byte, o plugin.Options) []*plugin.Plugin {
	t.Helper()
	modules := map[string][]byte{}
	for _, l := range wasmtest.Languages {
		modules[l.Name] = build(t, l, guest)
	}
	cache, err := plugin.NewCache(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return func(config []byte, o plugin.Options) (list []*plugin.Plugin) {
		for _, l := range wasmtest.Languages {
			o.Name, o.Module, o.Config, o.Cache, o.Limits.Instances = l.Name, modules[l.Name], config, cache, 1
			p, err := plugin.Load(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close(context.Background()) })
			list = append(list, p)
		}
		return list
	}
}

// The same plugin in every language gives the same answer, which is the one
// that the host's own patterns give.
func TestOnePluginInEveryLanguage(t *testing.T) {
	const configurations, requests = 5, 2000
	load := loader(t, "example/rbac")
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[host.Effect]int{}
	for range configurations {
		var rules []rule
		var texts []string
		for range 1 + r.IntN(12) {
			rules = append(rules, randomRule(r))
			texts = append(texts, rules[len(rules)-1].String())
		}
		config, err := json.Marshal(texts)
		if err != nil {
			t.Fatal(err)
		}
		plugins := load(config, plugin.Options{})
		for range requests {
			c := randomCall(r)
			want := decide(rules, c)
			seen[want.Effect]++
			for _, p := range plugins {
				if got, err := p.Authorize(t.Context(), c); err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%s: %s %q of %+v under %s: %+v, %v, want %+v", p.Name(), c.Request.Method, c.Request.Path, c.Identity, config, got, err, want)
				}
			}
		}
		for _, p := range plugins {
			if _, ever := p.Instances(); ever != 1 {
				t.Errorf("%s needed %d instances", p.Name(), ever)
			}
			p.Close(t.Context())
		}
	}
	for _, e := range []host.Effect{host.Abstain, host.Allow, host.Deny} {
		if seen[e] < configurations*requests/20 {
			t.Errorf("only %d of %d requests end in %s", seen[e], configurations*requests, e)
		}
	}
}

// What is no configuration every language refuses in the same words.
func TestConfigurationsAreRefusedAlike(t *testing.T) {
	const aList, aRule = "a list of rules is needed", `a rule is not "METHODS /PATH ROLE"`
	rules := func(n int) string { return `["` + strings.Repeat(`GET / viewer","`, n-1) + `GET / viewer"]` }
	for _, l := range wasmtest.Languages {
		g, err := engine(t, build(t, l, "example/rbac"))(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for config, want := range map[string]string{
			"":                      aList,
			"[]":                    aList,
			`"GET / viewer"`:        aList,
			`["GET / viewer"`:       aList,
			`["GET / viewer" "a"]`:  aList,
			`[""]`:                  aRule,
			`["GET viewer"]`:        aRule,
			`["GET  viewer"]`:       aRule,
			`[" / viewer"]`:         aRule,
			`["GET path viewer"]`:   aRule,
			`["GET / viewers"]`:     aRule,
			`["GET / viewer more"]`: aRule,
			`["GET / viewer\n"]`:    aRule,
			`["GET /\\ viewer"]`:    aRule,
			rules(64):               "",
			rules(65):               aRule,
			rules(600):              "more than 8192 bytes of configuration",
		} {
			c := Case{Hook: "configure", Frame: makeFrame(abi.Configure, func(w *abi.FrameWriter) { w.Text(abi.FieldConfig, config) }),
				Get: []Value{{Kind: 5, Index: uint32(abi.FieldConfig), Value: Bytes(config)}}}
			if want != "" {
				c.Code, c.Answer = 2, Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: want}))
			}
			if err := c.Check(t.Context(), g); err != nil {
				t.Errorf("%s: %.80s: %v", l.Name, config, err)
			}
		}
	}
}
