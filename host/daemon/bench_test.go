package daemon

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// benchConfig is the policy of a GitOps console behind an issuer whose keys are
// in a file.
const benchConfig = `
realms:
  - name: main
    issuers: [{issuer: bench, audiences: [console], algorithms: [RS256], jwks_file: jwks.json}]
    credentials: [{header: Authorization}, {header: X-Auth-Token}, {cookie: kc_auth}]
cache: {driver: DRIVER}
plugins:
  - {name: cookie-fallback, module: cookie-fallback.wasm, config: {cookies: [kc_auth]}}
  - name: rbac-gitops
    module: rbac-gitops.wasm
    config:
      rules:
        - {methods: [POST], path: /api/gitops/sync, role: editor}
        - {methods: [POST], path: /api/gitops/helm-upgrade, role: editor}
        - {methods: [POST], path: /api/gitops/helm-uninstall, role: editor}
        - {methods: [POST], path: /api/gitops/helm-rollback, role: editor}
        - {methods: [POST], path: /api/gitops/argocd/sync, role: editor}
        - {methods: [POST], path: /api/gitops/detect-drift, role: viewer}
routes: [{path: "/**", plugins: [cookie-fallback, rbac-gitops], default: allow}]
`

// benchHost opens a host on the configuration above and returns it with a JWT
// of an editor.
func benchHost(b *testing.B, driver string) (*Daemon, string) {
	b.Helper()
	dir := b.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(dir, "authhost.yaml")
	for path, content := range map[string]string{filepath.Join(dir, "jwks.json"): string(set), file: strings.Replace(benchConfig, "DRIVER", driver, 1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, p := range []string{"cookie-fallback", "rbac-gitops"} {
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(dir, p+".wasm"), "./"+p)
		cmd.Dir = "../../plugins"
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if output, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, output)
		}
	}
	d, err := Open(b.Context(), Options{ConfigFile: file})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": "bench", "sub": "editor", "aud": "console", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"editor"},
	})
	token.Header["kid"] = "k1"
	signed, err := token.SignedString(key)
	if err != nil {
		b.Fatal(err)
	}
	return d, signed
}

// logIn logs the JWT in and returns the session's token.
func logIn(b *testing.B, d *Daemon, token string) string {
	b.Helper()
	r := d.current.realms["main"]
	v, err := r.tokens.Validate(b.Context(), token)
	if err != nil || v.Verdict != host.Valid {
		b.Fatalf("the JWT is %s: %v", v.Verdict, err)
	}
	made, _, err := r.sessions.Create(b.Context(), v.Identity, host.Terms{})
	if err != nil {
		b.Fatal(err)
	}
	return made
}

// BenchmarkPipeline decides requests with both plugins on the route, without
// HTTP around it.
func BenchmarkPipeline(b *testing.B) {
	for _, driver := range []string{"memory", "file"} {
		d, jwt := benchHost(b, driver)
		for name, token := range map[string]string{"jwt": jwt, "session": logIn(b, d, jwt)} {
			b.Run(name+"/"+driver, func(b *testing.B) {
				req, err := edge.ParseURL(&host.Snapshot{}, "POST", "https://console.example/api/gitops/sync", http.Header{"Authorization": {"Bearer " + token}}, netip.IPv6Loopback())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					s := d.pipeline.Acquire()
					var ev host.Event
					if got := d.pipeline.Decide(b.Context(), s, req, &ev); got.Kind != host.Allowed {
						b.Fatalf("%s %s: %v", got.Kind, got.Reason, ev.Cause)
					}
					s.Release()
				}
			})
		}
	}
}

// BenchmarkOnAuthorize is one call of rbac-gitops.
func BenchmarkOnAuthorize(b *testing.B) {
	d, _ := benchHost(b, "memory")
	req, err := edge.ParseURL(&host.Snapshot{}, "POST", "https://console.example/api/gitops/sync", http.Header{}, netip.IPv6Loopback())
	if err != nil {
		b.Fatal(err)
	}
	call := host.Call{Request: req, Now: time.Now(), Realm: "main", Route: "/**",
		Identity: &host.Identity{Realm: "main", UserID: host.UserID("main", "bench", "editor"), Subject: "editor", Roles: []string{"editor"}}}
	authorizer := d.current.plugins["rbac-gitops"].Version.Host().Authorizer
	b.ReportAllocs()
	for b.Loop() {
		if o, err := authorizer.Authorize(b.Context(), &call); err != nil || o.Effect != host.Allow {
			b.Fatalf("%v: %v", o, err)
		}
	}
}
