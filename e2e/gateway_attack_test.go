package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// withGateways runs the policy behind each gateway and test with the header of
// an editor.
func withGateways(t *testing.T, test func(t *testing.T, g *gateway, editor []string)) {
	idp := newIssuer(t)
	eachGateway(t, idp.realm("")+gitops, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		test(t, g, bearer(idp.token(t, "editor", map[string]any{"roles": []string{"editor"}, "groups": []string{"ops"}})))
	})
}

const guarded = "/api/gitops/sync"

// /healthz is public: a client says in every convention that it wants that.
func TestAttack01_spoofed_forwarded_headers_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		all := []string{
			"X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "console.example", "X-Forwarded-Uri", "/healthz",
			"X-Original-Method", "GET", "X-Original-URL", "http://console.example/healthz", "X-Rewrite-URL", "/healthz",
			"X-Original-Uri", "/healthz", "X-Forwarded-For", "127.0.0.1",
		}
		for i := 0; i < len(all); i += 2 {
			g.refuses(t, http.StatusUnauthorized, "POST", guarded, all[i:i+2]...)
			g.refuses(t, http.StatusUnauthorized, "POST", guarded, all[i], all[i+1], all[i], all[i+1])
		}
		g.refuses(t, http.StatusUnauthorized, "POST", guarded, all...)

		// Nor may the application take a request that passed for another one.
		r := g.passes(t, "POST", guarded, append(all, editor...)...)
		for _, name := range mistaken {
			if got := r.Header[name]; got != nil {
				t.Errorf("the client's %s reached the application: %q", name, got)
			}
		}
		// The endpoints themselves are not to be had from outside.
		for _, path := range []string{"/authz/forward-auth", "/authz/auth-request", "/authz/ext-authz/healthz"} {
			g.refuses(t, http.StatusUnauthorized, "GET", path, all...)
		}
		if g.name == "nginx" { // which drops every header with such a name
			g.passes(t, "POST", guarded, append([]string{"X.Original.URL", lie, "X.Forwarded.Uri", lie}, editor...)...)
			g.refuses(t, http.StatusNotFound, "GET", "/_authhost", all...)
			g.refuses(t, http.StatusNotFound, "GET", "/%5fauthhost", all...)
		}
	})
}

// An application that heeds such a header would do for a POST, judged as one,
// what a DELETE is to do, or take it for one of another path or host.
func TestAttackMistakenHeadersThroughGateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, name := range append(mistaken, "X-Forwarded-Host", "X-Forwarded-Proto") {
			for _, spelling := range []string{
				name, strings.ToLower(name), strings.ToUpper(name),
				strings.ReplaceAll(name, "-", "_"), strings.ToUpper(strings.ReplaceAll(name, "-", "_")), strings.Replace(name, "-", "_", 1),
			} {
				g.passes(t, "POST", guarded, append([]string{spelling, lie, spelling, lie}, editor...)...)
				g.passes(t, "POST", guarded, append([]string{spelling, lie, "Connection", name}, editor...)...)
			}
		}
	})
}

func TestAttack02_user_agent_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, _ []string) {
		for _, agent := range []string{"kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"} {
			g.refuses(t, http.StatusUnauthorized, "GET", "/", "User-Agent", agent)
		}
	})
}

func TestAttack04_query_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, query := range []string{"?/healthz", "?x=/../../healthz", "?path=/healthz&next=//healthz", "?a=1?b=2", "?%2e%2e%2fhealthz"} {
			g.refuses(t, http.StatusUnauthorized, "POST", guarded+query)
			g.passes(t, "POST", guarded+query, editor...)
		}
	})
}

func TestAttack05_header_spellings_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, name := range identityHeaders {
			for _, spelling := range []string{
				strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.ToUpper(strings.ReplaceAll(name, "-", "_")),
				strings.Replace(name, "-", "_", 1), strings.Replace(name, "h-R", "h_r", 1), strings.Replace(name, "X-", "X~", 1),
			} {
				header := append([]string{spelling, lie}, editor...)
				before := g.asked.Load()
				a := g.ask(t, "POST", guarded, header...)
				switch {
				case a.status == http.StatusOK:
					r := g.received(t, a) // complains of every lie
					checkIdentity(t, g, &r, map[string]string{"User": "editor", "Realm": "main", "Roles": "editor", "Groups": "ops",
						"Email": "editor@console.example", "Credential": "header/jwt"})
				case a.status != http.StatusBadRequest || g.asked.Load() != before:
					t.Errorf("%s: %s", spelling, a)
				}
				if g.name == "caddy" && a.status == http.StatusOK && !strings.Contains(spelling, "_") { // which drops no other
					t.Errorf("%s was let through", spelling)
				}
			}
			// Letter case is no other spelling, and a second line no way round.
			g.passes(t, "POST", guarded, append([]string{strings.ToLower(name), lie, strings.ToUpper(name), lie}, editor...)...)
		}
	})
}

