package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

func TestAttack01_spoofed_forwarded_uri(t *testing.T) {
	g := newRig(t)
	t.Run("from an untrusted peer", func(t *testing.T) {
		g.want(t, ask{peer: client, uri: "/healthz"}, 400)
		g.want(t, ask{peer: client, uri: "/api/x", extra: []string{bearerAlice}}, 400)
	})
	t.Run("by another convention's header", func(t *testing.T) {
		lies := []string{"X-Original-Method: GET", "X-Original-Url: https://app.example/healthz",
			"X-Forwarded-Method: GET", "X-Forwarded-Uri: /healthz", "X-Rewrite-Url: /healthz", "X_Forwarded_Uri: /healthz"}
		for _, c := range conventions {
			a := ask{uri: "/api/x"}
			r := c.make(a)
			for _, line := range lies {
				if name, value, _ := strings.Cut(line, ": "); r.Header[name] == nil {
					r.Header[name] = []string{value}
				}
			}
			res := g.serve(t, r)
			if _, req := g.one(t); res.StatusCode != 401 || req.Path != "/api/x" {
				t.Errorf("%s: %d for %s, want 401 for /api/x", c.name, res.StatusCode, req.Path)
			}
		}
	})
	t.Run("beside the gateway's own", func(t *testing.T) {
		for _, name := range []string{"X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host"} {
			r := ask{uri: "/healthz"}.forwarded()
			r.Header.Add(name, r.Header.Get(name))
			if res := g.serve(t, r); res.StatusCode != 400 {
				t.Errorf("two %s: %d", name, res.StatusCode)
			}
			g.one(t)
		}
		for _, name := range []string{"X-Original-Url", "X-Original-Method"} {
			r := ask{uri: "/healthz"}.original()
			r.Header.Add(name, r.Header.Get(name))
			if res := g.serve(t, r); res.StatusCode != 400 {
				t.Errorf("two %s: %d", name, res.StatusCode)
			}
			g.one(t)
		}
	})
}

func TestAttack02_user_agent(t *testing.T) {
	g := newRig(t)
	for _, agent := range []string{"kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", ""} {
		g.want(t, ask{uri: "/api/x", extra: []string{"User-Agent: " + agent}}, 401)
	}
}

func TestAttack03_fragment(t *testing.T) {
	g := newRig(t)
	for _, uri := range []string{"/healthz#/api/x", "/healthz%23/api/x", "/healthz%23", "/api/x#/healthz", "/api/x%23/../healthz",
		"/public/%23", "/public/?a#b", "/public/a%3fb", "/public/a%3Fb"} {
		g.want(t, ask{uri: uri, extra: []string{bearerAlice}}, 400)
	}
	g.want(t, ask{uri: "/public/?a=%23"}, 200) // escaped in the query it is data
}

func TestAttack04_query_against_path_rule(t *testing.T) {
	g := newRig(t)
	for _, uri := range []string{"/api/x?/healthz", "/api/x?path=/healthz", "/api/x?/public/y", "/?/healthz", "/secret?x=/public/"} {
		g.want(t, ask{uri: uri}, 401)
	}
	g.want(t, ask{uri: "/healthz?/api/x"}, 200)
	g.want(t, ask{uri: "/api/healthz"}, 401)
}

func TestAttack05_identity_header_spellings(t *testing.T) {
	g := newRig(t)
	for _, name := range []string{"X_Auth_Request_User", "X-Auth_Request_User", "X_auth_request_user", "x-auth_request-roles",
		"X-Auth-Request_User-Id", "X.Auth.Request.Email", "X-Auth-Request-Session_Id", "X_Team", "X!Team"} {
		g.want(t, ask{uri: "/api/x", extra: []string{bearerAlice, name + ": admin"}}, 400)
		g.want(t, ask{uri: "/healthz", extra: []string{name + ": admin"}}, 400)
	}
	// In the gateway's own spelling it is overwritten; other names are nobody's concern.
	g.want(t, ask{uri: "/api/x", extra: []string{bearerAlice, "X-Auth-Request-User: root", "X-Team: red", "X_Teams: a",
		"Upgrade-Insecure-Requests: 1", "X_Auth_Request_Userx: b"}}, 200)
}

