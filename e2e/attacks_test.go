package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// conventions ask about one request as the three kinds of gateways do.
var conventions = []struct {
	name string
	ask  func(t testing.TB, h *authhost, method, path string, header ...string) answer
}{
	{"forward-auth", func(t testing.TB, h *authhost, method, path string, header ...string) answer {
		return h.forwardAuth(t, method, path, header...)
	}},
	{"auth-request", func(t testing.TB, h *authhost, method, path string, header ...string) answer {
		return get(t, h.public+"/authz/auth-request", append([]string{"X-Original-Method", method, "X-Original-Url", "https://console.example" + path}, header...)...)
	}},
	{"ext-authz", func(t testing.TB, h *authhost, method, path string, header ...string) answer {
		return ask(t, method, h.public+"/authz/ext-authz"+path, append([]string{"Host", "console.example"}, header...)...)
	}},
}

// Only the headers of an endpoint's own convention say what is asked about.
func TestAttack01_spoofed_uri_at_every_endpoint(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	for _, c := range conventions {
		if a := c.ask(t, h, "GET", "/public"); a.status != http.StatusOK {
			t.Fatalf("%s: /public: %s", c.name, a)
		}
		for _, lie := range [][]string{
			{"X-Forwarded-Uri", "/public"}, {"X-Forwarded-Path", "/public"}, {"X-Forwarded-Prefix", "/public"}, {"X-Original-Uri", "/public"},
			{"X-Original-Url", "https://console.example/public"}, {"X-Rewrite-Url", "/public"}, {"X_Forwarded_Uri", "/public"},
			{"X_Original_Url", "https://console.example/public"}, {"Forwarded", "host=console.example;proto=https"}, {"X-HTTP-Method-Override", "OPTIONS"},
			{"X-Envoy-Original-Path", "/public"},
		} {
			// Beside the gateway's own header of that name it is one too many.
			if a := c.ask(t, h, "POST", "/x", lie...); a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest {
				t.Errorf("%s with %s: %s", c.name, lie[0], a)
			}
		}
	}
	for what, header := range map[string][]string{
		"two X-Forwarded-Uri":          forwarded("GET", "/public", "X-Forwarded-Uri", "/x"),
		"two X-Forwarded-Uri, swapped": forwarded("GET", "/x", "X-Forwarded-Uri", "/public"),
		"no X-Forwarded-Uri":           forwarded("GET", "/public")[:6],
		"none":                         nil,
	} {
		if a := get(t, h.public+"/authz/forward-auth", header...); a.status != http.StatusBadRequest {
			t.Errorf("%s: %s", what, a)
		}
	}
}

// Who is no gateway of ours gets no decision, not even about what is public.
func TestAttack36_untrusted_peer_at_every_endpoint(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, listen+"trusted_proxies: [192.0.2.1/32]\n"+idp.realm("")+memoryCache+`
routes: [{path: "/**", authenticate: none}]
`)
	h.awaitReady(t)
	good := bearer(idp.token(t, "alice", nil))
	for _, c := range conventions {
		for _, header := range [][]string{nil, good, append(good, "X-Forwarded-For", "192.0.2.1"), append(good, "X-Real-Ip", "192.0.2.1")} {
			a := c.ask(t, h, "GET", "/x", header...)
			if a.status != http.StatusBadRequest || a.header.Get("X-Auth-Request-User") != "" {
				t.Errorf("%s with %d headers: %s", c.name, len(header)/2, a)
			}
		}
	}
	for _, path := range []string{"/authz/forward-auth", "/authz/auth-request", "/authz/ext-authz", "/authz/ext-authz/"} {
		if a := get(t, h.public+path, good...); a.status != http.StatusBadRequest {
			t.Errorf("%s: %s", path, a)
		}
	}
	eventually(t, "the log naming the peer", func() bool {
		return strings.Contains(h.output.String(), "peer 127.0.0.1 is not in trusted_proxies")
	})
}

// teamConfig is the policy of the console with a plugin more, on one route
// only, that sets X-Team for some requests.
func teamConfig(t *testing.T, idp *issuer) string {
	t.Helper()
	module := filepath.Join(t.TempDir(), "team.wasm")
	if err := buildGuest(filepath.Join("testdata", "team"), module); err != nil {
		t.Fatal(err)
	}
	return listen + idp.realm("") + memoryCache + fmt.Sprintf(`
plugins:
  - {name: team, module: %q, headers: [X-Team, X-Squad]}
routes:
  - {path: /public, authenticate: none}
  - {path: "/optional/**", authenticate: optional, default: allow}
  - {path: "/team/**", plugins: [team]}
  - {path: "/**", default: allow}
`, module)
}

