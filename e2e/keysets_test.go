package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// Without its issuer's keys authhost can judge none of its tokens, whatever
// else the request holds: no plugin is asked, no cookie stands in.
func TestKeySetAwayAtStart(t *testing.T) {
	idp := newIssuer(t)
	idp.down.Store(true)
	h := serve(t, listen+idp.realm("")+memoryCache+gitops)
	good := idp.token(t, "editor", nil)
	unknown := sign(t, jwt.SigningMethodRS256, idp.other, idp.claims("editor", nil))
	cases := []outageCase{
		{"a JWT", "POST", "/api/gitops/sync", bearer(good), 200, 503},
		{"a forged one", "POST", "/api/gitops/sync", bearer(unknown), 401, 503},
		{"a cookie", "POST", "/api/gitops/sync", []string{"Cookie", "kc_auth=" + good}, 200, 503},
		{"garbage and a cookie", "POST", "/api/gitops/sync", append(bearer("garbage"), "Cookie", "kc_auth="+good), 200, 503},
		{"a JWT and another cookie", "POST", "/api/gitops/sync", append(bearer(unknown), "Cookie", "kc_auth="+good), 200, 503},
		{"nothing", "POST", "/api/gitops/sync", nil, 401, 401},
		{"garbage", "POST", "/api/gitops/sync", bearer("garbage"), 401, 401},
		{"of another issuer", "POST", "/api/gitops/sync", bearer(idp.token(t, "editor", map[string]any{"iss": "https://elsewhere.example"})), 401, 401},
		{"a public page", "GET", "/healthz", nil, 200, 200},
	}
	h.judge(t, cases, true)
	if a := ask(t, "POST", h.public+"/v1/login", bearer(good)...); a.status != http.StatusServiceUnavailable || a.header.Get("Set-Cookie") != "" {
		t.Errorf("login: %s", a)
	}
	h.awaitUnready(t, "key sets")
	idp.down.Store(false)
	eventually(t, "the key set's return", func() bool {
		return h.forwardAuth(t, "POST", "/api/gitops/sync", bearer(good)...).status == http.StatusOK
	})
	h.awaitReady(t)
	h.judge(t, cases, false)
}

// The last good key set serves while the issuer is away, as long as it may.
func TestLastGoodKeySet(t *testing.T) {
	t.Parallel()
	idp, brief := newIssuer(t), newIssuer(t)
	h := serve(t, listen+memoryCache+open+fmt.Sprintf(`
realms:
  - name: main
    issuers:
      - {issuer: %q, audiences: [console], jwks_url: %q}
      - {issuer: %q, audiences: [console], jwks_url: %q, jwks_max_age: 8s}
`, idp.url, idp.url, brief.url, brief.url))
	h.awaitReady(t)
	seen := bearer(brief.token(t, "alice", nil))
	h.expect(t, 200, "before", seen...)
	idp.down.Store(true)
	brief.down.Store(true)

	for n := range 3 { // never seen before, so judged by the set
		h.expect(t, 200, "while the issuer is away", bearer(idp.token(t, "alice", map[string]any{"jti": fmt.Sprint(n)}))...)
	}
	eventually(t, "the end of jwks_max_age", func() bool { return h.at(t, "console.example", seen...).status == http.StatusServiceUnavailable })
	h.expect(t, 503, "never seen before, of a set too old", bearer(brief.token(t, "alice", map[string]any{"jti": "new"}))...)
	h.awaitUnready(t, "key sets")
	h.expect(t, 200, "of the other issuer", bearer(idp.token(t, "alice", nil))...)

	brief.down.Store(false)
	eventually(t, "the issuer's return", func() bool { return h.at(t, "console.example", seen...).status == http.StatusOK })
	h.awaitReady(t)
}

// A kid that nobody knows makes authhost ask the issuer, but not each time.
func TestUnknownKeyIsAskedForOnce(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	before := idp.fetches.Load()
	for n := range 50 {
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, idp.claims("alice", nil))
		token.Header["kid"] = fmt.Sprint("../keys/", n)
		text, err := token.SignedString(idp.key)
		if err != nil {
			t.Fatal(err)
		}
		h.expect(t, 401, "an unknown kid", bearer(text)...)
	}
	if n := idp.fetches.Load() - before; n > 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
	h.expect(t, 200, "a known kid", bearer(idp.token(t, "alice", nil))...)
}
