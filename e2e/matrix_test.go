package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// matrix is every header with every cookie, all of one user, on a route with
// the plugin cookie-fallback and on one without: the answer is 401, or 200 by
// the credential that is named. The verdict is that on the header, as the log
// tells it.
const matrix = `
                                     with the plugin, cookie              without, cookie
header               verdict         absent  good    expired wrong-key    absent  good    expired wrong-key
-----------------------------------------------------------------------------------------------------------
absent               -               401     cookie  401     401          401     cookie  401     401
garbage              malformed       401     cookie  401     401          401     401     401     401
basic                malformed       401     cookie  401     401          401     401     401     401
scheme-alone         malformed       401     cookie  401     401          401     401     401     401
scheme-and-blanks    malformed       401     cookie  401     401          401     401     401     401
lower-case-scheme    valid           header  header  header  header       header  header  header  header
wrong-key            bad_signature   401     cookie  401     401          401     401     401     401
expired              expired         401     cookie  401     401          401     401     401     401
not-yet-valid        not_yet_valid   401     cookie  401     401          401     401     401     401
wrong-issuer         wrong_issuer    401     cookie  401     401          401     401     401     401
wrong-audience       wrong_audience  401     cookie  401     401          401     401     401     401
alg-none             malformed       401     cookie  401     401          401     401     401     401
hs256-by-public-key  bad_signature   401     cookie  401     401          401     401     401     401
logged-out           revoked         401     cookie  401     401          401     401     401     401
good                 valid           header  header  header  header       header  header  header  header
`

// matrixHeaders are the rows as they are sent, byte by byte; in braces stands
// a token.
var matrixHeaders = map[string]string{
	"absent":              "",
	"garbage":             "Authorization: garbage",
	"basic":               "Authorization: Basic x",
	"scheme-alone":        "Authorization: Bearer",
	"scheme-and-blanks":   "Authorization: Bearer  \t  ",
	"lower-case-scheme":   "Authorization: bearer {good}",
	"wrong-key":           "Authorization: Bearer {wrong-key}",
	"expired":             "Authorization: Bearer {expired}",
	"not-yet-valid":       "Authorization: Bearer {not-yet-valid}",
	"wrong-issuer":        "Authorization: Bearer {wrong-issuer}",
	"wrong-audience":      "Authorization: Bearer {wrong-audience}",
	"alg-none":            "Authorization: Bearer {alg-none}",
	"hs256-by-public-key": "Authorization: Bearer {hs256-by-public-key}",
	"logged-out":          "Authorization: Bearer {logged-out}",
	"good":                "Authorization: Bearer {good}",
}

// matrixCookies are the columns.
var matrixCookies = [4]struct{ line, verdict string }{
	{"", "-"},
	{"Cookie: kc_auth={good-cookie}", "valid"},
	{"Cookie: theme=dark; kc_auth={expired}", "expired"},
	{"Cookie: kc_auth={wrong-key}", "bad_signature"},
}

// matrixRoutes hold one route for each way of choosing a credential.
const matrixRoutes = `
cache: {driver: memory}
plugins:
  - {name: cookie-fallback, module: PLUGINS/cookie-fallback.wasm, config: {cookies: [kc_auth, __Host-authhost]}}
  - {name: user-change, module: PLUGINS/cookie-fallback.wasm, config: {cookies: [kc_auth, __Host-authhost], allow_user_change: true}}
routes:
  - {path: "/fallback/**", plugins: [cookie-fallback], default: allow}
  - {path: "/change/**", plugins: [user-change], default: allow}
  - {path: "/strict/**", default: allow}
`

func TestHeaderCookieMatrix(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+matrixRoutes)
	h.awaitReady(t)
	fill := matrixTokens(t, idp, h)

	_, table, _ := strings.Cut(matrix, "---\n")
	want := map[string]string{} // by path: what the log tells of the cell
	for row := range strings.Lines(table) {
		f := strings.Fields(row)
		header, verdict := f[0], f[1]
		for column, answer := range f[2:] {
			way, cookie := []string{"fallback", "strict"}[column/4], matrixCookies[column%4]
			path := "/" + way + "/" + header + "/" + cookie.verdict
			a := h.forwardRaw(t, path, fill.Replace(matrixHeaders[header]), fill.Replace(cookie.line))
			checkCell(t, path, answer, a)

			var tried []string
			if verdict != "-" {
				tried = append(tried, triedAs("header", verdict))
			}
			if cookie.verdict != "-" && (verdict == "-" || verdict != "valid" && way == "fallback") {
				tried = append(tried, triedAs("cookie", cookie.verdict))
			}
			want[path] = strings.Join(tried, ",")
		}
	}
	if n := len(want); n != 2*60 {
		t.Fatalf("the matrix has %d cells", n)
	}
	var got map[string]string
	eventually(t, "a log line for each cell", func() bool { got = h.tried(); return len(got) == len(want) })
	for path, tried := range want {
		if got[path] != tried {
			t.Errorf("%s: tried %q, want %q", path, got[path], tried)
		}
	}
}

