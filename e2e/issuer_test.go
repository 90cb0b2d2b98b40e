package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// issuer is a small identity provider: a key, its published set, and tokens.
type issuer struct {
	url   string
	key   *rsa.PrivateKey
	other *rsa.PrivateKey // whose tokens nobody accepts
	down  atomic.Bool     // the set is not served

	withdrawn atomic.Bool  // the set is served without its key
	fetches   atomic.Int64 // of the set
}

const audience = "console"

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{key: newKey(t), other: newKey(t)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		if i.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}}
		if i.withdrawn.Load() {
			set.Keys[0].Key, set.Keys[0].KeyID = &i.other.PublicKey, "k2"
		}
		json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func newKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// claims of a good token of user; the changes say what differs, nil removes.
func (i *issuer) claims(user string, changes map[string]any) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": i.url, "sub": user, "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"roles": []string{user}, "email": user + "@console.example", "email_verified": true,
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs a good token of user with the changes made to its claims. The
// user's only role has the user's name, unless changed.
func (i *issuer) token(t testing.TB, user string, changes map[string]any) string {
	t.Helper()
	return sign(t, jwt.SigningMethodRS256, i.key, i.claims(user, changes))
}

// expired is a token of user that ended an hour ago.
func (i *issuer) expired(t testing.TB, user string) string {
	t.Helper()
	return i.token(t, user, map[string]any{"iat": inHours(-2), "exp": inHours(-1)})
}

// inHours is a moment as claims have it.
func inHours(n time.Duration) int64 { return time.Now().Add(n * time.Hour).Unix() }

func sign(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = "k1"
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publicPEM is the public key as an attacker has it.
func publicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// realm is the configuration of one realm that trusts the issuer; more is
// appended to it, indented by four blanks.
func (i *issuer) realm(more string) string {
	return fmt.Sprintf(`
realms:
  - name: main
    hosts: ["*"]
    issuers:
      - {issuer: %q, audiences: [%s], algorithms: [RS256], jwks_url: "%s/jwks.json"}
    credentials: [{header: Authorization}, {header: X-Auth-Token}, {cookie: kc_auth}]
%s
`, i.url, audience, i.url, more)
}

// gitops is the plugins and routes of the README: the policy of a GitOps
// console.
const gitops = `
plugins:
  - {name: cookie-fallback, module: PLUGINS/cookie-fallback.wasm, config: {cookies: [kc_auth]}}
  - name: rbac-gitops
    module: PLUGINS/rbac-gitops.wasm
    config:
      rules:
        - {methods: [POST], path: /api/gitops/sync, role: editor}
        - {methods: [POST], path: /api/gitops/helm-upgrade, role: editor}
        - {methods: [POST], path: /api/gitops/helm-uninstall, role: editor}
        - {methods: [POST], path: /api/gitops/helm-rollback, role: editor}
        - {methods: [POST], path: /api/gitops/argocd/sync, role: editor}
        - {methods: [POST], path: /api/gitops/detect-drift, role: viewer}
routes:
  - {path: /healthz, authenticate: none}
  - {path: "/**", plugins: [cookie-fallback, rbac-gitops], default: allow}
`

// bearer is the header of a token.
func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }
