package admin_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/admin"
)

const form = "application/x-www-form-urlencoded"

func basic(id, secret string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)), "Content-Type", form}
}

var app, app2 = basic("app", "s3cret:+/%"), basic("app2", "another secret")

// introspect asks at a host that no realm has: the client's realm counts.
func (g *rig) introspect(body string, headers ...string) answer {
	g.t.Helper()
	return g.send(g.public, "10.0.0.1:8080", "POST", "/v1/introspect", strings.NewReader(body), headers)
}

func TestIntrospectActive(t *testing.T) {
	g := newRig(t)
	token := g.users("main").login("alice", "viewer")
	s := g.users("main").live[token]
	id := idIn("main", "alice")
	for name, c := range map[string]struct {
		token string
		want  map[string]any
	}{
		"session": {token, map[string]any{"active": true, "sub": "alice", "iss": issuer, "user_id": id, "realm": "main", "roles": []any{"viewer"}, "groups": []any{"staff"},
			"session_id": s.ID, "credential": "session", "exp": float64(s.ExpiresAt.Unix()), "iat": float64(s.CreatedAt.Unix())}},
		"JWT": {jwt("main", "alice"), map[string]any{"active": true, "sub": "alice", "iss": issuer, "user_id": id, "realm": "main", "roles": []any{}, "groups": []any{},
			"credential": "jwt", "exp": float64(start.Unix() + 3600)}},
	} {
		for how, headers := range map[string][]string{
			"plain":        app,
			"form-encoded": basic(url.QueryEscape("app"), url.QueryEscape("s3cret:+/%")),
			"charset":      append(app[:3:3], form+"; charset=UTF-8"),
		} {
			var got map[string]any
			a := g.introspect("token_type_hint=access_token&token="+url.QueryEscape(c.token), headers...)
			if a.into(t, &got); a.status != 200 || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, %s: %s", name, how, a)
			}
			if strings.Contains(a.body, c.token) {
				t.Errorf("%s: the token shows", name)
			}
		}
	}
	if ev := g.last(); ev.Realm != "main" || ev.Route != "/v1/introspect" || ev.Decision.Reason != "client app" || ev.Decision.Identity != nil {
		t.Errorf("recorded: %+v", ev)
	}
}

// Whatever does not count in the client's realm is not active, says so in as
// many words, and says nothing else.
func TestIntrospectInactive(t *testing.T) {
	g := newRig(t)
	alice := g.users("main").login("alice")
	ended, out := g.users("main").login("bob"), idIn("main", "carol")
	delete(g.users("main").live, ended)
	g.users("main").out[out] = true
	for name, c := range map[string]struct {
		token   string
		headers []string
	}{
		"another realm's session": {alice, app2},
		"another realm's JWT":     {jwt("main", "alice"), app2},
		"JWT of a third realm":    {jwt("bare", "alice"), app},
		"unknown session":         {"ahs_main_alice_9999", app},
		"ended session":           {ended, app},
		"logged out JWT":          {jwt("main", "carol"), app},
		"expired JWT":             {"main.alice.expired", app},
		"not yet valid JWT":       {"main.alice.not_yet_valid", app},
		"forged JWT":              {"main.alice.forged", app},
		"access token":            {"aht_unknown", app},
		"operator token":          {operatorToken, app},
		"nothing":                 {"", app},
		"blank":                   {"   ", app},
		"dots":                    {strings.Repeat(".", 1000), app},
		"long":                    {"ahs_" + strings.Repeat("x", 20000), app},
		"line ends":               {"ahs_main_alice_0001\r\nX: y", app},
		"NUL":                     {alice + "\x00", app},
		"not UTF-8":               {"\xff\xfe", app},
		"two in one":              {alice + "," + alice, app},
		"blank behind":            {alice + " ", app},
	} {
		a := g.introspect("token="+url.QueryEscape(c.token), c.headers...)
		if a.status != 200 || strings.TrimSpace(a.body) != `{"active":false}` || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", name, a)
		}
	}
}

