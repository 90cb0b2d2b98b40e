package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// An introspection client's secret is another as soon as its file is, and a
// secret that cannot be taken up leaves the last one in force.
func TestSecretOfAnIntrospectionClientChanges(t *testing.T) {
	idp, secret := newIssuer(t), filepath.Join(t.TempDir(), "client")
	writeFile(t, secret, "the first secret\n")
	h := serve(t, listen+idp.realm("")+memoryCache+open+fmt.Sprintf("introspection_clients: [{id: api, secret_file: %q, realm: main}]\n", secret))
	h.awaitReady(t)
	status := func(password string) int {
		t.Helper()
		r, err := http.NewRequest("POST", h.public+"/v1/introspect", strings.NewReader("token=x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("api", password)
		resp, err := direct.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status("the first secret") != http.StatusOK || status("the second secret") != http.StatusUnauthorized {
		t.Fatal("the first secret is not in force")
	}
	if n := len(h.logged("files changed")); n != 0 {
		t.Errorf("%d changes before there was one", n)
	}
	replaceFile(t, secret, "the second secret\n")
	eventually(t, "the second secret in force", func() bool { return status("the second secret") == http.StatusOK })
	if status("the first secret") != http.StatusUnauthorized {
		t.Error("the first secret is still in force")
	}
	replaceFile(t, secret, "\n")
	eventually(t, "an empty secret refused", func() bool {
		return len(h.logged("configuration refused, the last good one is in force")) == 1
	})
	if status("the second secret") != http.StatusOK || status("") != http.StatusUnauthorized {
		t.Error("the last good secret is not in force")
	}
	replaceFile(t, secret, "the third secret")
	eventually(t, "the third secret in force", func() bool { return status("the third secret") == http.StatusOK })
	if strings.Contains(h.log(), "third secret") {
		t.Error("a secret is in the log")
	}
}
