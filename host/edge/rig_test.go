package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

// The addresses of the rig: a gateway that is trusted and a client that is not.
const (
	gateway = "10.0.0.1"
	client  = "203.0.113.7"
)

// rig is an Edge on a real pipeline, whose realm's parts are fakes: a token is
// its user's name.
type rig struct {
	*edge.Edge
	pipeline *host.Pipeline
	mu       sync.Mutex
	events   []host.Event
	requests []host.Request
	log      bytes.Buffer
	opinion  func(*host.Call) (host.Opinion, error) // of the plugin on /plugin/**
}

var people = map[string]*host.Identity{
	"alice": {Realm: "main", Subject: "alice", UserID: "usr_alice", Roles: []string{"editor", "viewer"}, Groups: []string{"ops"},
		Email: "alice@example.com"},
	"root": {Realm: "main", Subject: "root", UserID: "usr_root", Roles: []string{"admin"}},
	"mal":  {Realm: "main", Subject: "mal,100%", UserID: "usr_mal", Groups: []string{"x,admin", "été", "a b"}, Roles: []string{"x\r\ny"}},
}

func (g *rig) Find(r *host.Request, dst []host.Credential) ([]host.Credential, string) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		dst = append(dst, host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: token})
	}
	query := r.RawQuery
	if token, ok := strings.CutPrefix(query, "_token="); ok {
		token, query, _ = strings.Cut(token, "&")
		dst = append(dst, host.Credential{Source: host.FromQuery, Name: "_token", Kind: host.JWT, Value: token})
	}
	return dst, query
}

func (g *rig) Validate(_ context.Context, token string) (host.Validation, error) {
	switch token {
	case "away":
		return host.Validation{}, host.Errorf(host.Unavailable, "key set unavailable", "dial tcp 192.0.2.9: secret detail")
	case "panic":
		panic("validator")
	}
	if id := people[token]; id != nil {
		return host.Validation{Verdict: host.Valid, Identity: id}, nil
	}
	return host.Validation{Verdict: host.BadSignature}, nil
}

func (g *rig) Resolve(context.Context, string) (host.Validation, error) {
	return host.Validation{}, errors.New("no sessions here")
}

func (g *rig) Revoked(context.Context, *host.Identity) (bool, error) { return false, nil }

func (g *rig) Authorize(_ context.Context, c *host.Call) (host.Opinion, error) {
	if g.opinion == nil {
		return host.Opinion{}, nil
	}
	return g.opinion(c)
}

func (g *rig) Record(_ context.Context, ev *host.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events, g.requests = append(g.events, *ev), append(g.requests, *ev.Request)
}

// one returns the only event recorded so far and forgets it.
func (g *rig) one(t testing.TB) (host.Event, host.Request) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.events) != 1 {
		t.Fatalf("%d events, want 1", len(g.events))
	}
	ev, req := g.events[0], g.requests[0]
	g.events, g.requests = nil, nil
	return ev, req
}

