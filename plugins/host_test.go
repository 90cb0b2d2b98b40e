package plugins_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestThroughHost asks authhost explain, with both plugins loaded from their
// example configurations: what the native tests cannot see is the way in and
// out of the sandbox.
func TestThroughHost(t *testing.T) {
	t.Parallel()
	readSources(t, ".", "../sdk", "../cmd", "../host", "../abi")
	dir := t.TempDir()
	run(t, "..", nil, "go", "build", "-o", dir, "./cmd/authhost")
	secret := strings.Repeat("a secret of tests ", 4)
	writeFile(t, filepath.Join(dir, "secret"), secret)
	var config strings.Builder
	config.WriteString(`
cache: {driver: memory}
realms:
  - name: main
    hosts: ["*"]
    issuers:
      - {issuer: "https://idp.example", audiences: [console], algorithms: [HS256], secret_file: secret, leeway: 0s}
    credentials: [{header: Authorization}, {cookie: kc_auth}]
routes:
  - {path: "/**", authenticate: optional, plugins: [cookie-fallback, rbac-gitops], default: allow}
plugins:
`)
	for _, name := range []string{"cookie-fallback", "rbac-gitops"} {
		run(t, ".", wasm, "go", "build", "-buildmode=c-shared", "-o", filepath.Join(dir, name+".wasm"), "./"+name)
		example, err := os.ReadFile(filepath.Join(name, "example.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&config, "  - name: %s\n    module: %s.wasm\n    config:\n", name, name)
		for line := range strings.Lines(string(example)) {
			config.WriteString("      " + line)
		}
	}
	writeFile(t, filepath.Join(dir, "authhost.yaml"), config.String())

	token := func(user, role string, life time.Duration) string {
		now := time.Now()
		claims := fmt.Sprintf(`{"iss":"https://idp.example","aud":"console","sub":%q,"roles":["offline_access",%q],"iat":%d,"exp":%d}`,
			user, role, now.Add(-2*time.Hour).Unix(), now.Add(life).Unix())
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
			base64.RawURLEncoding.EncodeToString([]byte(claims))
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	const good, old = time.Hour, -time.Hour
	bearer := func(token string) string { return "Authorization: Bearer " + token }
	cookie := func(token string) string { return "Cookie: kc_auth=" + token }
	tests := []struct {
		name, path string
		headers    []string
		want       string
	}{
		{"nobody", "/api/gitops/sync", nil, "401 rules[0] needs editor: anonymous"},
		{"viewer", "/api/gitops/sync", []string{bearer(token("ann", "viewer", good))}, "403 rules[0] needs editor"},
		{"editor", "/api/gitops/sync", []string{bearer(token("ann", "editor", good))}, "200 rules[0]: editor"},
		{"admin", "/api/gitops/argocd/sync", []string{bearer(token("ann", "admin", good))}, "200 rules[4]: editor"},
		{"unknown role", "/api/gitops/detect-drift", []string{bearer(token("ann", "owner", good))}, "403 rules[5] needs viewer: no known role"},
		{"other letters", "/API/gitops/%53ync/", []string{bearer(token("ann", "viewer", good))}, "403 rules[0] needs editor"},
		{"a long path", "/api/gitops/sync." + strings.Repeat("x", 5000), []string{bearer(token("ann", "viewer", good))}, "403 rules[0] needs editor"},
		{"no rule", "/api/clusters", []string{bearer(token("ann", "viewer", good))}, "200 default_allow"},
		{"old header, good cookie", "/api/gitops/sync", []string{bearer(token("ann", "editor", old)), cookie(token("ann", "editor", good))}, "200 rules[0]: editor"},
		{"garbage, good cookie", "/api/gitops/sync", []string{bearer("garbage"), cookie(token("ann", "editor", good))}, "200 rules[0]: editor"},
		{"both old", "/api/gitops/sync", []string{bearer(token("ann", "editor", old)), cookie(token("ann", "editor", old))}, "401 expired"},
		{"another's cookie", "/api/gitops/sync", []string{bearer(token("ann", "editor", old)), cookie(token("bob", "admin", good))}, "401 expired"},
	}
	for _, test := range tests {
		args := []string{"explain", "--config", "authhost.yaml", "--method", "POST"}
		for _, h := range append(test.headers, "Origin: https://console.example") {
			args = append(args, "--header", h)
		}
		out := run(t, dir, nil, filepath.Join(dir, "authhost"), append(args, "https://console.example"+test.path)...)
		if !strings.HasSuffix(out, "decision: "+test.want+"\n") {
			t.Errorf("%s: want %s, got\n%s", test.name, test.want, out)
		}
	}
}
