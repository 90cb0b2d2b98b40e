package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
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

// This host makes of a request the frame that the echo guest of any language
// reads whole, and takes its answer.
func TestThisHost(t *testing.T) {
	logs := &lines{}
	now := time.Unix(1767225600, 0) // moves by hand, so that the bound on lines a second is never met
	plugins := loader(t, "testdata/echo")([]byte(`{"a":1}`), plugin.Options{
		Logger: slog.New(logs), Headers: []string{"X-Team"}, Now: func() time.Time { return now }})
	c := call("POST", "/api/gitops/\xff")
	c.Identity.Roles, c.Identity.Groups, c.Identity.Email = []string{"viewer", "editor"}, []string{"café"}, "ada@example.com"
	c.Identity.SessionID = "ses_mfrggzdfmztwq"
	c.Identity.Claims = map[string]any{"team": "ops"}
	c.Request.Header = http.Header{"X-Echo": {"=2", "s404", "rnot here", "hX-Team:ops", "?10x-a", "?40team", "?20none", "l2done"}, "X-A": {"one"}}
	want := []string{
		"DEBUG method", "INFO POST", "DEBUG scheme", "INFO https", "DEBUG host", "INFO console.example",
		"DEBUG path", "INFO /api/gitops/\uFFFD", "DEBUG raw_path", "INFO /raw", "DEBUG query", "INFO dry=1",
		"DEBUG client", "INFO 203.0.113.7", "DEBUG time", "INFO 1767225600", "DEBUG route", "INFO /**", "DEBUG realm", "INFO main",
		"DEBUG user_id", "INFO " + c.Identity.UserID, "DEBUG issuer", "INFO https://idp.example", "DEBUG subject", "INFO ada",
		"DEBUG role", "INFO viewer", "DEBUG role", "INFO editor", "DEBUG group", "INFO café", "DEBUG email", "INFO ada@example.com",
		"DEBUG session_id", "INFO ses_mfrggzdfmztwq", "DEBUG credential", "INFO header/jwt", "DEBUG expires", "INFO 1767229200",
		"DEBUG ?10x-a", "INFO one", "DEBUG ?40team", "INFO ops", "DEBUG ?20none", "WARN ", "WARN done",
	}
	header := c.Request.Header["X-Echo"]
	opinion := host.Opinion{Effect: host.Deny, Kind: host.NotFound, Reason: "not here", Headers: []host.Header{{Name: "X-Team", Value: "ops"}}}
	for i, p := range plugins {
		if got := logs.take(); i == 0 && !slices.Equal(got, slices.Repeat([]string{"DEBUG config", `INFO {"a":1}`}, len(plugins))) {
			t.Errorf("configure said %q", got)
		}
		c.Request.Header["X-Echo"] = header
		if got, err := p.Authorize(t.Context(), c); err != nil || !reflect.DeepEqual(got, opinion) {
			t.Errorf("%s: %+v, %v, want %+v", p.Name(), got, err, opinion)
		}
		if got := logs.take(); !slices.Equal(got, want) {
			t.Errorf("%s: said\n%q, want\n%q", p.Name(), got, want)
		}

		now = now.Add(time.Minute)
		c.Request.Header["X-Echo"] = []string{"!"}
		if _, err := p.Authorize(t.Context(), c); err == nil {
			t.Errorf("%s: a call that fails was answered", p.Name())
		}
		want, said := map[string]string{"Go": "panic: as told", "Rust": "panic at testdata/echo.rs:", "AssemblyScript": "as told at testdata/echo.ts:", "C": "as told"}, strings.Join(logs.take(), "|")
		if !strings.Contains(said, want[p.Name()]) {
			t.Errorf("%s: said %s, want %s", p.Name(), said, want[p.Name()])
		}

		now = now.Add(time.Minute)
		try := call("GET", "/")
		try.Identity, try.Request.Header = nil, http.Header{"X-Echo": {"c1", "rthe cookie"}}
		try.Found = []host.Credential{{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT}, {Source: host.FromCookie, Name: "kc_auth", Kind: host.JWT}}
		try.Candidates = []host.Candidate{
			{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Verdict: host.Expired},
			{Source: host.FromCookie, Name: "kc_auth", Kind: host.JWT, UserID: c.Identity.UserID},
		}
		got, err := p.Choose(t.Context(), try)
		if want := (host.Choice{Effect: host.Allow, Candidate: 1, Reason: "the cookie"}); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", p.Name(), got, err, want)
		}
		said = strings.Join(logs.take(), "|")
		if want := "DEBUG candidate|DEBUG source|INFO 1|DEBUG kind|INFO 1|DEBUG verdict|INFO 4|DEBUG name|INFO Authorization|" +
			"DEBUG candidate|DEBUG source|INFO 2|DEBUG kind|INFO 1|DEBUG name|INFO kc_auth|DEBUG user_id|INFO " + c.Identity.UserID; !strings.HasSuffix(said, want) {
			t.Errorf("%s: said\n%s, want at the end\n%s", p.Name(), said, want)
		}
	}
}

// lines keeps what guests say.
type lines struct {
	slog.Handler
	said []string
}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "text" {
			l.said = append(l.said, r.Level.String()+" "+a.Value.String())
		}
		return true
	})
	return nil
}

func (l *lines) take() []string {
	said := l.said
	l.said = nil
	return said
}
