package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// edit changes the configuration file in one step.
func (r *reloading) edit(t testing.TB, old, new string) {
	t.Helper()
	content, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		t.Fatalf("the configuration has no %q:\n%s", old, content)
	}
	replaceFile(t, r.config, strings.Replace(string(content), old, new, 1))
}

func TestReloadOfTheConfiguration(t *testing.T) {
	r := startReloading(t, oneModule)

	t.Run("a changed route applies", func(t *testing.T) {
		r.edit(t, "routes: [", "routes: [{path: /open, authenticate: none}, ")
		eventually(t, "a public route", func() bool { return r.forwardAuth(t, "GET", "/open").status == http.StatusOK })
		if got := r.reason(t); got != "first" {
			t.Errorf("%q answers", got)
		}
	})

	t.Run("a bad one is refused whole", func(t *testing.T) {
		r.while(t, "config", "failed", "first", func() {
			r.edit(t, "authenticate: none}, ", "authenticate: none}, {path: /more, authenticate: never}, ")
		})
		r.said(t, "configuration refused, the last good one is in force", "routes[1].authenticate: ")
		for path, want := range map[string]int{"/open": http.StatusOK, "/more": http.StatusUnauthorized} {
			if a := r.forwardAuth(t, "GET", path); a.status != want {
				t.Errorf("%s: %s", path, a)
			}
		}
		r.edit(t, "authenticate: never", "authenticate: none")
		eventually(t, "a public route", func() bool { return r.forwardAuth(t, "GET", "/more").status == http.StatusOK })
	})

	t.Run("what takes a restart is refused by name", func(t *testing.T) {
		for key, change := range map[string][2]string{
			"listen.telemetry": {`telemetry: "127.0.0.1:0"`, `telemetry: "127.0.0.1:9"`},
			"cache.driver":     {"driver: memory", "driver: file"},
		} {
			r.while(t, "config", "failed", "first", func() { r.edit(t, change[0], change[1]) })
			r.said(t, "configuration refused, the last good one is in force", key+": changed from")
			r.while(t, "config", "ok", "first", func() { r.edit(t, change[1], change[0]) })
		}
		r.while(t, "config", "ok", "first", func() { r.edit(t, "driver: memory", "driver: memory, near: {max_staleness: 2s}") })
	})

	t.Run("SIGHUP reads it again", func(t *testing.T) {
		r.while(t, "config", "ok", "first", func() { r.signal(syscall.SIGHUP) })
	})
}

// A module and the configuration that change at once are both taken up,
// whatever becomes of the other.
func TestReloadOfModuleAndConfiguration(t *testing.T) {
	r := startReloading(t, oneModule)
	both := func(reason, old, new string) {
		t.Helper()
		replaceFile(t, r.module, string(denying(reason)))
		r.edit(t, old, new)
	}

	both("second", "routes: [", "routes: [{path: /open, authenticate: none}, ")
	r.answers(t, "second")
	eventually(t, "a public route", func() bool { return r.forwardAuth(t, "GET", "/open").status == http.StatusOK })

	both("third", "routes: [", "rules: [")
	r.answers(t, "third")
	eventually(t, "a refusal", func() bool { return r.reloads(t, "config", "failed") > 0 })
	if a := r.forwardAuth(t, "GET", "/open"); a.status != http.StatusOK {
		t.Errorf("under the last good configuration: %s", a)
	}
	// Also when the refused configuration is asked for, and nobody waits for
	// the files to be noticed.
	replaceFile(t, r.module, string(denying("fourth")))
	r.signal(syscall.SIGHUP)
	r.answers(t, "fourth")

	r.edit(t, "rules: [", "routes: [{path: /again, authenticate: none}, ")
	eventually(t, "the mended configuration", func() bool { return r.forwardAuth(t, "GET", "/again").status == http.StatusOK })

	// A plugin whose module comes after its entry.
	r.while(t, "config", "failed", "fourth", func() {
		r.edit(t, "plugins:\n", "plugins:\n  - {name: late, module: late.wasm}\n")
	})
	r.said(t, "configuration refused, the last good one is in force", "plugins[0].module: ")
	r.while(t, "config", "ok", "fourth", func() { writeFile(t, filepath.Join(r.dir, "late.wasm"), string(allowing())) })

	both("fifth", "routes: [", "routes: [{path: /gone/**, authenticate: none}, ")
	writeFile(t, filepath.Join(r.dir, "late.wasm"), "no module")
	r.answers(t, "fifth")
	eventually(t, "the configuration", func() bool { return r.forwardAuth(t, "GET", "/gone/x").status == http.StatusOK })
	eventually(t, "the other plugin's failure", func() bool { return r.reloads(t, "plugin/late", "failed") > 0 })
}

func TestReloadByTheOperator(t *testing.T) {
	first, second := strings.Repeat("1st-", 8), strings.Repeat("2nd-", 8)
	tokens := filepath.Join(t.TempDir(), "operator.tokens")
	writeFile(t, tokens, "ann "+first+"\n")
	r := startReloading(t, oneModule+"operator: {token_file: "+tokens+"}\n")
	reload := func(auth ...string) answer {
		t.Helper()
		return ask(t, http.MethodPost, r.admin+"/v1/config/reload", auth...)
	}

	for name, auth := range map[string][]string{
		"nobody": nil, "another token": bearer(second), "Basic": {"Authorization", "Basic " + first},
	} {
		if a := reload(auth...); a.status != http.StatusUnauthorized || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", name, a)
		}
	}
	if a := reload(r.auth...); a.status != http.StatusForbidden {
		t.Errorf("a user: %s", a)
	}
	if n := r.reloads(t, "config", "ok") + r.reloads(t, "config", "failed"); n != 0 {
		t.Fatalf("%v reloads by strangers", n)
	}

	// The answer comes when the new configuration is in force.
	r.edit(t, "routes: [", "routes: [{path: /open, authenticate: none}, ")
	if a := reload(bearer(first)...); a.status != http.StatusNoContent || a.body != "" {
		t.Fatalf("a good one: %s", a)
	}
	if a := r.forwardAuth(t, "GET", "/open"); a.status != http.StatusOK {
		t.Errorf("after 204: %s", a)
	}
	r.edit(t, "authenticate: none", "authenticate: never")
	if a := reload(bearer(first)...); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "routes[0].authenticate") {
		t.Errorf("a bad one: %s", a)
	}
	r.edit(t, "authenticate: never", "authenticate: none")

	// A changed token counts by itself, and the old one no more.
	replaceFile(t, tokens, "ben "+second+"\n")
	eventually(t, "the new token", func() bool { return reload(bearer(second)...).status == http.StatusNoContent })
	if a := reload(bearer(first)...); a.status != http.StatusUnauthorized {
		t.Errorf("the old token: %s", a)
	}
	r.while(t, "config", "failed", "first", func() { replaceFile(t, tokens, "ben short\n") })
	r.said(t, "configuration refused, the last good one is in force", "operator.token_file: ")
	if a := reload(bearer(second)...); a.status != http.StatusUnprocessableEntity {
		t.Errorf("with a bad token file: %s", a)
	}
	if strings.Contains(r.log(), first) || strings.Contains(r.log(), second) {
		t.Error("the log has an operator's token")
	}
	// Plugins are reloaded all the same.
	replaceFile(t, r.module, string(denying("second")))
	r.answers(t, "second")
}