func TestAttack06_every_identity_header_on_every_allow(t *testing.T) {
	g := newRig(t)
	lies := []string{"X-Auth-Request-User: root", "X-Auth-Request-Roles: admin", "X-Auth-Request-Email: root@example.com", "X-Team: root"}
	for _, c := range []struct {
		uri, token string
		want       map[string]string // all others empty
	}{
		{"/healthz", "", nil},
		{"/healthz", "alice", nil}, // no credential is read
		{"/optional/x", "", nil},
		{"/api/x", "root", map[string]string{"X-Auth-Request-User": "root", "X-Auth-Request-User-Id": "usr_root",
			"X-Auth-Request-Realm": "main", "X-Auth-Request-Roles": "admin", "X-Auth-Request-Credential": "header/jwt"}},
		{"/api/x", "alice", map[string]string{"X-Auth-Request-User": "alice", "X-Auth-Request-User-Id": "usr_alice",
			"X-Auth-Request-Realm": "main", "X-Auth-Request-Roles": "editor,viewer", "X-Auth-Request-Groups": "ops",
			"X-Auth-Request-Email": "alice@example.com", "X-Auth-Request-Credential": "header/jwt"}},
	} {
		for _, conv := range conventions {
			a := ask{uri: c.uri, extra: lies}
			if c.token != "" {
				a.extra = append([]string{"Authorization: Bearer " + c.token}, lies...)
			}
			res := g.serve(t, conv.make(a))
			g.one(t)
			if res.StatusCode != 200 {
				t.Fatalf("%s: %d", c.uri, res.StatusCode)
			}
			for _, name := range append([]string{"X-Team"}, identityHeaders...) {
				if got := res.Header[name]; len(got) != 1 || got[0] != c.want[name] {
					t.Errorf("%s as %q: %s is %q, want %q", c.uri, c.token, name, got, c.want[name])
				}
			}
		}
	}
}

func TestAttack10_dot_segments_and_company(t *testing.T) {
	g := newRig(t)
	for _, uri := range []string{
		"/public/../api/x", "/public/./x", "/public/..", "/public/.", "/..", "/.", "/../public/x",
		"/public/%2e%2e/api/x", "/public/%2E%2e%2fapi", "/public/.%2e/api/x", "/public/%2e", "/public/%2e.",
		"/public/..%2fapi", "/public/..%5capi", `/public/..\api`, `/public\..\api`, "/public/%5c..%5capi",
		"/public;/../api", "/public/..;/api", "/public;x=1/y", "/public/%3b", "/public/%3Bx",
		"/public//x", "//public/x", "/public/x//", "/public/%2f", "/public/x%2f%2fy",
		"/public/%00", "/public/%0a", "/public/%0d%0a", "/public/%7f", "/public/\x00", "/public/\x01x", "/public/\x7f", "/public/a b",
		"/public/%", "/public/%2", "/public/%zz", "/public/%2z", "/public/%u002e",
		"/public/%252e%252e/api", "/public/%25%32%65", "/public/%2541", "/public/%c0%ae%c0%ae/api", "/public/%ff", "/public/\xff",
		"http://app.example/public/x", "https://app.example/healthz", "app.example/public", "public/x", "", "*", "?x", "#",
		"/public/x?a b", "/public/x?a\x00", "/public/x?a\rb", "/public/x?a\x7f",
	} {
		g.want(t, ask{uri: uri, extra: []string{bearerAlice}}, 400)
	}
	for _, uri := range []string{"/public/x", "/public/", "/public/...", "/public/.x", "/public/x.", "/public/..x", "/public/a..b",
		"/public/a?x=../..//%2f;%00%zz", "/public/a:b@c", "/public/!$&'()*+,=~"} {
		g.want(t, ask{uri: uri}, 200)
	}
}

func TestAttack11_encoded_slash_in_any_case(t *testing.T) {
	g := newRig(t)
	for _, uri := range []string{"/public%2fx", "/public%2Fx", "/api%2fx", "/api%2Fx", "/healthz%2f", "/%2fhealthz"} {
		g.want(t, ask{uri: uri, extra: []string{bearerAlice}}, 400)
	}
}