// tried returns what the log tells of forward-auth requests, by path.
func (h *authhost) tried() map[string]string {
	tried := map[string]string{}
	for _, line := range h.logged("request") {
		if path, _ := line["path"].(string); line["edge"] == "forward-auth" {
			tried[path], _ = line["tried"].(string)
		}
	}
	return tried
}

// triedAs is how the log tells what was said of a credential.
func triedAs(source, verdict string) string {
	kind := "jwt"
	if verdict == "malformed" {
		kind = "malformed"
	}
	return source + "/" + kind + ":" + verdict
}

// checkCell compares an answer with what the matrix says.
func checkCell(t *testing.T, what, cell string, a answer) {
	t.Helper()
	got := fmt.Sprint(a.status)
	if a.status == http.StatusOK {
		got = strings.TrimSuffix(a.header.Get("X-Auth-Request-Credential"), "/jwt")
		if user := a.header.Get("X-Auth-Request-User"); user != "alice" {
			t.Errorf("%s: user %q", what, user)
		}
	}
	if got != cell {
		t.Errorf("%s: got %s, want %s", what, got, cell)
	}
	const body = `{"type":"about:blank","title":"Unauthorized","status":401,"reason":"unauthenticated"}` + "\n"
	if a.status == http.StatusUnauthorized && (a.body != body || a.header.Get("WWW-Authenticate") != "Bearer") {
		t.Errorf("%s: a 401 that differs from the others: %v %s", what, a.header, a.body)
	}
}

// matrixTokens makes the tokens that stand in braces in the matrix, all of
// alice.
func matrixTokens(t *testing.T, idp *issuer, h *authhost) *strings.Replacer {
	t.Helper()
	good := idp.claims("alice", nil)
	out := idp.token(t, "alice", map[string]any{"jti": "logged out"})
	if a := ask(t, "POST", h.public+"/v1/logout", bearer(out)...); a.status != http.StatusNoContent {
		t.Fatalf("logout: %s", a)
	}
	return strings.NewReplacer(
		"{good}", idp.token(t, "alice", nil),
		"{good-cookie}", idp.token(t, "alice", map[string]any{"jti": "cookie"}),
		"{wrong-key}", sign(t, jwt.SigningMethodRS256, idp.other, good),
		"{expired}", idp.expired(t, "alice"),
		"{not-yet-valid}", idp.token(t, "alice", map[string]any{"nbf": inHours(1), "exp": inHours(2)}),
		"{wrong-issuer}", idp.token(t, "alice", map[string]any{"iss": "https://elsewhere.example"}),
		"{wrong-audience}", idp.token(t, "alice", map[string]any{"aud": "elsewhere"}),
		"{alg-none}", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good),
		"{hs256-by-public-key}", sign(t, jwt.SigningMethodHS256, publicPEM(t, &idp.key.PublicKey), good),
		"{logged-out}", out,
	)
}

// forwardRaw asks as Traefik and Caddy do, with lines sent byte by byte as
// they are, empty ones left out.
func (h *authhost) forwardRaw(t testing.TB, path string, lines ...string) answer {
	t.Helper()
	head := "GET /authz/forward-auth HTTP/1.1\r\nHost: authhost\r\nConnection: close\r\n"
	for i, own := 0, forwarded("POST", path); i < len(own); i += 2 {
		head += own[i] + ": " + own[i+1] + "\r\n"
	}
	for _, line := range lines {
		if line != "" {
			head += line + "\r\n"
		}
	}
	return talk(t, dial(t, h.public), "GET", head+"\r\n").read(t)
}

// dial connects to one of authhost's listeners.
func dial(t testing.TB, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// A valid header ends the search: whatever is in the cookie is neither judged
// nor looked up.
func TestValidHeaderHidesTheCookie(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+matrixRoutes)
	h.awaitReady(t)
	header := bearer(idp.token(t, "alice", nil))
	session := h.login(t, idp.token(t, "bob", nil)).token
	reads := func() float64 { return h.metric(t, "authhost_cache_operations_total", `op="get"`) }

	before := reads()
	cookies := []string{"kc_auth=" + session, "kc_auth=" + idp.token(t, "bob", nil), "kc_auth=garbage", "kc_auth=1; kc_auth=2", "__Host-authhost=" + session}
	for i, cookie := range cookies {
		for _, way := range []string{"fallback", "change", "strict"} {
			a := h.forwardAuth(t, "POST", fmt.Sprintf("/%s/hidden/%d", way, i), append(header, "Cookie", cookie)...)
			if a.status != http.StatusOK || a.header.Get("X-Auth-Request-User") != "alice" || a.header.Get("X-Auth-Request-Credential") != "header/jwt" {
				t.Errorf("%s with %.20s…: %s as %q", way, cookie, a, a.header.Get("X-Auth-Request-User"))
			}
		}
	}
	asked := 3 * len(cookies)
	if n := reads() - before; int(n) != asked {
		t.Errorf("%v reads of the cache for %d requests: one each, for the header's revocation", n, asked)
	}
	if n := h.metric(t, "authhost_verdicts_total", `source="cookie"`); n != 0 {
		t.Errorf("%v verdicts on cookies", n)
	}
	eventually(t, "the log lines", func() bool { return h.countTried("/hidden/", "header/jwt:valid") == asked })
}

