package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
)

// who are the kinds of callers, in the order of the tables' columns. Each
// authenticates as himself: nobody but alice as the user concerned.
var who = []string{"nobody", "bad", "alice", "bob", "carol", "erin", "ann"}

// credentials are the ways in which each presents himself to a fresh rig.
func credentials(g *rig, name string) map[string][]string {
	switch name {
	case "nobody":
		return map[string][]string{"nothing": nil}
	case "bad":
		return map[string][]string{
			"unknown session":                   bearer("ahs_main_alice_9999"),
			"expired JWT":                       bearer("main.alice.expired"),
			"forged JWT":                        bearer("main.alice.forged"),
			"JWT of elsewhere":                  bearer("nowhere.alice.valid"),
			"revoked JWT":                       bearer("main.alice.revoked"),
			"wrong operator token":              bearer(operatorToken[1:]),
			"operator token, Basic":             {"Authorization", "Basic " + operatorToken},
			"operator token, bare":              {"Authorization", operatorToken},
			"operator token, in another header": {"X-Auth-Token", operatorToken},
			"operator token, twice":             {"Authorization", "Bearer " + operatorToken, "Authorization", "Bearer " + operatorToken},
			"access token":                      bearer("aht_main_alice_0001"),
			"expired before a good one":         append(bearer("main.alice.expired"), cookie(g.users("main").login("alice"))...),
			"empty":                             bearer(""),
		}
	case "ann":
		return map[string][]string{"operator token": bearer(operatorToken), "any case": {"Authorization", "bearer  " + operatorToken}}
	}
	realm, roles := "main", []string{"viewer"}
	switch name {
	case "carol":
		roles = []string{"viewer", "admin"}
	case "erin":
		realm, roles = "other", []string{"admin"}
	}
	return map[string][]string{
		"JWT":               bearer(jwt(realm, name, roles...)),
		"session":           bearer(g.users(realm).login(name, roles...)),
		"session in cookie": cookie(g.users(realm).login(name, roles...)),
	}
}

