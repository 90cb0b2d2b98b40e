package e2e

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// gatewayCallers are the columns of the matrix: who asks, and which rank of
// viewer 1, editor 2 and admin 3 they have.
var gatewayCallers = []struct {
	name  string
	roles any // nil: no claim
	rank  int // -1: no token
}{
	{"nobody", nil, -1},
	{"viewer", []string{"viewer"}, 1},
	{"editor", []string{"editor"}, 2},
	{"admin", []string{"admin"}, 3},
	{"unknown role", []string{"janitor", "Editor"}, 0},
	{"no role", nil, 0},
}

// gatewayRules are the rows: the rules of the policy, and what they leave open.
var gatewayRules = []struct {
	method, target string
	rank           int
}{
	{"POST", "/api/gitops/sync", 2},
	{"POST", "/api/gitops/helm-upgrade", 2},
	{"POST", "/api/gitops/helm-uninstall", 2},
	{"POST", "/api/gitops/helm-rollback", 2},
	{"POST", "/api/gitops/argocd/sync", 2},
	{"POST", "/api/gitops/detect-drift", 1},
	{"POST", "/api/gitops/unlisted", 0},
	{"GET", "/api/gitops/sync?dry=1", 0},
}

func TestGatewayPolicy(t *testing.T) {
	t.Parallel()
	if n := strings.Count(gitops, "methods:"); n != len(gatewayRules)-2 {
		t.Fatalf("the policy has %d rules, the matrix does not", n)
	}
	idp := newIssuer(t)
	eachGateway(t, idp.realm("")+gitops, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		for _, who := range gatewayCallers {
			user := strings.ReplaceAll(who.name, " ", "-")
			var header []string
			if who.rank >= 0 {
				header = bearer(idp.token(t, user, map[string]any{"roles": who.roles}))
			}
			for _, rule := range gatewayRules {
				switch {
				case who.rank < 0:
					a := g.refuses(t, http.StatusUnauthorized, rule.method, rule.target, header...)
					if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
						t.Errorf("%s %s: WWW-Authenticate %q", rule.method, rule.target, got)
					}
				case who.rank < rule.rank:
					g.refuses(t, http.StatusForbidden, rule.method, rule.target, header...)
				default:
					r := g.passes(t, rule.method, rule.target, header...)
					roles, _ := who.roles.([]string)
					checkIdentity(t, g, &r, map[string]string{"User": user, "Realm": "main", "Roles": strings.Join(roles, ","),
						"Email": user + "@console.example", "Credential": "header/jwt"})
				}
			}
		}
	})
}

// checkIdentity compares what the application was told with want, which leaves
// out the user id.
func checkIdentity(t *testing.T, g *gateway, r *appRequest, want map[string]string) {
	t.Helper()
	got := r.identity()
	if !strings.HasPrefix(got["User-Id"], "usr_") {
		t.Errorf("%s %s: user id %q", r.Method, r.Target, got["User-Id"])
	}
	delete(got, "User-Id")
	maps.DeleteFunc(want, func(_, v string) bool { return v == "" })
	if !maps.Equal(got, want) {
		t.Errorf("%s %s: the application was told %q, want %q", r.Method, r.Target, got, want)
	}
	if g.name == "nginx" {
		return // leaves out what is empty
	}
	for _, name := range identityHeaders {
		if len(r.Header[name]) != 1 {
			t.Errorf("%s %s: %s is there %d times", r.Method, r.Target, name, len(r.Header[name]))
		}
	}
}

// What was judged is what is forwarded, byte by byte.
func TestGatewayForwardsWhatWasJudged(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, target := range []string{
			"/", "/apps/", "/apps/%41%62c", "/a%20b", "/caf%c3%a9/x", "/a:b@c,d/(e)!*'$&=+~-_.", "/.well-known/x", "/apps?", "/apps?q=%2F..%2F&u=http://x//y%00",
			"/api/gitops/%73ync?x",
		} {
			g.passes(t, "POST", target, editor...)
		}
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			g.passes(t, method, "/apps", editor...)
		}
		if a := g.refuses(t, http.StatusUnauthorized, "HEAD", "/apps"); a.body != "" {
			t.Errorf("a HEAD has the body %q", a.body)
		}
		if a := g.ask(t, "HEAD", "/apps", editor...); a.status != http.StatusOK {
			t.Errorf("HEAD: %s", a)
		}
	})
}

// A cookie stands in for a header that has expired, for the same user and from
// the platform's own pages only.
func TestGatewayCookieFallback(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	expired := map[string]any{"iat": 1_000_000_000, "exp": 1_000_003_600}
	eachGateway(t, idp.realm("")+gitops, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		stale := bearer(idp.token(t, "editor", expired))
		cookie := append(stale, "Cookie", "theme=dark; kc_auth="+idp.token(t, "editor", nil))
		r := g.passes(t, "POST", "/api/gitops/sync", cookie...)
		checkIdentity(t, g, &r, map[string]string{"User": "editor", "Realm": "main", "Roles": "editor", "Email": "editor@console.example", "Credential": "cookie/jwt"})
		g.passes(t, "POST", "/api/gitops/sync", append(cookie, "Origin", "http://console.example", "Sec-Fetch-Site", "same-origin")...)
		g.refuses(t, http.StatusForbidden, "POST", "/api/gitops/sync", append(cookie, "Sec-Fetch-Site", "cross-site")...)
		g.refuses(t, http.StatusForbidden, "POST", "/api/gitops/sync", append(cookie, "Origin", "http://elsewhere.example")...)
		g.refuses(t, http.StatusUnauthorized, "POST", "/api/gitops/sync", append(stale, "Cookie", "kc_auth="+idp.token(t, "admin", nil))...)

		twice, status := append(bearer(idp.token(t, "editor", nil)), bearer(idp.token(t, "editor", nil))...), http.StatusUnauthorized
		if g.name == "nginx" { // asks nobody about those
			status = http.StatusBadRequest
		}
		g.refuses(t, status, "POST", "/api/gitops/sync", twice...)
	})
}

