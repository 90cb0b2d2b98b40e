package login_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
	"github.com/authhost/authhost/host/login"
)

// admitter is a plugin's on_login as a function.
type admitter func(c *host.Call) (host.Admission, error)

func (f admitter) Admit(_ context.Context, c *host.Call) (host.Admission, error) { return f(c) }

// asks has the realm ask plugins, named by letters, and beside them one that has
// no on_login.
func (g *rig) asks(list ...admitter) {
	g.plugins = []host.Plugin{{Name: "other"}}
	for i, f := range list {
		g.plugins = append(g.plugins, host.Plugin{Name: string(rune('a' + i)), Admitter: f})
	}
}

func goOn(*host.Call) (host.Admission, error) { return host.Admission{}, nil }

// The terms of all plugins come into the session, each having seen what those
// before it left.
func TestLoginOnTerms(t *testing.T) {
	g := newRig(t)
	var seen []host.Terms
	var shown *host.Call
	g.asks(func(c *host.Call) (host.Admission, error) {
		seen, shown = append(seen, *c.Terms), c
		return host.Admission{Terms: host.Terms{Absolute: start.Add(30 * time.Minute), Attributes: map[string]string{"a": "1"}}}, nil
	}, func(c *host.Call) (host.Admission, error) {
		seen = append(seen, *c.Terms)
		return host.Admission{Terms: host.Terms{Idle: start.Add(5 * time.Minute), Attributes: map[string]string{"b": "2"}}}, nil
	}, func(c *host.Call) (host.Admission, error) {
		seen = append(seen, *c.Terms)
		return host.Admission{}, nil
	})
	w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k", "Cookie", "kc_auth=valid.dave.b")
	want := []host.Terms{{Idle: start.Add(time.Hour), Absolute: start.Add(10 * time.Hour)},
		{Idle: start.Add(30 * time.Minute), Absolute: start.Add(30 * time.Minute)}, {Idle: start.Add(5 * time.Minute), Absolute: start.Add(30 * time.Minute)}}
	if w.Code != 200 || !reflect.DeepEqual(seen, want) {
		t.Errorf("%d, shown %v, want %v", w.Code, seen, want)
	}
	if !reflect.DeepEqual(g.terms, host.Terms{Idle: start.Add(5 * time.Minute), Absolute: start.Add(30 * time.Minute), Attributes: map[string]string{"a": "1", "b": "2"}}) {
		t.Errorf("made with %+v", g.terms)
	}
	if shown.Identity.Subject != "carol" || shown.Credential.Kind != host.JWT || shown.Request.Path != "/v1/login" || shown.Now != start ||
		!shown.Hides(host.FromCookie, "kc_auth") || !shown.Hides(host.FromHeader, "Authorization") {
		t.Errorf("the call %+v", shown)
	}
}

// Who is refused is told by which plugin and why; nothing was made and nobody
// further was asked.
func TestLoginRefusedByPlugin(t *testing.T) {
	for kind, want := range map[host.Kind]struct {
		status int
		body   []string
	}{
		host.Forbidden:       {403, []string{`"reason":"not from there"`, `"plugin":"b"`}},
		host.TooManyRequests: {429, []string{`"reason":"not from there"`, `"plugin":"b"`}},
		host.Unauthenticated: {401, []string{`"reason":"unauthenticated"`}},
		host.Allowed:         {403, []string{`"plugin":"b"`}},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			g := newRig(t)
			var err error
			if g.handlers, err = login.New(login.Options{Open: g.open, Fail: edge.Fail, Now: func() time.Time { return start }}); err != nil {
				t.Fatal(err)
			}
			g.asks(goOn, func(*host.Call) (host.Admission, error) {
				return host.Admission{Refused: true, Kind: kind, Reason: "not from there", Headers: []host.Header{{Name: "Retry-After", Value: "7"}}}, nil
			}, func(*host.Call) (host.Admission, error) {
				t.Error("asked after a refusal")
				return host.Admission{}, nil
			})
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "https://app.example/v1/login", nil)
			r.Header.Set("Authorization", "Bearer valid.carol.k")
			g.handlers.Login(w, r)
			if w.Code != want.status || g.made != 0 || w.Header().Get("Retry-After") != "7" || len(w.Header().Values("Set-Cookie")) != 0 ||
				g.event.Decision.Plugin != "b" {
				t.Errorf("%d %v, %d made, recorded %q", w.Code, w.Header(), g.made, g.event.Decision.Plugin)
			}
			for _, part := range want.body {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("body %s, want %s", w.Body, part)
				}
			}
			if want.status == 401 && strings.Contains(w.Body.String(), "there") {
				t.Errorf("a 401 tells %s", w.Body)
			}
		})
	}
}

// A plugin that fails, or two that do not agree, let nobody in.
func TestLoginUndecided(t *testing.T) {
	attribute := func(value string) admitter {
		return func(*host.Call) (host.Admission, error) {
			return host.Admission{Terms: host.Terms{Attributes: map[string]string{"a": value}}}, nil
		}
	}
	many := func(n int) admitter {
		return func(*host.Call) (host.Admission, error) {
			all := map[string]string{}
			for i := range 40 {
				all[string(rune('A'+n))+string(rune('A'+i))] = ""
			}
			return host.Admission{Terms: host.Terms{Attributes: all}}, nil
		}
	}
	for name, list := range map[string][]admitter{
		"fails": {func(*host.Call) (host.Admission, error) {
			return host.Admission{}, &host.Error{Kind: host.Unavailable, Public: "plugin a failed", Cause: errDown}
		}},
		"an attribute of two plugins": {attribute("1"), attribute("2")},
		"too many attributes":         {many(0), many(1)},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.asks(list...)
			w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k")
			if w.Code != 503 || g.made != 0 || strings.Contains(w.Body.String(), errDown.Error()) {
				t.Errorf("%d %s, %d made", w.Code, w.Body, g.made)
			}
		})
	}
}

// No plugin is asked about who cannot log in anyway, nor at a refresh.
func TestPluginsAreAskedOfLoginsAlone(t *testing.T) {
	g := newRig(t)
	g.asks(func(*host.Call) (host.Admission, error) { return host.Admission{}, errors.New("asked") })
	g.revoked = []string{"gone"}
	for _, token := range []string{"expired.carol.k", "bad_signature.carol.k", "valid.carol.gone"} {
		if w := g.call("POST", "/v1/login", "Authorization", "Bearer "+token); w.Code != 401 {
			t.Errorf("%s: %d", token, w.Code)
		}
	}
	if w := g.call("POST", "/v1/refresh", "X-Auth-Token", alice); w.Code != 200 {
		t.Errorf("refresh: %d", w.Code)
	}
	if !slices.Equal(g.revoked, []string{"gone"}) {
		t.Error(g.revoked)
	}
}
