package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A credential in the query is taken by every convention where its paths are,
// and nowhere else; good or bad, it does not reach authhost's log.
func TestQueryCredentialAtEveryEndpoint(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+proxyRealm(idp)+memoryCache+open)
	h.awaitReady(t)
	good, old := idp.token(t, "editor", nil), idp.expired(t, "editor")
	for name, judge := range map[string]func(target string) answer{
		"forward-auth": func(target string) answer { return h.forwardAuth(t, "GET", target) },
		"auth-request": func(target string) answer {
			return get(t, h.public+"/authz/auth-request", "X-Original-Method", "GET", "X-Original-URL", "https://console.example"+target)
		},
		"ext-authz": func(target string) answer {
			return get(t, h.public+"/authz/ext-authz"+target, "Host", "console.example")
		},
	} {
		a := judge("/events?since=1&_token=" + good)
		if a.status != http.StatusOK || a.header.Get("X-Auth-Request-User") != "editor" || a.header.Get("X-Auth-Request-Credential") != "query/jwt" {
			t.Errorf("%s: %s %v", name, a, a.header)
		}
		for _, target := range []string{"/page?_token=" + good, "/events?_token=" + old, "/events?_token=x&_token=" + good, "/../events?_token=" + good, "/events?token=" + good} {
			if a := judge(target); a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest {
				t.Errorf("%s: %s: %s", name, target, a)
			}
		}
	}
	log := h.log()
	if n := len(linesOf(log, "request")); n != 3*6 {
		t.Errorf("%d requests are in the log", n)
	}
	hides(t, "authhost's log", log, good, old)
}

// hides looks for tokens, and for parts of them that would do.
func hides(t *testing.T, what, log string, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		if signature := token[strings.LastIndex(token, ".")+1:]; strings.Contains(log, signature) {
			t.Errorf("a token is in %s:\n%s", what, log)
		}
	}
}

// The gateways forward a credential in the query, and as shipped log neither
// it nor the address of a page that held one.
func TestGatewayLogsNoQuery(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+proxyRealm(idp)+memoryCache+open)
	h.awaitReady(t)
	authhost, token := strings.TrimPrefix(h.public, "http://"), idp.token(t, "editor", nil)
	log := filepath.Join(t.TempDir(), "access.log")
	for name, edit := range map[string][]string{
		"nginx": {"/var/log/nginx/access.log", log + ".nginx"},
		"caddy": {"http://:8089 {", "http://:8089 {\n\tlog\n", "format filter {", "output file " + log + ".caddy\n\t\tformat filter {"},
	} {
		t.Run(name, func(t *testing.T) {
			app := newGatewayApp(t)
			g := &gateway{name, gatewayKinds[name](t, authhost, app.server.Listener.Addr().String(), edit...), app}

			target := "/ws/first?since=1&_token=" + token
			if r := g.passes(t, "GET", target); r.identity()["Credential"] != "query/jwt" {
				t.Errorf("identity %v", r.identity())
			}
			g.refuses(t, http.StatusUnauthorized, "GET", "/page?_token="+token, "Referer", "http://console.example"+target)
			g.server.Close() // what fails is logged in another way
			if a := g.ask(t, "GET", "/ws/last?_token="+token); a.status != http.StatusBadGateway {
				t.Errorf("without an application: %s", a)
			}
			var text string
			eventually(t, "the last request in the log", func() bool {
				content, err := os.ReadFile(log + "." + name)
				text = string(content)
				return err == nil && strings.Contains(text, "/ws/last")
			})
			for _, path := range []string{"/ws/first", "/page", "/ws/last"} {
				if !strings.Contains(text, path) {
					t.Errorf("%s is not in the log:\n%s", path, text)
				}
			}
			hides(t, "the gateway's log", text, token)
		})
	}
}