// Where nobody is known, the client's copies do not survive either.
func TestAttack06_nobody_known_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, header := range [][]string{nil, editor} {
			r := g.passes(t, "GET", "/healthz", header...)
			if who := r.identity(); len(who) > 0 {
				t.Errorf("a public route tells who it was: %q", who)
			}
		}
	})
}

// A path that could be read in two ways goes nowhere, whoever asks.
func TestAttack10_paths_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, target := range []string{
			"/healthz/../api/gitops/sync", "/healthz/%2e%2e/api/gitops/sync", "/healthz/%2E./api/gitops/sync", "/./healthz", "/api/%2e/x",
			"/api/gitops/../gitops/sync", "/api/gitops/sync/.", "/api/gitops/sync/..", "/../healthz", "/%2e%2e/healthz",
			"/healthz;/api", "/api;v=1/gitops/sync", "/api/gitops/sync%3b", "/api/gitops%5csync", `/api\gitops\sync`, `/healthz/..\api`,
			"/api/%252e%252e/x", "/api/gitops/sync%00", "/api/gitops/sync%0a", "/api/%ff", "/api/%zz", "/api/%",
			"/v1/login/../../api/gitops/sync", "/v1/login;x", "/authz/../api/gitops/sync",
		} {
			g.refuses(t, http.StatusBadRequest, "POST", target, editor...)
			g.refuses(t, http.StatusBadRequest, "POST", target)
		}
		// The way to authhost itself is no way round either.
		for _, target := range []string{
			"/authz/ext-authz/../../v1/login", "/authz/auth-request/../../v1/login", "/authz/forward-auth/%2e%2e/%2e%2e/v1/login",
			"/healthz/../v1/login", "/v1/login/../logout", "/v1/login/../login",
		} {
			before := g.asked.Load()
			a := g.ask(t, "POST", target, editor...)
			if a.status < 300 || g.asked.Load() != before || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %s", target, a)
			}
		}
	})
}

func TestAttack11_encoded_slash_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, target := range []string{"/api%2fgitops/sync", "/api%2Fgitops/sync", "/healthz%2f..%2fapi/gitops/sync", "/%2fapi/gitops/sync", "/api/gitops/sync%2F"} {
			g.refuses(t, http.StatusBadRequest, "POST", target, editor...)
			g.refuses(t, http.StatusBadRequest, "POST", target)
		}
	})
}

func TestAttack03_fragment_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, target := range []string{"/healthz#/../api", "/healthz%23/api/gitops/sync", "/api/gitops/sync%23", "/%23/healthz"} {
			g.refuses(t, http.StatusBadRequest, "POST", target, editor...)
			g.refuses(t, http.StatusBadRequest, "POST", target)
		}
	})
}

// What a client writes as an authority is none: the path is judged as a path.
func TestAttack14_authorities_through_gateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, target := range []string{"//healthz/api/gitops/sync", "//api/gitops/sync", "/api//gitops/sync", "/api/gitops/sync//", "///healthz"} {
			g.refuses(t, http.StatusBadRequest, "POST", target, editor...)
			g.refuses(t, http.StatusBadRequest, "POST", target)
		}
		status := http.StatusUnauthorized
		if g.name == "nginx" { // which goes by two hosts otherwise
			status = http.StatusBadRequest
		}
		g.refuses(t, status, "POST", "http://healthz"+guarded)
		g.refuses(t, http.StatusUnauthorized, "POST", "http://console.example"+guarded)
	})
}

// A gateway that is not in the trust list gets no decision, and nobody passes.
func TestAttack36_untrusted_gateways(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	eachGateway(t, "trusted_proxies: [192.0.2.1/32]\n"+idp.realm("")+gitops, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		for _, path := range []string{guarded, "/healthz", "/", "/authz/forward-auth"} {
			g.refuses(t, http.StatusBadRequest, "GET", path, bearer(idp.token(t, "admin", nil))...)
			g.refuses(t, http.StatusBadRequest, "GET", path)
		}
		const warning = "a peer that is no trusted gateway asked for a decision; if it is yours, list it in trusted_proxies"
		eventually(t, "the log naming the peer", func() bool {
			lines := h.logged(warning)
			return len(lines) > 0 && lines[0]["peer"] == "127.0.0.1"
		})
	})
}

