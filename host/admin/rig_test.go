package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
	"github.com/authhost/authhost/host/credential"
	"github.com/authhost/authhost/host/edge"
)

const (
	issuer        = "https://idp.example"
	operatorToken = "ann-has-a-token-of-forty-characters-yes-"
	cookieName    = "__Host-authhost"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

// rig is both listeners over HTTP, on the edge's real answers and records and
// on the real finders; tokens and sessions are kept in memory.
type rig struct {
	t             testing.TB
	realms        []*admin.Realm
	clients       admin.Clients
	admin, public *httptest.Server
	log           bytes.Buffer

	mu      sync.Mutex
	events  []host.Event
	held    int // visits not yet released
	reloads int
	refuse  error // what a reload answers
	plugins *plugins
}

func newRig(t testing.TB) *rig {
	g := &rig{t: t}
	g.plugins = &plugins{g: g, list: []admin.Plugin{{Name: "gate", State: "serving"}, {Name: "more", State: "refused"}}}
	g.addRealm("main", "admin")
	g.addRealm("other", "admin")
	g.addRealm("bare", "")
	operators, err := admin.ParseOperators([]byte("ann " + operatorToken))
	if err != nil {
		t.Fatal(err)
	}
	if g.clients, err = admin.NewClients([]admin.Client{
		{ID: "app", Secret: []byte("s3cret:+/%"), Realm: "main"},
		{ID: "app2", Secret: []byte("another secret"), Realm: "other"},
		{ID: "gone", Secret: []byte("of a realm that is no more"), Realm: "gone"},
	}); err != nil {
		t.Fatal(err)
	}
	h, err := admin.New(admin.Options{
		Open: func(r *http.Request) (admin.Visit, error) {
			request, err := edge.SelfRequest(r, &host.Snapshot{})
			if err != nil {
				return admin.Visit{}, err
			}
			g.hold(1)
			return admin.Visit{Request: request, Home: g.home(request.Host), Realms: g.realms, Operators: operators, Clients: g.clients,
				Release: func() { g.hold(-1) }}, nil
		},
		EventOf: edge.EventOf,
		Reload: func(context.Context) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.held != 0 {
				t.Error("a reload is asked for while the configuration is held")
			}
			g.reloads++
			return g.refuse
		},
		Plugins:    g.plugins,
		Fail:       edge.Fail,
		NotAllowed: edge.NotAllowed,
		Log:        slog.New(slog.NewTextHandler(&g.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	own := edge.New(edge.Options{Pipeline: host.New(time.Now), Recorder: g})
	g.admin = httptest.NewServer(own.Own("", h.Admin))
	g.public = httptest.NewServer(own.Own("", h.Public))
	t.Cleanup(g.admin.Close)
	t.Cleanup(g.public.Close)
	t.Cleanup(func() {
		if g.held != 0 {
			t.Errorf("%d visits were not released", g.held)
		}
	})
	return g
}

func (g *rig) addRealm(name, adminRole string) {
	var sources []credential.Source
	for _, s := range []string{"Authorization", "X-Auth-Token"} {
		sources = append(sources, credential.Source{Header: s})
	}
	if name == "other" { // its own order
		slices.Reverse(sources)
	}
	finder, err := credential.New(credential.Options{Sources: append(sources, credential.Source{Cookie: cookieName})})
	if err != nil {
		g.t.Fatal(err)
	}
	bearer, err := credential.New(credential.Options{Sources: []credential.Source{{Header: "Authorization"}}})
	if err != nil {
		g.t.Fatal(err)
	}
	users := &users{realm: name, live: map[string]*login{}, out: map[string]bool{}, off: map[string]host.Rank{}}
	g.realms = append(g.realms, &admin.Realm{Name: name, AdminRole: adminRole, Finder: finder, Bearer: bearer,
		Tokens: &tokens{realm: name}, Sessions: users})
}

func (g *rig) hold(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held += n
}

// home is the realm of NAME.example.
func (g *rig) home(name string) *admin.Realm {
	for _, r := range g.realms {
		if name == r.Name+".example" {
			return r
		}
	}
	return nil
}

func (g *rig) users(realm string) *users   { return g.home(realm + ".example").Sessions.(*users) }
func (g *rig) tokens(realm string) *tokens { return g.home(realm + ".example").Tokens.(*tokens) }

// Record is edge.Recorder.
func (g *rig) Record(_ context.Context, ev *host.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, *ev)
}

// last is the record of the request before, once it is written.
func (g *rig) last() host.Event {
	g.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		g.mu.Lock()
		if n := len(g.events); n > 0 {
			defer g.mu.Unlock()
			return g.events[n-1]
		}
		g.mu.Unlock()
	}
	g.t.Fatal("nothing was recorded")
	return host.Event{}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, strings.TrimSpace(a.body)) }

// reason is that of a problem.
func (a answer) reason(t testing.TB) string {
	t.Helper()
	var p struct {
		Status int
		Reason string
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != a.status || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("not a problem: %s", a)
	}
	return p.Reason
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %v", a, err)
	}
}

// ask sends a request to the admin listener, whose Host is one that no realm
// has; headers come in pairs.
func (g *rig) ask(method, path string, headers ...string) answer {
	g.t.Helper()
	return g.send(g.admin, "127.0.0.1:8081", method, path, nil, headers)
}

// visit sends a request to the public listener of realm main.
func (g *rig) visit(method, path string, headers ...string) answer {
	g.t.Helper()
	return g.send(g.public, "main.example", method, path, nil, headers)
}

func (g *rig) send(to *httptest.Server, at, method, path string, body io.Reader, headers []string) answer {
	g.t.Helper()
	r, err := http.NewRequest(method, to.URL+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Host = at
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	g.mu.Lock()
	g.events = nil
	g.mu.Unlock()
	res, err := to.Client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		g.t.Errorf("%s %s: the answer may be kept", method, path)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// changes are what was done to any realm's users.
func (g *rig) changes() (all []string) {
	for _, r := range g.realms {
		all = append(all, g.users(r.Name).changes...)
	}
	return all
}

func bearer(token string) []string  { return []string{"Authorization", "Bearer " + token} }
func cookie(token string) []string  { return []string{"Cookie", cookieName + "=" + token} }
func idIn(realm, who string) string { return host.UserID(realm, issuer, who) }

var errAway = &host.Error{Kind: host.Unavailable, Public: "the session cache does not answer", Cause: errors.New("connection refused")}