// TestWhoMay is every cell of who × endpoint on the admin listener. alice is a
// user of realm main, bob her peer, carol the realm's admin, erin the admin of
// realm other, ann the operator.
func TestWhoMay(t *testing.T) {
	alice, unseen, dave := idIn("main", "alice"), idIn("main", "never-seen"), idIn("other", "dave")
	system := "/v1/system/realms/"
	malformed := []string{"usr_", "alice", strings.ToUpper(alice), alice + "a", alice[:len(alice)-1], alice[:len(alice)-1] + "=", "usr_" + strings.Repeat("é", 32), "%00"}
	table := []struct {
		method, path string
		status       [7]int //  nobody bad alice bob carol erin ann
	}{
		{"GET", "/v1/users/" + alice, [7]int{401, 401, 200, 403, 200, 404, 403}},
		{"GET", "/v1/users/" + alice + "/sessions", [7]int{401, 401, 200, 403, 200, 404, 403}},
		{"POST", "/v1/users/" + alice + "/logout", [7]int{401, 401, 204, 403, 204, 404, 403}},
		{"POST", "/v1/users/" + alice + "/deactivate", [7]int{401, 401, 403, 403, 204, 404, 403}},
		{"POST", "/v1/users/" + alice + "/activate", [7]int{401, 401, 403, 403, 204, 404, 403}},

		{"GET", "/v1/users/" + unseen, [7]int{401, 401, 403, 403, 200, 404, 403}},
		{"GET", "/v1/users/" + unseen + "/sessions", [7]int{401, 401, 403, 403, 200, 404, 403}},
		{"POST", "/v1/users/" + unseen + "/logout", [7]int{401, 401, 403, 403, 204, 404, 403}},
		{"POST", "/v1/users/" + unseen + "/deactivate", [7]int{401, 401, 403, 403, 204, 404, 403}},
		{"POST", "/v1/users/" + unseen + "/activate", [7]int{401, 401, 403, 403, 204, 404, 403}},

		{"GET", "/v1/users/" + dave, [7]int{401, 401, 404, 404, 404, 200, 403}},
		{"GET", "/v1/users/" + dave + "/sessions", [7]int{401, 401, 404, 404, 404, 200, 403}},
		{"POST", "/v1/users/" + dave + "/logout", [7]int{401, 401, 404, 404, 404, 204, 403}},
		{"POST", "/v1/users/" + dave + "/deactivate", [7]int{401, 401, 404, 404, 404, 204, 403}},
		{"POST", "/v1/users/" + dave + "/activate", [7]int{401, 401, 404, 404, 404, 204, 403}},

		{"GET", system + "main/users/" + alice, [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"GET", system + "main/users/" + alice + "/sessions", [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"POST", system + "main/users/" + alice + "/logout", [7]int{401, 401, 403, 403, 403, 403, 204}},
		{"POST", system + "main/users/" + alice + "/deactivate", [7]int{401, 401, 403, 403, 403, 403, 204}},
		{"POST", system + "main/users/" + alice + "/activate", [7]int{401, 401, 403, 403, 403, 403, 204}},
		{"POST", system + "main/users/" + unseen + "/logout", [7]int{401, 401, 403, 403, 403, 403, 204}},
		{"POST", system + "other/users/" + dave + "/logout", [7]int{401, 401, 403, 403, 403, 403, 204}},
		{"POST", system + "main/users/" + dave + "/logout", [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"POST", system + "nowhere/users/" + alice + "/logout", [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"GET", system + "nowhere/users/" + alice, [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"GET", system + "main/users/alice", [7]int{401, 401, 403, 403, 403, 403, 404}},

		{"GET", "/v1/plugins", [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"GET", "/v1/plugins/gate", [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"POST", "/v1/plugins/gate/reload", [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"POST", "/v1/plugins/gate/rollback", [7]int{401, 401, 403, 403, 403, 403, 200}},
		{"GET", "/v1/plugins/none", [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"POST", "/v1/plugins/none/reload", [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"POST", "/v1/plugins/none/rollback", [7]int{401, 401, 403, 403, 403, 403, 404}},
		{"GET", "/v1/plugins/", [7]int{401, 401, 404, 404, 404, 404, 404}},
		{"GET", "/v1/plugins/gate/", [7]int{401, 401, 404, 404, 404, 404, 404}},

		{"POST", "/v1/config/reload", [7]int{401, 401, 403, 403, 403, 403, 204}},
		{"GET", "/v1/elsewhere", [7]int{401, 401, 404, 404, 404, 404, 404}},
		{"GET", "/v1/users/" + alice + "/", [7]int{401, 401, 404, 404, 404, 404, 404}},
		{"GET", "/v1/me", [7]int{401, 401, 404, 404, 404, 404, 404}},
		{"POST", "/v1/introspect", [7]int{401, 401, 404, 404, 404, 404, 404}},
	}
	for _, id := range malformed {
		for _, end := range []string{"GET ", "GET /sessions", "POST /logout", "POST /deactivate", "POST /activate"} {
			method, rest, _ := strings.Cut(end, " ")
			status := [7]int{401, 401, 404, 404, 404, 404, 403}
			if strings.HasPrefix(id, "%00") { // cannot be read one way only
				status = [7]int{400, 400, 400, 400, 400, 400, 400}
			}
			table = append(table, struct {
				method, path string
				status       [7]int
			}{method, "/v1/users/" + id + rest, status})
		}
	}
	g := newRig(t)
	cells := 0
	for _, row := range table {
		for column, name := range who {
			for form := range credentials(g, name) {
				g.users("main").reset()
				g.users("other").reset()
				headers := credentials(g, name)[form]
				g.reloads, g.plugins.done = 0, nil
				cells++
				cell := fmt.Sprintf("%s %s by %s (%s)", row.method, row.path, name, form)
				got := g.ask(row.method, row.path, headers...)
				if got.status != row.status[column] {
					t.Errorf("%s: %s, want %d", cell, got, row.status[column])
				}
				if got.status >= 400 {
					got.reason(t)
				}
				if got.status == 401 && got.reason(t) != "unauthenticated" {
					t.Errorf("%s: a 401 of its own: %s", cell, got)
				}
				changed := len(g.changes()) + g.reloads + len(g.plugins.done)
				if want := map[bool]int{true: 1}[row.method == "POST" && got.status < 300]; changed != want {
					t.Errorf("%s: %d changes %q", cell, changed, g.changes())
				}
				if ev := g.last(); ev.Status != got.status || (got.status < 300) != (ev.Decision.Kind == host.Allowed) {
					t.Errorf("%s: recorded %d %s", cell, ev.Status, ev.Decision.Kind)
				}
			}
		}
	}
	if cells < 1000 {
		t.Errorf("only %d cells", cells)
	}
}

// TestActedAs holds what was done to whom against who did it.
func TestActedAs(t *testing.T) {
	alice := idIn("main", "alice")
	for _, c := range []struct {
		path string
		by   []string
		want string
	}{
		{"/v1/users/" + alice + "/logout", bearer(jwt("main", "alice")), "logout " + alice + " by self " + alice},
		{"/v1/users/" + alice + "/logout", bearer(jwt("main", "alice", "admin")), "logout " + alice + " by self " + alice},
		{"/v1/users/" + alice + "/logout", bearer(jwt("main", "carol", "admin")), "logout " + alice + " by admin " + idIn("main", "carol")},
		{"/v1/users/" + alice + "/deactivate", bearer(jwt("main", "carol", "admin")), "deactivate " + alice + " by admin " + idIn("main", "carol")},
		{"/v1/users/" + alice + "/activate", bearer(jwt("main", "carol", "admin")), "activate " + alice + " by admin " + idIn("main", "carol")},
		{"/v1/system/realms/main/users/" + alice + "/logout", bearer(operatorToken), "logout " + alice + " by operator ann"},
		{"/v1/system/realms/main/users/" + alice + "/deactivate", bearer(operatorToken), "deactivate " + alice + " by operator ann"},
	} {
		g := newRig(t)
		g.users("main").login("bob")
		if got := g.ask("POST", c.path, c.by...); got.status != 204 || got.body != "" {
			t.Errorf("%s: %s", c.path, got)
		}
		if got := g.changes(); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
		if got := g.ask("POST", c.path, c.by...); strings.HasSuffix(c.want, "self "+alice) != (got.status == 401) {
			t.Errorf("%s again: %s", c.path, got)
		}
		if n := len(g.users("main").live); n != 1 {
			t.Errorf("%s: %d sessions of bob", c.path, n)
		}
	}
}

// Whom the operator deactivated, the operator activates; so a rogue admin can
// be stopped.
func TestOperatorOutranksAdmin(t *testing.T) {
	g := newRig(t)
	carol, rogue := g.users("main").login("carol", "admin"), idIn("main", "rogue")
	rogueToken := g.users("main").login("rogue", "admin")
	operator := bearer(operatorToken)
	if got := g.ask("POST", "/v1/system/realms/main/users/"+rogue+"/deactivate", operator...); got.status != 204 {
		t.Fatal(got)
	}
	if got := g.ask("GET", "/v1/users/"+rogue, bearer(rogueToken)...); got.status != 401 {
		t.Errorf("a deactivated admin: %s", got)
	}
	if got := g.ask("POST", "/v1/users/"+rogue+"/activate", bearer(carol)...); got.status != 403 || got.reason(t) != "deactivated_by_operator" {
		t.Errorf("activated by another admin: %s", got)
	}
	if got := g.ask("POST", "/v1/system/realms/main/users/"+rogue+"/activate", operator...); got.status != 204 {
		t.Errorf("activated by the operator: %s", got)
	}
	// An operator is no realm's user: no id is his, so no admin reaches him.
	if got := g.ask("POST", "/v1/users/ann/logout", bearer(carol)...); got.status != 404 {
		t.Errorf("the operator logged out: %s", got)
	}
	// An admin does not lock himself out.
	if got := g.ask("POST", "/v1/users/"+idIn("main", "carol")+"/deactivate", bearer(carol)...); got.status != 403 {
		t.Errorf("an admin deactivates himself: %s", got)
	}
}

// With no admin role configured nobody is admin, whatever roles a token names.
func TestAttack34_no_admin_role_nobody_is_admin(t *testing.T) {
	g := newRig(t)
	alice := idIn("bare", "alice")
	g.users("bare").login("alice")
	for form, headers := range map[string][]string{
		"no role":           bearer(g.users("bare").login("eve")),
		"an empty role":     bearer(g.users("bare").login("eve", "")),
		"role admin":        bearer(g.users("bare").login("eve", "admin", "")),
		"JWT, no role":      bearer(jwt("bare", "eve")),
		"JWT, empty role":   bearer(jwt("bare", "eve", "")),
		"JWT, role admin":   bearer(jwt("bare", "eve", "admin")),
		"admin of another":  bearer(jwt("main", "carol", "admin")),
		"operators' prefix": bearer(""),
	} {
		for _, path := range []string{"", "/sessions", "/logout", "/deactivate", "/activate"} {
			method := "POST"
			if path == "" || path == "/sessions" {
				method = "GET"
			}
			if got := g.ask(method, "/v1/users/"+alice+path, headers...); got.status < 400 {
				t.Errorf("%s %s: %s", form, path, got)
			}
		}
	}
	if got := g.ask("GET", "/v1/users/"+alice, bearer(g.users("bare").login("alice"))...); got.status != 200 {
		t.Errorf("alice herself: %s", got)
	}
	if c := g.changes(); len(c) != 0 {
		t.Errorf("done all the same: %q", c)
	}
}

func TestAttack41_admin_of_another_realm(t *testing.T) {
	g := newRig(t)
	alice := g.users("main").login("alice")
	for _, headers := range [][]string{
		bearer(jwt("other", "erin", "admin")),
		cookie(g.users("other").login("erin", "admin")),
		append([]string{"Host", "main.example"}, bearer(jwt("other", "erin", "admin"))...),
	} {
		for _, end := range []string{"/logout", "/deactivate", "/activate"} {
			if got := g.ask("POST", "/v1/users/"+idIn("main", "alice")+end, headers...); got.status != 404 || got.reason(t) != "no_such_user" {
				t.Errorf("%s: %s", end, got)
			}
		}
	}
	if got := g.ask("GET", "/v1/users/"+idIn("main", "alice"), bearer(alice)...); got.status != 200 || len(g.changes()) != 0 {
		t.Errorf("alice afterwards: %s, %q", got, g.changes())
	}
}

// What roles a user has in one realm says nothing in another, also when one
// JWT is for both.
func TestTokenOfTwoRealms(t *testing.T) {
	g := newRig(t)
	both := bearer(jwt("main-other", "gus", "admin"))
	for realm, target := range map[string]string{"main": "alice", "other": "dave"} {
		if got := g.ask("POST", "/v1/users/"+idIn(realm, target)+"/logout", both...); got.status != 204 {
			t.Errorf("%s: %s", realm, got)
		}
		if ev := g.last(); ev.Realm != realm || ev.Decision.Identity.UserID != idIn(realm, "gus") || ev.Decision.Reason != "admin" {
			t.Errorf("%s: recorded %+v", realm, ev)
		}
	}
	if got := g.ask("GET", "/v1/users/"+idIn("bare", "alice"), both...); got.status != 404 {
		t.Errorf("a third realm: %s", got)
	}
	// A session of one realm beside one of another: each realm has its own order.
	mixed := append(bearer(g.users("main").login("bob")), "X-Auth-Token", g.users("other").login("erin", "admin"))
	for path, want := range map[string]int{idIn("main", "alice"): 403, idIn("main", "bob"): 200, idIn("other", "dave"): 200, idIn("bare", "x"): 404} {
		if got := g.ask("GET", "/v1/users/"+path, mixed...); got.status != want {
			t.Errorf("%s: %s, want %d", path, got, want)
		}
	}
}