// countTried returns how many requests for paths with the given part tried
// exactly that.
func (h *authhost) countTried(part, tried string) (n int) {
	for _, line := range h.logged("request") {
		if path, _ := line["path"].(string); strings.Contains(path, part) && line["tried"] == tried {
			n++
		}
	}
	return n
}

// The cookies are tried in the plugin's order, each once, until one counts.
func TestFallbackTriesEachOnce(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+matrixRoutes)
	h.awaitReady(t)
	expired := idp.expired(t, "alice")
	session := h.login(t, idp.token(t, "alice", nil)).token
	for n, c := range []struct {
		cookies          string
		credential, user string
		tried            string
	}{
		{"kc_auth=" + expired + "; __Host-authhost=" + session, "cookie/session", "alice", "header/jwt:expired,cookie/jwt:expired,cookie/session:valid"},
		{"__Host-authhost=" + session + "; kc_auth=garbage", "cookie/session", "alice", "header/jwt:expired,cookie/malformed:malformed,cookie/session:valid"},
		{"kc_auth=" + session + "; __Host-authhost=" + expired, "cookie/session", "alice", "header/jwt:expired,cookie/session:valid"},
		{"kc_auth=" + session + "; kc_auth=" + session, "", "", "header/jwt:expired,cookie/malformed:malformed"},
		{"kc_auth=" + expired + "; __Host-authhost=" + session[:len(session)-1], "", "", "header/jwt:expired,cookie/jwt:expired,cookie/session:malformed"},
		{"other=" + session, "", "", "header/jwt:expired"},
	} {
		path := fmt.Sprintf("/fallback/each/%d", n)
		a := h.forwardAuth(t, "POST", path, append(bearer(expired), "Cookie", c.cookies)...)
		if got := a.header.Get("X-Auth-Request-Credential"); got != c.credential || a.header.Get("X-Auth-Request-User") != c.user || (a.status == http.StatusOK) != (c.user != "") {
			t.Errorf("%d: got %s by %q", n, a, got)
		}
		eventually(t, c.tried, func() bool { return h.countTried(path, c.tried) == 1 })
	}
}

// A header that names Alice for certain, and counts no more, must not let
// Bob's cookie act, unless the plugin is told that it may.
func TestAttack39_header_of_one_user_cookie_of_another(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+matrixRoutes)
	h.awaitReady(t)
	out := idp.token(t, "alice", map[string]any{"jti": "out"})
	over := h.login(t, idp.token(t, "alice", nil)).token
	for _, token := range []string{out, over} {
		if a := ask(t, "POST", h.public+"/v1/logout", bearer(token)...); a.status != http.StatusNoContent {
			t.Fatalf("logout: %s", a)
		}
	}
	bobs := map[string]string{
		"JWT":            "kc_auth=" + idp.token(t, "bob", nil),
		"session":        "kc_auth=" + h.login(t, idp.token(t, "bob", nil)).token,
		"session cookie": "__Host-authhost=" + h.login(t, idp.token(t, "bob", nil)).token,
	}
	for _, c := range []struct {
		header, token    string
		fallback, change string // as whom
	}{
		{"Alice's, expired", idp.expired(t, "alice"), "", "bob"},
		{"Alice's, logged out", out, "", "bob"},
		{"Alice's, for another service", idp.token(t, "alice", map[string]any{"aud": "elsewhere"}), "", "bob"},
		{"Alice's, not yet valid", idp.token(t, "alice", map[string]any{"nbf": inHours(1), "exp": inHours(2)}), "", "bob"},
		{"Bob's own, expired", idp.expired(t, "bob"), "bob", "bob"},
		// Anyone can write Alice's name: these name nobody for certain.
		{"Alice's, signed by a wrong key", sign(t, jwt.SigningMethodRS256, idp.other, idp.claims("alice", nil)), "bob", "bob"},
		{"garbage", "garbage", "bob", "bob"},
		// An ended session leaves no trace that tells whose it was.
		{"Alice's ended session", over, "bob", "bob"},
	} {
		for kind, cookie := range bobs {
			for way, user := range map[string]string{"fallback": c.fallback, "change": c.change, "strict": ""} {
				a := h.forwardAuth(t, "POST", "/"+way+"/x", append(bearer(c.token), "Cookie", cookie)...)
				status := http.StatusOK
				if user == "" {
					status = http.StatusUnauthorized
				}
				if got := a.header.Get("X-Auth-Request-User"); a.status != status || got != user {
					t.Errorf("%s: header %s, cookie Bob's %s: got %s as %q, want %d as %q", way, c.header, kind, a, got, status, user)
				}
			}
		}
	}
}
