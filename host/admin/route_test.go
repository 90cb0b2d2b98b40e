package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
)

func TestMethods(t *testing.T) {
	g := newRig(t)
	user := "/v1/users/" + idIn("main", "alice")
	for _, c := range []struct {
		send         func(method, path string, headers ...string) answer
		method, path string
		allow        string
	}{
		{g.ask, "DELETE", user, "GET, HEAD"},
		{g.ask, "OPTIONS", user, "GET, HEAD"},
		{g.ask, "POST", user + "/sessions", "GET, HEAD"},
		{g.ask, "GET", user + "/logout", "POST"},
		{g.ask, "PUT", user + "/deactivate", "POST"},
		{g.ask, "GET", "/v1/config/reload", "POST"},
		{g.ask, "POST", "/v1/plugins", "GET, HEAD"},
		{g.ask, "DELETE", "/v1/plugins/gate", "GET, HEAD"},
		{g.ask, "GET", "/v1/plugins/gate/reload", "POST"},
		{g.ask, "PUT", "/v1/plugins/gate/rollback", "POST"},
		{g.ask, "GET", "/v1/system/realms/main/users/x/logout", "POST"},
		{g.visit, "POST", "/v1/me", "GET, HEAD"},
		{g.visit, "DELETE", "/v1/me/sessions", "GET, HEAD"},
		{g.visit, "GET", "/v1/me/sessions/ses_1", "DELETE"},
		{g.visit, "GET", "/v1/introspect", "POST"},
	} {
		for _, by := range [][]string{nil, bearer(operatorToken), bearer(jwt("main", "alice", "admin"))} {
			a := c.send(c.method, c.path, by...)
			if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != c.allow || a.reason(t) != "method_not_allowed" {
				t.Errorf("%s %s: %s, Allow %q", c.method, c.path, a, a.header.Get("Allow"))
			}
			if ev := g.last(); ev.Status != 405 || ev.Decision.Kind != host.BadRequest || ev.Route == "" {
				t.Errorf("%s %s: recorded %d %s, route %q", c.method, c.path, ev.Status, ev.Decision.Kind, ev.Route)
			}
		}
	}
	if c := g.changes(); len(c) != 0 || g.reloads != 0 || g.plugins.done != nil {
		t.Errorf("done all the same: %q", c)
	}
}

func TestNoRouteWithoutARule(t *testing.T) {
	good := admin.Options{Open: func(*http.Request) (admin.Visit, error) { return admin.Visit{}, nil }, Reload: nil, Fail: func(http.ResponseWriter, error) {}}
	if _, err := admin.New(good); err == nil {
		t.Error("handlers without Reload")
	}
	if err := admin.CheckRoute("GET", "/v1/new", 0, true); err == nil || !strings.Contains(err.Error(), "no rule for GET /v1/new") {
		t.Errorf("a route without a rule: %v", err)
	}
	if err := admin.CheckRoute("GET", "/v1/new", 1<<host.Self, false); err == nil {
		t.Error("a route that does nothing")
	}
	if err := admin.CheckRoute("GET", "/v1/new", 1<<host.Self, true); err != nil {
		t.Error(err)
	}
}

// FuzzMatch sees to it that a path is the route that it spells, and no other.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/v1/users/x", "/v1/users//", "/v1/system/realms/a/users/b/logout", "/", "", "//", "/v1/users/{user_id}", "/v1/config/reload/", "/v1/plugins/gate/rollback", "/v1/plugins/"} {
		f.Add("GET", s)
		f.Add("POST", s)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		pattern, realm, user, plugin, allow := admin.Match(method, path)
		if pattern == "" || allow != "" {
			return
		}
		if got := strings.NewReplacer("{realm}", realm, "{user_id}", user, "{name}", plugin).Replace(pattern); got != path || strings.Contains(user+realm+plugin, "/") {
			t.Errorf("%q is not %s with realm %q, user %q and plugin %q", path, pattern, realm, user, plugin)
		}
	})
}