func TestIntrospectClients(t *testing.T) {
	g := newRig(t)
	token := g.users("main").login("alice")
	for name, headers := range map[string][]string{
		"nobody":                {"Content-Type", form},
		"wrong secret":          basic("app", "s3cret:+/"),
		"no secret":             basic("app", ""),
		"another's secret":      basic("app", "another secret"),
		"unknown id":            basic("nobody", "s3cret:+/%"),
		"nothing":               basic("", ""),
		"letter case":           basic("APP", "s3cret:+/%"),
		"of a realm no more":    basic("gone", "of a realm that is no more"),
		"twice":                 append(basic("app", "s3cret:+/%"), app[:2]...),
		"not base64":            {"Authorization", "Basic app:s3cret:+/%", "Content-Type", form},
		"as a bearer":           {"Authorization", "Bearer " + token, "Content-Type", form},
		"the operator":          {"Authorization", "Bearer " + operatorToken, "Content-Type", form},
		"broken escapes":        basic("app", "s3cret%zz"),
		"a session in a cookie": {"Cookie", cookieName + "=" + token, "Content-Type", form},
	} {
		a := g.introspect("token="+token, headers...)
		if a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") || a.reason(t) != "unauthenticated" {
			t.Errorf("%s: %s, WWW-Authenticate %q", name, a, a.header.Get("WWW-Authenticate"))
		}
	}
	for _, list := range [][]admin.Client{
		{{ID: "", Secret: []byte("s"), Realm: "main"}},
		{{ID: "a", Realm: "main"}},
		{{ID: "a", Secret: []byte("s")}},
		{{ID: "a", Secret: []byte("secret-1"), Realm: "main"}, {ID: "a", Secret: []byte("secret-2"), Realm: "other"}},
	} {
		if _, err := admin.NewClients(list); err == nil || strings.Contains(err.Error(), "secret-") {
			t.Errorf("%+v: %v", list, err)
		}
	}
}

func TestIntrospectForm(t *testing.T) {
	g := newRig(t)
	token := g.users("main").login("alice")
	for name, c := range map[string]struct {
		body, contentType string
	}{
		"no token":       {"tokens=" + token, form},
		"nothing":        {"", form},
		"two tokens":     {"token=" + token + "&token=x", form},
		"JSON":           {fmt.Sprintf(`{"token":%q}`, token), "application/json"},
		"no type":        {"token=" + token, ""},
		"broken escapes": {"token=%zz", form},
		"too large":      {"token=" + token + "&more=" + strings.Repeat("x", 70_000), form},
	} {
		a := g.introspect(c.body, app[0], app[1], "Content-Type", c.contentType)
		if a.status != 400 || a.reason(t) != "bad_form" || strings.Contains(a.body, token) {
			t.Errorf("%s: %s", name, a)
		}
		if cause := g.last().Cause; cause == nil || strings.Contains(cause.Error(), token) {
			t.Errorf("%s: cause %v", name, cause)
		}
	}
	if a := g.send(g.public, "main.example", "POST", "/v1/introspect?token="+token, strings.NewReader(""), app); a.status != 400 {
		t.Errorf("a token in the URL: %s", a)
	}
}

// While it cannot be told, a token is neither active nor not.
func TestIntrospectAway(t *testing.T) {
	g := newRig(t)
	token := g.users("main").login("alice")
	check := func(token string) {
		t.Helper()
		a := g.introspect("token="+token, app...)
		if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "active") {
			t.Errorf("%s", a)
		}
	}
	g.users("main").down = errAway
	check(token)
	check(jwt("main", "alice"))
	g.users("main").down = nil
	for _, away := range []error{errAway, errors.New("of no kind")} {
		g.tokens("main").away = away
		check(jwt("main", "alice"))
	}
}

// Every answer with 200 has active, true or false.
func TestAttack17_introspection_always_says_active(t *testing.T) {
	g := newRig(t)
	for _, down := range []error{nil, errAway} {
		for _, token := range []string{g.users("main").login("alice"), "ahs_x", jwt("main", "alice"), "main.alice.expired", "", "x"} {
			g.users("main").down = down
			a := g.introspect("token="+token, app...)
			var body map[string]any
			err := json.Unmarshal([]byte(a.body), &body)
			if _, ok := body["active"].(bool); err != nil || ok != (a.status == 200) || a.status == 500 {
				t.Errorf("%q: %s", token, a)
			}
			g.users("main").down = nil
		}
	}
}

// FuzzIntrospect sees to it that no form makes anything but 200, 400 or 503,
// and that nothing but a live token is active.
func FuzzIntrospect(f *testing.F) {
	for _, s := range []string{"token=ahs_main_alice_0001", "token=main.alice.valid", "token", "&&&", "token=%", "token=a;b", "token=%00&token_type_hint=x"} {
		f.Add([]byte(s))
	}
	g := newRig(f)
	token := g.users("main").login("alice")
	f.Fuzz(func(t *testing.T, body []byte) {
		g.t = t
		a := g.introspect(string(body), app...)
		var got struct{ Active bool }
		switch {
		case a.status == http.StatusBadRequest:
		case a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &got) != nil:
			t.Errorf("%q: %s", body, a)
		case got.Active:
			values, err := url.ParseQuery(string(body))
			if v := strings.TrimLeft(values.Get("token"), " "); err != nil || v != token && !strings.HasSuffix(v, ".valid") {
				t.Errorf("%q is active", body)
			}
		}
	})
}

func BenchmarkIntrospect(b *testing.B) {
	g := newRig(b)
	body := "token=" + g.users("main").login("alice", "viewer")
	for b.Loop() {
		if a := g.introspect(body, app...); a.status != 200 {
			b.Fatal(a)
		}
	}
}