// Without its keys authhost cannot judge a token, and says so; what needs no
// key is answered all the same.
func TestGatewayKeySetAway(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	idp.down.Store(true)
	eachGateway(t, idp.realm("")+gitops, func(t *testing.T, g *gateway, _ *authhost) {
		for _, user := range []string{"viewer", "admin"} {
			a := g.refuses(t, http.StatusServiceUnavailable, "POST", "/api/gitops/sync", bearer(idp.token(t, user, nil))...)
			if got := a.header.Get("Retry-After"); got != "5" {
				t.Errorf("Retry-After %q, want authhost's 5", got)
			}
		}
		g.refuses(t, http.StatusUnauthorized, "POST", "/api/gitops/sync")
		g.passes(t, "GET", "/healthz")
	})
}

func TestGatewayAuthhostAway(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+gitops)
	h.stop(t)
	eachGatewayOf(t, h.public, func(t *testing.T, g *gateway) {
		for _, path := range []string{"/api/gitops/sync", "/healthz", "/v1/login", "/v1/logout", "/v1/refresh", "/v1/me/sessions"} {
			a := g.refuses(t, http.StatusServiceUnavailable, "POST", path, bearer(idp.token(t, "admin", nil))...)
			if got := a.header.Get("Retry-After"); got != "1" {
				t.Errorf("%s: Retry-After %q", path, got)
			}
		}
	})
}

// Plugins answer 404 and 429 too, and authhost may be slow, or not be authhost.
func TestGatewayEveryAnswer(t *testing.T) {
	stub := http.NewServeMux()
	answers := []struct {
		path          string
		status        int
		header, value string
		nginx         int // where it differs
	}{
		{"/400", 400, "", "", 0},
		{"/401", 401, "WWW-Authenticate", `Bearer realm="x"`, 0},
		{"/403", 403, "", "", 0},
		{"/404", 404, "", "", 0},
		{"/429", 429, "Retry-After", "17", 0},
		{"/429-bare", 429, "", "", 0},
		{"/503", 503, "Retry-After", "29", 0},
		{"/418", 418, "", "", 503},
		{"/500", 500, "", "", 503},
		{"/302", 302, "", "", 503},
		{"/silent", 503, "Retry-After", "1", 0},
	}
	done := make(chan struct{})
	serve := func(w http.ResponseWriter, r *http.Request, target string) {
		target, own := strings.CutSuffix(target, "?token=1")
		if !own || r.URL.RawQuery != "" {
			t.Errorf("asked about %s by %s", target, r.RequestURI)
		}
		for _, a := range answers {
			switch {
			case !strings.HasSuffix(target, a.path):
			case a.path == "/silent":
				<-done
			default:
				if a.header != "" {
					w.Header().Set(a.header, a.value)
				}
				w.WriteHeader(a.status)
			}
		}
	}
	stub.HandleFunc("/authz/auth-request", func(w http.ResponseWriter, r *http.Request) { serve(w, r, r.Header.Get("X-Original-Url")) })
	stub.HandleFunc("/authz/forward-auth", func(w http.ResponseWriter, r *http.Request) { serve(w, r, r.Header.Get("X-Forwarded-Uri")) })
	server := httptest.NewServer(stub)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) })

	check := func(t *testing.T, g *gateway, silent bool) {
		for _, want := range answers {
			if (want.path == "/silent") != silent {
				continue
			}
			status := want.status
			if g.name == "nginx" && want.nginx != 0 {
				status = want.nginx
			}
			a := g.refuses(t, status, "GET", want.path+"?token=1")
			if got := a.header.Get(want.header); want.header != "" && got != want.value {
				t.Errorf("%s: %s is %q, want %q", want.path, want.header, got, want.value)
			}
			if retry := a.header.Get("Retry-After"); retry != "" && status != 503 && want.header != "Retry-After" {
				t.Errorf("%s: Retry-After %q", want.path, retry)
			}
			if status == 503 && g.name == "nginx" && a.header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", want.path)
			}
		}
	}
	eachGatewayOf(t, server.URL, func(t *testing.T, g *gateway) { check(t, g, false) }, "5s", "1m")
	eachGatewayOf(t, server.URL, func(t *testing.T, g *gateway) { check(t, g, true) }, "5s", "300ms")
}

// What the application itself answers passes as it is; one that is away is not
// authhost's fault.
func TestGatewayApplicationAnswers(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	eachGateway(t, idp.realm("")+gitops, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		editor := bearer(idp.token(t, "editor", nil))
		for _, path := range []string{"/failing/400", "/failing/401", "/failing/403", "/failing/404", "/failing/500", "/failing/503"} {
			a := g.ask(t, "GET", path, editor...)
			if !strings.HasSuffix(path, a.String()[:3]) || !strings.Contains(a.body, "the application's own") {
				t.Errorf("%s: got %s", path, a)
			}
		}
		g.server.Close()
		if a := g.ask(t, "GET", "/", editor...); a.status != http.StatusBadGateway {
			t.Errorf("without the application: %s", a)
		}
	})
}