// Every header that authhost or any plugin may set is on every 200, once, so
// that no gateway lets the client's copy through.
func TestAttack43_plugin_header_on_every_answer(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, teamConfig(t, idp))
	h.awaitReady(t)
	good := bearer(idp.token(t, "alice", nil))
	lies := []string{"X-Team", "mallory", "X-Squad", "mallory", "X-Auth-Request-User", "mallory", "X-Auth-Request-Roles", "admin"}
	for _, c := range []struct {
		path             string
		header           []string
		user, team, text string
	}{
		{"/team/red", good, "alice", "red", "the plugin sets one of its two"},
		{"/team/none", good, "alice", "", "it allows and sets none"},
		{"/other", good, "alice", "", "it is not on the route"},
		{"/optional/x", nil, "", "", "nobody is known"},
		{"/optional/x", good, "alice", "", "optional, and somebody is"},
		{"/public", good, "", "", "no credential is read"},
		{"/public", nil, "", "", "nothing is asked"},
	} {
		for _, by := range conventions {
			a := by.ask(t, h, "GET", c.path, append(c.header, lies...)...)
			if a.status != http.StatusOK {
				t.Fatalf("%s: %s: %s", by.name, c.path, a)
			}
			for _, name := range append([]string{"X-Team", "X-Squad"}, identityHeaders...) {
				if n := len(a.header[name]); n != 1 {
					t.Errorf("%s: %s (%s): %s is there %d times", by.name, c.path, c.text, name, n)
				}
			}
			if user, team := a.header.Get("X-Auth-Request-User"), a.header.Get("X-Team"); user != c.user || team != c.team || a.header.Get("X-Squad") != "" {
				t.Errorf("%s: %s (%s): user %q, team %q, squad %q", by.name, c.path, c.text, user, team, a.header.Get("X-Squad"))
			}
			if strings.Contains(fmt.Sprint(a.header), "mallory") {
				t.Errorf("%s: %s: the client's word came back: %v", by.name, c.path, a.header)
			}
		}
	}
	for _, by := range conventions {
		a := by.ask(t, h, "GET", "/team/denied", append(good, lies...)...)
		if a.status != http.StatusForbidden || a.header.Get("X-Team") != "denied" || len(a.header["X-Team"]) != 1 {
			t.Errorf("%s: a deny: %s %v", by.name, a, a.header)
		}
		for _, name := range []string{"X_Team", "X-Team_", "x_squad", "X_Auth_Request_User", "X-Auth_Request-Roles"} {
			want := http.StatusBadRequest
			if name == "X-Team_" { // another name
				want = http.StatusOK
			}
			if a := by.ask(t, h, "GET", "/other", append(good, name, "mallory")...); a.status != want {
				t.Errorf("%s: %s: %s, want %d", by.name, name, a, want)
			}
		}
	}
}

