package admin_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
)

func text(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// TestOwnWho is every cell of who × endpoint on the public listener: one's own
// endpoints serve whoever the realm of Host knows, and nobody else.
func TestOwnWho(t *testing.T) {
	g := newRig(t)
	for _, row := range []struct {
		method, path string
		status       [7]int // nobody bad alice bob carol erin ann
	}{
		{"GET", "/v1/me", [7]int{401, 401, 200, 200, 200, 401, 401}},
		{"GET", "/v1/me/sessions", [7]int{401, 401, 200, 200, 200, 401, 401}},
		{"DELETE", "/v1/me/sessions/ses_main_0001", [7]int{401, 401, 204, 404, 404, 401, 401}}, // alice's
		{"DELETE", "/v1/me/sessions/ses_main_9999", [7]int{401, 401, 404, 404, 404, 401, 401}},
		{"GET", "/v1/me/elsewhere", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"GET", "/v1/users/" + idIn("main", "alice"), [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"POST", "/v1/config/reload", [7]int{404, 404, 404, 404, 404, 404, 404}},
	} {
		for column, name := range who {
			for form := range credentials(g, name) {
				g.users("main").reset()
				g.users("main").made = 0
				g.users("main").login("alice")
				headers := credentials(g, name)[form]
				got := g.visit(row.method, row.path, headers...)
				if got.status != row.status[column] {
					t.Errorf("%s %s by %s (%s): %s, want %d", row.method, row.path, name, form, got, row.status[column])
				}
				if ended := len(g.changes()); (ended == 1) != (got.status == 204) {
					t.Errorf("%s %s by %s (%s): %d sessions ended", row.method, row.path, name, form, ended)
				}
				if got.status >= 400 {
					got.reason(t)
				}
			}
		}
	}
	alice := bearer(g.users("main").login("alice"))
	if got := g.visit("GET", "/v1/me", append(alice, "Host", "other.example")...); got.status != 401 {
		t.Errorf("a session of main at other: %s", got)
	}
	if got := g.visit("GET", "/v1/me", append(alice, "Host", "nowhere.example")...); got.status != 400 || got.reason(t) != "unknown_host" {
		t.Errorf("at a host of no realm: %s", got)
	}
}

func TestMe(t *testing.T) {
	g := newRig(t)
	token := g.users("main").login("alice", "viewer")
	s := g.users("main").live[token]
	for _, c := range []struct {
		headers []string
		want    map[string]any
	}{
		{bearer(token), map[string]any{"credential": "header/session", "session_id": s.ID, "expires_at": text(s.ExpiresAt), "groups": []any{"staff"}, "roles": []any{"viewer"}}},
		{cookie(token), map[string]any{"credential": "cookie/session", "session_id": s.ID, "expires_at": text(s.ExpiresAt), "groups": []any{"staff"}, "roles": []any{"viewer"}}},
		{bearer(jwt("main", "alice", "editor", "x")), map[string]any{"credential": "header/jwt", "session_id": "", "expires_at": text(start.Add(time.Hour)), "groups": []any{}, "roles": []any{"editor", "x"}}},
		{bearer(jwt("main", "alice")), map[string]any{"credential": "header/jwt", "session_id": "", "expires_at": text(start.Add(time.Hour)), "groups": []any{}, "roles": []any{}}},
	} {
		c.want["user_id"], c.want["realm"], c.want["sub"] = idIn("main", "alice"), "main", "alice"
		var got map[string]any
		a := g.visit("GET", "/v1/me", c.headers...)
		if a.into(t, &got); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
		if strings.Contains(a.body, token) {
			t.Errorf("a secret shows: %s", a)
		}
	}
	if a := g.visit("HEAD", "/v1/me", bearer(token)...); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %s", a)
	}
}

func TestShowUser(t *testing.T) {
	g := newRig(t)
	alice := idIn("main", "alice")
	g.users("main").login("alice")
	g.users("main").login("alice")
	carol, operator := bearer(jwt("main", "carol", "admin")), bearer(operatorToken)
	show := func(path, who string, want string, by ...string) {
		t.Helper()
		if got := g.ask("GET", path+who, by...); strings.TrimSpace(got.body) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	two := fmt.Sprintf(`{"user_id":%q,"realm":"main","active":true,"sessions":2}`, alice)
	show("/v1/users/", alice, two, carol...)
	show("/v1/system/realms/main/users/", alice, two, operator...)
	show("/v1/users/", idIn("main", "never-seen"), fmt.Sprintf(`{"user_id":%q,"realm":"main","active":true,"sessions":0}`, idIn("main", "never-seen")), carol...)
	g.ask("POST", "/v1/users/"+alice+"/deactivate", carol...)
	show("/v1/users/", alice, fmt.Sprintf(`{"user_id":%q,"realm":"main","active":false,"sessions":0}`, alice), carol...)
}

// A cookie from another site changes nothing; what a browser does not send by
// itself, and what changes nothing, passes.
func TestCrossOrigin(t *testing.T) {
	alice := idIn("main", "alice")
	for _, c := range []struct {
		method, path string
		public       bool
		safe         bool
	}{
		{"POST", "/v1/users/" + alice + "/logout", false, false},
		{"GET", "/v1/users/" + alice, false, true},
		{"GET", "/v1/me/sessions", true, true},
		{"DELETE", "/v1/me/sessions/ses_main_0001", true, false},
	} {
		for _, foreign := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}, nil, {"Sec-Fetch-Site", "same-origin"}} {
			for _, present := range []func(string) []string{bearer, cookie} {
				g := newRig(t)
				headers := append(present(g.users("main").login("alice")), foreign...)
				send := g.ask
				if c.public {
					send = g.visit
				}
				got := send(c.method, c.path, headers...)
				refused := !c.safe && headers[0] == "Cookie" && foreign != nil && foreign[1] != "same-origin"
				if refused && (got.status != 403 || got.reason(t) != "cross_origin" || len(g.changes()) != 0) || !refused && got.status >= 300 {
					t.Errorf("%s %s %v: %s, %q", c.method, c.path, headers, got, g.changes())
				}
			}
		}
	}
}

