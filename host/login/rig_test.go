package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/login"
)

const (
	realm = "main"
	alice = "ahs_alice" // a live session
	bob   = "ahs_bob"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

// rig is the handlers between a scripted token room and a session room that
// remembers what it was asked.
type rig struct {
	t        testing.TB
	realm    *login.Realm
	handlers *login.Handlers
	server   http.Handler

	live     map[string]string // session token → user
	revoked  []string          // token keys
	made     int
	ends     time.Time // of sessions that are made
	down     error     // of the cache
	keysAway bool
	opened   int // visits not yet released
	plugins  []host.Plugin
	terms    host.Terms // of the session that was made last
	event    host.Event
}

func newRig(t testing.TB) *rig {
	g := &rig{t: t, live: map[string]string{alice: "alice", bob: "bob"}, ends: start.Add(90 * time.Minute)}
	g.realm = &login.Realm{Bearer: finder{"Authorization"}, Finder: finder{"Authorization", "X-Auth-Token", "cookie:kc_auth", "cookie:__Host-authhost"},
		Tokens: tokens{g}, Sessions: sessions{g}}
	var err error
	g.handlers, err = login.New(login.Options{Open: g.open, Now: func() time.Time { return start }, Fail: func(w http.ResponseWriter, err error) {
		kind, public := host.Explain(err)
		http.Error(w, kind.String()+" "+public, map[host.Kind]int{host.Unauthenticated: 401, host.Forbidden: 403, host.BadRequest: 400}[kind]|
			map[bool]int{kind == host.Unavailable: 503}[true])
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/login", g.handlers.Login)
	mux.HandleFunc("/v1/refresh", g.handlers.Refresh)
	mux.HandleFunc("/v1/logout", g.handlers.Logout)
	g.server = mux
	return g
}

func (g *rig) open(r *http.Request) (login.Visit, error) {
	if r.Host == "nowhere.example" {
		return login.Visit{}, &host.Error{Kind: host.BadRequest, Public: "unknown_host"}
	}
	g.opened++
	g.event = host.Event{}
	return login.Visit{Event: &g.event, Request: &host.Request{Method: r.Method, Authority: r.Host, Path: r.URL.Path, Header: r.Header},
		Realm: g.realm, Plugins: g.plugins, Release: func() { g.opened-- }}, nil
}

// call sends a request; headers come in pairs.
func (g *rig) call(method, path string, headers ...string) *httptest.ResponseRecorder {
	g.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, "https://app.example"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.server.ServeHTTP(w, r)
	if g.opened != 0 {
		g.t.Errorf("%d visits were not released", g.opened)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		g.t.Errorf("%s %s: the answer may be cached", method, path)
	}
	return w
}

// finder reads headers as tokens, and cookies.
type finder []string

func (f finder) Find(r *host.Request, dst []host.Credential) ([]host.Credential, string) {
	for _, name := range f {
		c := host.Credential{Source: host.FromHeader, Name: name}
		values := r.Header.Values(name)
		if cookie, ok := strings.CutPrefix(name, "cookie:"); ok {
			c.Source, c.Name, values = host.FromCookie, cookie, nil
			for _, k := range (&http.Request{Header: r.Header}).CookiesNamed(cookie) {
				values = append(values, k.Value)
			}
		}
		if len(values) == 0 {
			continue
		}
		value := values[0]
		if name == "Authorization" {
			var ok bool
			if value, ok = strings.CutPrefix(value, "Bearer "); !ok {
				value = ""
			}
		}
		switch {
		case len(values) > 1:
		case strings.HasPrefix(value, "ahs_"):
			c.Kind, c.Value = host.Session, value
		case strings.HasPrefix(value, "aht_"):
			c.Kind, c.Value = host.AccessToken, value
		case strings.Count(value, ".") == 2:
			c.Kind, c.Value = host.JWT, value
		}
		dst = append(dst, c)
	}
	return dst, r.RawQuery
}

// tokens judges JWTs of the form verdict.subject.key.
type tokens struct{ *rig }

func (g tokens) Validate(_ context.Context, token string) (host.Validation, error) {
	if g.keysAway {
		return host.Validation{}, &host.Error{Kind: host.Unavailable, Public: "the key set is away"}
	}
	parts := strings.Split(token, ".")
	id := &host.Identity{Realm: realm, Subject: parts[1], UserID: "usr_" + parts[1], TokenKey: parts[2]}
	for v := host.Valid; v <= host.Revoked; v++ {
		if v.String() == parts[0] {
			if v == host.BadSignature || v == host.BadForm {
				id = nil
			}
			return host.Validation{Verdict: v, Identity: id}, nil
		}
	}
	return host.Validation{Verdict: host.BadForm}, nil
}

// sessions keeps sessions in a map.
type sessions struct{ *rig }

func (g sessions) Revoked(_ context.Context, id *host.Identity) (bool, error) {
	if g.down != nil {
		return false, unavailable(g.down)
	}
	return slices.Contains(g.revoked, id.TokenKey), nil
}

func (g sessions) Create(_ context.Context, id *host.Identity, terms host.Terms) (string, time.Time, error) {
	g.terms = terms
	if g.down != nil {
		return "", time.Time{}, unavailable(g.down)
	}
	if slices.Contains(g.revoked, id.TokenKey) {
		return "", time.Time{}, &host.Error{Kind: host.Unauthenticated, Public: "no valid credential"}
	}
	g.made++
	token := fmt.Sprint("ahs_new", g.made)
	g.live[token] = id.Subject
	return token, g.ends, nil
}

func (g sessions) End(ctx context.Context, token string) (host.Validation, error) {
	if err := errors.Join(g.down, ctx.Err()); err != nil {
		return host.Validation{}, unavailable(err)
	}
	user, ok := g.live[token]
	if !ok {
		return host.Validation{Verdict: host.Unknown}, nil
	}
	delete(g.live, token)
	return host.Validation{Verdict: host.Valid, Identity: &host.Identity{Realm: realm, Subject: user, UserID: "usr_" + user}}, nil
}

func (g sessions) Rotate(_ context.Context, token string) (string, *host.Identity, error) {
	if g.down != nil {
		return "", nil, unavailable(g.down)
	}
	user, ok := g.live[token]
	if !ok {
		return "", nil, &host.Error{Kind: host.Unauthenticated, Public: "no valid credential"}
	}
	g.made++
	fresh := fmt.Sprint("ahs_new", g.made)
	delete(g.live, token)
	g.live[fresh] = user
	return fresh, &host.Identity{Realm: realm, Subject: user, UserID: "usr_" + user, Expires: g.ends}, nil
}

func (g sessions) Deadlines(*host.Identity) (idle, absolute time.Time) {
	return start.Add(time.Hour), start.Add(10 * time.Hour)
}

func (g sessions) RevokeToken(_ context.Context, id *host.Identity) error {
	if g.down != nil {
		return unavailable(g.down)
	}
	g.revoked = append(g.revoked, id.TokenKey)
	return nil
}

func unavailable(cause error) error {
	return &host.Error{Kind: host.Unavailable, Public: "the session cache does not answer", Cause: cause}
}

var errDown = errors.New("connection refused")