// An allow never leaves an identity header out; what an item holds cannot be
// taken for the list's own commas.
func TestAttack37_lists_through_the_program(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	token := idp.token(t, "alice", map[string]any{
		"sub": "alice,admin", "roles": []string{"x,admin", "b%2Cc", "é", ""}, "groups": []string{"ops", "a b\r\nX-Auth-Request-User: root"},
		"email": "alice@console.example,root@console.example",
	})
	h.login(t, token)
	for _, credential := range [][]string{bearer(token), bearer(h.login(t, token).token)} {
		a := h.expect(t, 200, "odd names", credential...)
		for name, want := range map[string]string{
			"User": "alice%2Cadmin", "Roles": "x%2Cadmin,b%252Cc,%C3%A9", "Groups": "ops,a%20b%0D%0AX-Auth-Request-User:%20root",
			"Email": "alice@console.example%2Croot@console.example",
		} {
			if got := a.header["X-Auth-Request-"+name]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

// Whatever could be read in two ways is refused before anyone is asked who it
// is, and by every endpoint alike.
func TestAttack10_paths_at_every_endpoint(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	good := bearer(idp.token(t, "alice", nil))
	for _, path := range []string{
		"/public/../x", "/public/./x", "/public/..", "/public%2f..%2fx", "/public/%2e%2e/x", "/public/%2E./x", "/x/%2fpublic", "/x%5cpublic",
		"/public;/x", "/x;a=b", "/public%3b/x", "/public//x", "//public", "//x/public", "/public%00", "/public%0a", "/public%23", "/public%3fx",
		"/public%252f", "/public%25%32%66", "/public%c0%af", "/public%ff", "/public%", "/public%2", "/public%zz", "/public%e0%80%af",
	} {
		for _, by := range conventions {
			if strings.Contains(path, "%zz") || strings.HasSuffix(path, "%") || strings.HasSuffix(path, "%2") {
				if by.name == "ext-authz" {
					continue // no client of net/http sends such a request line
				}
			}
			for _, header := range [][]string{nil, good} {
				if a := by.ask(t, h, "GET", path, header...); a.status != http.StatusBadRequest {
					t.Errorf("%s: %s: %s", by.name, path, a)
				}
			}
		}
	}
	// A public page is public by its own bytes only.
	for _, by := range conventions {
		for path, status := range map[string]int{"/public": 200, "/public?a=/x": 200, "/%70ublic": 401, "/Public": 401, "/public/": 401, "/x?/public": 401} {
			if a := by.ask(t, h, "GET", path); a.status != status {
				t.Errorf("%s: %s: %s, want %d", by.name, path, a, status)
			}
		}
	}
}

// Nothing in a token says where its key is to be found.
func TestAttack31_keys_named_by_the_token(t *testing.T) {
	idp, evil := newIssuer(t), newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	own := jose.JSONWebKey{Key: &evil.key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}
	for _, header := range []map[string]any{
		{"jku": evil.url + "/jwks.json", "kid": "k1"},
		{"x5u": evil.url + "/cert.pem", "kid": "k1"},
		{"jwk": own, "kid": "k1"},
		{"jwk": own},
		{"kid": evil.url + "/jwks.json"},
		{"kid": "../../../../dev/null"},
		{"kid": "k1' OR '1'='1"},
	} {
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, idp.claims("alice", nil))
		for name, value := range header {
			token.Header[name] = value
		}
		text, err := token.SignedString(evil.key)
		if err != nil {
			t.Fatal(err)
		}
		h.expect(t, 401, fmt.Sprintf("%v", slices.Sorted(maps.Keys(header))), bearer(text)...)
	}
	if n := evil.fetches.Load(); n != 0 {
		t.Errorf("the token's own server was asked %d times", n)
	}
}

// A token of a million dots is refused as any other, or by the limit of
// headers, and disturbs nobody.
func TestAttack28_dots_through_the_program(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	for _, n := range []int{2, 3, 1000, 16 << 10, 60_000} {
		h.expect(t, 401, fmt.Sprintf("%d dots", n), bearer(strings.Repeat(".", n))...)
		h.expect(t, 401, fmt.Sprintf("%d dots in a cookie", n), "Cookie", "kc_auth="+strings.Repeat(".", n))
	}
	h.expect(t, http.StatusRequestHeaderFieldsTooLarge, "a million dots", bearer(strings.Repeat(".", 1_000_000))...)
	h.expect(t, 200, "a good one", bearer(idp.token(t, "alice", nil))...)
}

// A key that its issuer withdrew counts no more, though its tokens were
// remembered; nor does one that was taken out of a file.
func TestAttack42_withdrawn_key(t *testing.T) {
	t.Parallel()
	idp, filed := newIssuer(t), newIssuer(t)
	set := func(key *jose.JSONWebKey) string {
		b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{*key}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	writeFile(t, file, set(&jose.JSONWebKey{Key: &filed.key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}))
	h := serve(t, listen+memoryCache+open+fmt.Sprintf(`
realms:
  - name: main
    issuers:
      - {issuer: %q, audiences: [console], jwks_url: %q, jwks_max_age: 8s}
      - {issuer: %q, audiences: [console], jwks_file: %q}
`, idp.url, idp.url, filed.url, file))
	h.awaitReady(t)
	for _, c := range []struct {
		name     string
		issuer   *issuer
		withdraw func()
	}{
		{"url", idp, func() { idp.withdrawn.Store(true) }},
		{"file", filed, func() {
			replaceFile(t, file, set(&jose.JSONWebKey{Key: &filed.other.PublicKey, KeyID: "k2", Algorithm: "RS256", Use: "sig"}))
		}},
	} {
		remembered := c.issuer.token(t, "alice", nil)
		live := h.login(t, remembered)
		for range 3 {
			h.expect(t, 200, c.name+": before", bearer(remembered)...)
		}
		c.withdraw()
		eventually(t, c.name+": the end of the key", func() bool {
			return h.at(t, "console.example", bearer(remembered)...).status == http.StatusUnauthorized
		})
		h.expect(t, 401, c.name+": never seen before", bearer(c.issuer.token(t, "alice", map[string]any{"jti": "new"}))...)
		h.expect(t, 200, c.name+": a session has a life of its own", bearer(live.token)...)

		next := jwt.NewWithClaims(jwt.SigningMethodRS256, c.issuer.claims("alice", nil))
		next.Header["kid"] = "k2"
		text, err := next.SignedString(c.issuer.other)
		if err != nil {
			t.Fatal(err)
		}
		h.expect(t, 200, c.name+": by the key that took its place", bearer(text)...)
	}
}