// What cannot be told is 503, and nobody is logged out by it.
func TestAway(t *testing.T) {
	g := newRig(t)
	alice := idIn("main", "alice")
	token := g.users("main").login("alice")
	requests := func(by []string) (all []answer) {
		for _, path := range []string{"", "/sessions"} {
			all = append(all, g.ask("GET", "/v1/users/"+alice+path, by...))
		}
		for _, path := range []string{"/logout"} {
			all = append(all, g.ask("POST", "/v1/users/"+alice+path, by...))
		}
		return append(all, g.visit("GET", "/v1/me", by...), g.visit("GET", "/v1/me/sessions", by...), g.visit("DELETE", "/v1/me/sessions/ses_main_0001", by...))
	}
	g.users("main").down = errAway
	for form, by := range map[string][]string{"session": bearer(token), "cookie": cookie(token), "JWT": bearer(jwt("main", "alice"))} {
		for _, a := range requests(by) {
			if a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %s", form, a)
			}
		}
	}
	for _, end := range []string{"/logout", "/deactivate", "/activate"} {
		if a := g.ask("POST", "/v1/system/realms/main/users/"+alice+end, bearer(operatorToken)...); a.status != 503 {
			t.Errorf("operator, %s: %s", end, a)
		}
	}
	g.users("main").down = nil
	g.tokens("main").away = &host.Error{Kind: host.Unavailable, Public: "no key set"}
	for _, a := range requests(bearer(jwt("main", "alice"))) {
		if a.status != 503 {
			t.Errorf("key set away: %s", a)
		}
	}
	if a := g.ask("GET", "/v1/users/"+idIn("other", "dave"), bearer(jwt("other", "dave"))...); a.status != 200 {
		t.Errorf("of another realm, whose key set is there: %s", a)
	}
	if a := g.visit("GET", "/v1/me", bearer(token)...); a.status != 200 {
		t.Errorf("a session, once the cache is back: %s", a)
	}
}

// A store that takes a session for one of another realm is a mistake of wiring
// and must not become an answer.
func TestIdentityOfAnotherRealm(t *testing.T) {
	g := newRig(t)
	token := g.users("other").login("erin", "admin")
	g.users("main").live[token] = g.users("other").live[token]
	if a := g.visit("GET", "/v1/me", bearer(token)...); a.status != 503 {
		t.Error(a)
	}
}

func TestReload(t *testing.T) {
	g := newRig(t)
	if a := g.ask("POST", "/v1/config/reload", bearer(operatorToken)...); a.status != 204 || g.reloads != 1 {
		t.Errorf("%s, %d reloads", a, g.reloads)
	}
	if !strings.Contains(g.log.String(), "operator=ann applied=true") || strings.Contains(g.log.String(), operatorToken) {
		t.Errorf("log: %s", &g.log)
	}
	g.refuse = fmt.Errorf("authhost.yaml:3: listen: restart needed")
	if a := g.ask("POST", "/v1/config/reload", bearer(operatorToken)...); a.status != 422 || a.reason(t) != "authhost.yaml:3: listen: restart needed" {
		t.Error(a)
	}
	if !strings.Contains(g.log.String(), "applied=false") {
		t.Errorf("log: %s", &g.log)
	}
}

func TestRecord(t *testing.T) {
	g := newRig(t)
	alice, token := idIn("main", "alice"), g.users("main").login("carol", "admin")
	for _, c := range []struct {
		headers              []string
		path                 string
		route, realm, reason string
		user, credential     string
		tried                string
	}{
		{bearer(token), "/v1/users/" + alice, "/v1/users/{user_id}", "main", "admin", idIn("main", "carol"), "header/session", "valid"},
		{bearer(jwt("main", "bob")), "/v1/users/" + alice, "/v1/users/{user_id}", "main", "not_allowed", idIn("main", "bob"), "header/jwt", "valid"},
		{bearer("main.bob.expired"), "/v1/users/" + alice, "/v1/users/{user_id}", "", "no valid credential", "", "", "expired"},
		{bearer("other.bob.valid"), "/v1/users/" + alice, "/v1/users/{user_id}", "other", "no_such_user", idIn("other", "bob"), "header/jwt", "valid"},
		{bearer(operatorToken), "/v1/system/realms/other/users/" + idIn("other", "dave"), "/v1/system/realms/{realm}/users/{user_id}", "other", "operator ann", "", "", ""},
	} {
		g.ask("GET", c.path, c.headers...)
		ev := g.last()
		var user, tried string
		if ev.Decision.Identity != nil {
			user = ev.Decision.Identity.UserID
		}
		for _, one := range ev.Tried {
			tried += one.Verdict.String()
		}
		if ev.Route != c.route || ev.Realm != c.realm || ev.Decision.Reason != c.reason || user != c.user || ev.Decision.Credential.Label() != c.credential || tried != c.tried {
			t.Errorf("%s: route %q realm %q reason %q user %q credential %q tried %q", c.path, ev.Route, ev.Realm, ev.Decision.Reason, user, ev.Decision.Credential.Label(), tried)
		}
	}
}