// A Connection header makes a gateway drop what it names when it forwards:
// that must not be what authhost said.
func TestAttackConnectionHeaderThroughGateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		whole := strings.Join(identityHeaders, ", ")
		for _, connection := range [][]string{
			{"Connection", "X-Auth-Request-User"},
			{"Connection", "close, X-Auth-Request-User, x-auth-request-roles"},
			{"Connection", whole},
			{"Connection", "close", "Connection", whole},
			{"Connection", "Upgrade, " + whole, "Upgrade", "websocket"},
			{"Connection", whole, "Connection", "upgrade", "Upgrade", "WebSocket"},
			{"Connection", "Upgrade, " + whole, "Upgrade", "h2c"},
			{"Connection", "Authorization, Cookie, X-Forwarded-Uri, X-Original-URL, X-Forwarded-Method, Host"},
			{"Keep-Alive", "X-Auth-Request-User", "Proxy-Connection", whole, "TE", "trailers"},
		} {
			r := g.passes(t, "POST", guarded, append(connection, editor...)...)
			checkIdentity(t, g, &r, map[string]string{"User": "editor", "Realm": "main", "Roles": "editor", "Groups": "ops",
				"Email": "editor@console.example", "Credential": "header/jwt"})
		}
		g.refuses(t, http.StatusUnauthorized, "POST", guarded, "Connection", "X-Forwarded-Uri, X-Original-URL, X-Forwarded-Method")
	})
}

// An upgrade to another HTTP would carry requests that nobody judges.
func TestAttackUpgradeThroughGateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		for _, upgrade := range [][]string{
			{"Upgrade", "h2c"}, {"Upgrade", "H2C"}, {"Upgrade", "HTTP/2.0"}, {"Upgrade", "TLS/1.2"}, {"Upgrade", "anything"},
			{"Upgrade", "h2c", "Upgrade", "websocket"}, {"Upgrade", "websocket", "Upgrade", "h2c"}, {"Upgrade", "websocket, h2c"}, {"Upgrade", "h2c,websocket"},
		} {
			header := append(append([]string{"Connection", "Upgrade, HTTP2-Settings", "HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"}, upgrade...), editor...)
			c := g.open(t, "GET", "/ws/upgraded", "", header...)
			got := c.Header.Get("Upgrade")
			if c.StatusCode != http.StatusOK && (c.StatusCode != http.StatusSwitchingProtocols || got != "websocket") && c.StatusCode != http.StatusBadRequest {
				t.Errorf("%q: %s, upgraded to %q", upgrade, c.Status, got)
			}
			c.conn.Close()
		}
	})
}

// Trailers of a request are not headers of it.
func TestAttackTrailersThroughGateways(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		trailers := ""
		for i := 0; i < len(lies); i += 2 {
			trailers += lies[i] + ": " + lies[i+1] + "\r\n"
		}
		body := "4\r\nbody\r\n0\r\n" + trailers + "\r\n"
		a := g.askBody(t, "POST", guarded, body, append([]string{"Transfer-Encoding", "chunked", "Trailer", strings.Join(identityHeaders, ",")}, editor...)...)
		r := g.received(t, a)
		if r.Length != 4 {
			t.Errorf("a body of %d bytes", r.Length)
		}
	})
}

// A method, a Host or a request line that is not plain is refused.
func TestGatewayOddRequests(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		g.refuses(t, http.StatusBadRequest, "post", guarded, editor...)
		g.refuses(t, http.StatusBadRequest, "POST", guarded, append([]string{"Host", "console.example", "Host", "other.example"}, editor...)...)
		g.refuses(t, http.StatusBadRequest, "POST", guarded, append([]string{"Host", ""}, editor...)...)
		g.refuses(t, http.StatusBadRequest, "POST", guarded, append([]string{"Host", "a b"}, editor...)...)

		request := fmt.Sprintf("POST %s HTTP/1.0\r\n%s: %s\r\n\r\n", guarded, editor[0], editor[1])
		if a := talk(t, g.dial(t), "POST", request).read(t); a.status != http.StatusBadRequest {
			t.Errorf("HTTP/1.0 without Host: %s", a)
		}
		if n := g.asked.Load(); n != 0 {
			t.Errorf("the application was asked %d times", n)
		}
	})
}