func newRig(t testing.TB) *rig {
	g := &rig{pipeline: host.New(time.Now)}
	g.Edge = edge.New(edge.Options{Pipeline: g.pipeline, Recorder: g, Logger: slog.New(slog.NewJSONHandler(&g.log, nil))})
	plugin := []host.Plugin{{Name: "teams", Authorizer: g}}
	g.pipeline.Swap(&host.Snapshot{
		Realms: []*host.Realm{{Name: "main", Hosts: []string{"app.example", "*.app.example"},
			Finder: g, Tokens: g, Sessions: g, Revoked: g}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		PluginHeaders:  []string{"X-Team"},
		Routes: []host.Route{
			{Pattern: pattern(t, "/healthz"), Authenticate: host.None},
			{Pattern: pattern(t, "/public/**"), Authenticate: host.None},
			{Pattern: pattern(t, "/optional/**"), Authenticate: host.Optional, AllowDefault: true},
			{Pattern: pattern(t, "/plugin/**"), Plugins: plugin},
			{Pattern: pattern(t, "/api/**"), AllowDefault: true},
		},
	})
	return g
}

func pattern(t testing.TB, text string) host.Pattern {
	p, err := host.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ask is one question of a gateway; the three conventions put it differently.
type ask struct {
	peer, method, scheme, host, uri string
	extra                           []string // "Name: value", set as they are spelled
}

func (a ask) fill() ask {
	if a.peer == "" {
		a.peer = gateway
	}
	if a.method == "" {
		a.method = "GET"
	}
	if a.scheme == "" {
		a.scheme = "https"
	}
	if a.host == "" {
		a.host = "app.example"
	}
	return a
}

func (a ask) finish(r *http.Request) *http.Request {
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(a.peer), 4711).String()
	for _, line := range a.extra {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return r
}

func (a ask) forwarded() *http.Request {
	a = a.fill()
	r := httptest.NewRequest("GET", edge.ForwardAuthPath, nil)
	r.Header.Set("X-Forwarded-Method", a.method)
	r.Header.Set("X-Forwarded-Proto", a.scheme)
	r.Header.Set("X-Forwarded-Host", a.host)
	r.Header.Set("X-Forwarded-Uri", a.uri)
	return a.finish(r)
}

func (a ask) original() *http.Request {
	a = a.fill()
	r := httptest.NewRequest("GET", edge.AuthRequestPath, nil)
	r.Header.Set("X-Original-Method", a.method)
	r.Header.Set("X-Original-URL", a.scheme+"://"+a.host+a.uri)
	return a.finish(r)
}

func (a ask) envoy() *http.Request {
	a = a.fill()
	r := httptest.NewRequest("GET", "/", nil)
	r.Method, r.Host = a.method, a.host
	r.RequestURI = edge.ExtAuthzPath + a.uri
	r.URL.Path = edge.ExtAuthzPath + a.uri // what a mux would see is of no matter
	r.Header.Set("X-Forwarded-Proto", a.scheme)
	return a.finish(r)
}

var conventions = []struct {
	name string
	make func(ask) *http.Request
}{{"forward-auth", ask.forwarded}, {"auth-request", ask.original}, {"ext-authz", ask.envoy}}

// serve lets the public listener answer r, and checks what holds of every answer.
func (g *rig) serve(t testing.TB, r *http.Request) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h := g.Public(http.NotFoundHandler())
	if rest, ok := strings.CutPrefix(r.RequestURI, edge.ExtAuthzPath); ok && rest != "" && rest[0] != '/' && rest[0] != '?' {
		h = g.ExtAuthz() // not its path: only a caller that routes carelessly gets there
	}
	h.ServeHTTP(w, r)
	checkAnswer(t, w.Result(), w.Body.Bytes())
	return w.Result()
}

func checkAnswer(t testing.TB, res *http.Response, body []byte) {
	t.Helper()
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%d: Cache-Control %q", res.StatusCode, got)
	}
	if res.StatusCode == http.StatusOK {
		for _, name := range identityHeaders {
			if len(res.Header[name]) != 1 {
				t.Errorf("200 with %d times %s", len(res.Header[name]), name)
			}
		}
		return
	}
	var p edge.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Status != res.StatusCode || p.Type != "about:blank" || p.Title == "" || p.Reason == "" {
		t.Errorf("%d: problem %s: %v", res.StatusCode, body, err)
	}
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%d: Content-Type %q", res.StatusCode, got)
	}
	if (res.StatusCode == 503) != (res.Header.Get("Retry-After") != "") {
		t.Errorf("%d: Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if (res.StatusCode == 401) != (res.Header.Get("WWW-Authenticate") != "") {
		t.Errorf("%d: WWW-Authenticate %q", res.StatusCode, res.Header.Get("WWW-Authenticate"))
	}
	for _, name := range identityHeaders {
		if len(res.Header[name]) != 0 {
			t.Errorf("%d names an identity: %s", res.StatusCode, name)
		}
	}
}

// want asks by every convention and expects one status each.
func (g *rig) want(t *testing.T, a ask, status int) {
	t.Helper()
	for _, c := range conventions {
		res := g.serve(t, c.make(a))
		ev, req := g.one(t)
		if res.StatusCode != status || ev.Status != status {
			t.Errorf("%s %s %q %q: %d (recorded %d, %s), want %d", c.name, a.method, a.host, a.uri, res.StatusCode, ev.Status, ev.Decision.Reason, status)
		}
		if ev.Edge != c.name || ev.Peer != a.fill().peer {
			t.Errorf("recorded as %s from %s", ev.Edge, ev.Peer)
		}
		if status == 200 && req.Path == "" {
			t.Errorf("%s: allowed without a path", c.name)
		}
	}
}

var identityHeaders = []string{"X-Auth-Request-User", "X-Auth-Request-User-Id", "X-Auth-Request-Realm", "X-Auth-Request-Roles",
	"X-Auth-Request-Groups", "X-Auth-Request-Email", "X-Auth-Request-Session-Id", "X-Auth-Request-Credential"}

const bearerAlice = "Authorization: Bearer alice"