func TestAttack12_letter_case_of_the_host(t *testing.T) {
	g := newRig(t)
	for _, name := range []string{"app.example", "APP.example", "App.Example.", "app.example:443", "APP.EXAMPLE.:8443", "x.APP.example"} {
		g.want(t, ask{host: name, uri: "/api/x", extra: []string{bearerAlice}}, 200)
		g.want(t, ask{host: name, uri: "/api/x"}, 401)
	}
	for _, name := range []string{"evil.example", "app.example.evil", "xapp.example", "app.example..", ".app.example", "app..example",
		"app.example:", "app.example:x", "app.example:0", "app.example:99999", "app.example:80:80", "user@app.example", "app.example,evil",
		"app.example evil", "app.example\x00", "[::1", "[::1]x", "[app.example]", "[1.2.3.4]", "[fe80::1%25eth0]", "äpp.example", "app%2eexample",
		"app.example?x=", "app.example#", `app.example\`, "."} {
		g.want(t, ask{host: name, uri: "/healthz"}, 400)
	}
}

func TestAttack14_double_slash_admin(t *testing.T) {
	g := newRig(t)
	for _, uri := range []string{"//admin/x", "///admin", "//admin", "//", "//app.example/healthz", `/\admin`, "/%2fadmin", "/%5cadmin"} {
		g.want(t, ask{uri: uri, extra: []string{bearerAlice}}, 400)
	}
}

func TestAttack36_untrusted_gateway(t *testing.T) {
	g := newRig(t)
	for _, c := range conventions {
		for _, peer := range []string{client, "2001:db8::1", "11.0.0.1"} {
			g.log.Reset()
			// A route that would let the endpoint's own path pass changes nothing.
			r := c.make(ask{peer: peer, uri: "/healthz", extra: []string{bearerAlice, "X-Forwarded-For: 10.0.0.1"}})
			res := g.serve(t, r)
			ev, req := g.one(t)
			if res.StatusCode != 400 || req.Path != "" || ev.Route != "" {
				t.Errorf("%s from %s: %d, judged %q by %q", c.name, peer, res.StatusCode, req.Path, ev.Route)
			}
			if !strings.Contains(g.log.String(), peer) || !strings.Contains(g.log.String(), "trusted_proxies") ||
				!strings.Contains(ev.Cause.Error(), peer) {
				t.Errorf("the log does not name peer %s: %s", peer, g.log.String())
			}
		}
	}
	for _, remote := range []string{"", "@", "pipe", "10.0.0.1"} {
		r := ask{uri: "/healthz"}.forwarded()
		r.RemoteAddr = remote
		if res := g.serve(t, r); res.StatusCode != 400 {
			t.Errorf("peer %q: %d", remote, res.StatusCode)
		}
		g.one(t)
	}
	for _, peer := range []string{"::ffff:10.0.0.1", "fd00::1"} {
		r := ask{peer: peer, uri: "/healthz"}.forwarded()
		if res := g.serve(t, r); res.StatusCode != 200 {
			t.Errorf("peer %q: %d", peer, res.StatusCode)
		}
		if _, req := g.one(t); req.Client.String() != strings.TrimPrefix(peer, "::ffff:") {
			t.Errorf("peer %q: client %s", peer, req.Client)
		}
	}
}

func TestAttack36_missing_header_never_judges_own_path(t *testing.T) {
	g := newRig(t)
	for _, c := range []struct {
		r    *http.Request
		name string
	}{
		{ask{uri: "/healthz"}.forwarded(), "X-Forwarded-Method"}, {ask{uri: "/healthz"}.forwarded(), "X-Forwarded-Proto"},
		{ask{uri: "/healthz"}.forwarded(), "X-Forwarded-Host"}, {ask{uri: "/healthz"}.forwarded(), "X-Forwarded-Uri"},
		{ask{uri: "/healthz"}.original(), "X-Original-Url"}, {ask{uri: "/healthz"}.original(), "X-Original-Method"},
	} {
		c.r.Header.Del(c.name)
		res := g.serve(t, c.r)
		if ev, req := g.one(t); res.StatusCode != 400 || req.Path != "" || !strings.Contains(ev.Cause.Error(), c.name) {
			t.Errorf("without %s: %d, judged %q, %v", c.name, res.StatusCode, req.Path, ev.Cause)
		}
	}
	for _, uri := range []string{edge.ExtAuthzPath, edge.ExtAuthzPath + "?/healthz"} {
		r := ask{}.envoy()
		r.RequestURI = uri
		if res := g.serve(t, r); res.StatusCode != 400 {
			t.Errorf("%s: %d", uri, res.StatusCode)
		}
		g.one(t)
	}
}

func TestAttack37_comma_in_a_group(t *testing.T) {
	g := newRig(t)
	res := g.serve(t, ask{uri: "/api/x", extra: []string{"Authorization: Bearer mal"}}.forwarded())
	for name, want := range map[string]string{
		"X-Auth-Request-Groups": "x%2Cadmin,%C3%A9t%C3%A9,a%20b",
		"X-Auth-Request-Roles":  "x%0D%0Ay",
		"X-Auth-Request-User":   "mal%2C100%25",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAttack43_plugin_header_on_every_allow(t *testing.T) {
	g := newRig(t)
	for _, c := range []struct {
		uri     string
		headers []host.Header
		want    string
	}{
		{"/healthz", nil, ""},
		{"/api/x", nil, ""},
		{"/plugin/x", nil, ""},
		{"/plugin/x", []host.Header{{Name: "X-Team", Value: "red,blue"}}, "red,blue"},
		{"/plugin/x", []host.Header{{Name: "x-team", Value: "red\r\nX-Auth-Request-User: root"}}, "red%0D%0AX-Auth-Request-User: root"},
		{"/plugin/x", []host.Header{{Name: "X-Undeclared", Value: "x"}, {Name: "X-Auth-Request-User", Value: "root"}}, ""},
	} {
		g.opinion = func(*host.Call) (host.Opinion, error) {
			return host.Opinion{Effect: host.Allow, Headers: c.headers}, nil
		}
		res := g.serve(t, ask{uri: c.uri, extra: []string{bearerAlice, "X-Team: mine"}}.forwarded())
		if got := res.Header["X-Team"]; res.StatusCode != 200 || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s %v: %d X-Team %q, want %q", c.uri, c.headers, res.StatusCode, got, c.want)
		}
		if res.Header["X-Undeclared"] != nil || res.Header.Get("X-Auth-Request-User") == "root" {
			t.Errorf("%v: an undeclared header passed", c.headers)
		}
	}
}
