package e2e

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reloading is an authhost whose one plugin denies everything, so that the
// reason shows which module answers.
type reloading struct {
	*authhost
	dir, module string
	auth        []string
}

const oneModule = `
plugins:
  - name: gate
    module: gate.wasm
routes: [{path: "/**", plugins: [gate]}]
`

// startReloading starts one; beside are names and contents of more files, in
// turn.
func startReloading(t testing.TB, config string, beside ...string) *reloading {
	t.Helper()
	idp := newIssuer(t)
	r := &reloading{dir: t.TempDir(), auth: bearer(idp.token(t, "viewer", nil))}
	r.module = filepath.Join(r.dir, "gate.wasm")
	writeFile(t, r.module, string(denying("first")))
	for i := 0; i < len(beside); i += 2 {
		writeFile(t, filepath.Join(r.dir, beside[i]), beside[i+1])
	}
	file := filepath.Join(r.dir, "authhost.yaml")
	writeFile(t, file, listen+"cache: {driver: memory}\n"+idp.realm("")+config)
	r.authhost = serveFile(t, file)
	r.answers(t, "first")
	return r
}

// reason returns why a request was denied; empty unless it was.
func (r *reloading) reason(t testing.TB) string {
	t.Helper()
	a := r.forwardAuth(t, "GET", "/x", r.auth...)
	_, reason, _ := strings.Cut(a.body, `"reason":"`)
	reason, _, _ = strings.Cut(reason, `"`)
	if a.status != http.StatusForbidden {
		return a.String()
	}
	return reason
}

// answers waits until the module with that reason answers.
func (r *reloading) answers(t testing.TB, reason string) {
	t.Helper()
	eventually(t, "denied for "+reason, func() bool { return r.reason(t) == reason })
}

func (r *reloading) reloads(t testing.TB, target, result string) float64 {
	t.Helper()
	return r.metric(t, "authhost_reloads_total{", fmt.Sprintf("target=%q", target), fmt.Sprintf("result=%q", result))
}

// while does something, waits until another reload of target with that result
// is counted, and wants the last good version to answer meanwhile and after.
func (r *reloading) while(t testing.TB, target, result, reason string, do func()) {
	t.Helper()
	before := r.reloads(t, target, result)
	do()
	eventually(t, target+" "+result, func() bool {
		if got := r.reason(t); got != reason {
			t.Fatalf("%q answers, want %q", got, reason)
		}
		return r.reloads(t, target, result) > before
	})
	if got := r.reason(t); got != reason {
		t.Fatalf("%q answers, want %q", got, reason)
	}
}

// said wants a log line with that message whose reason has that text.
func (r *reloading) said(t testing.TB, message, text string) {
	t.Helper()
	for _, line := range r.logged(message) {
		if reason, ok := line["reason"].(string); ok && strings.Contains(reason, text) {
			return
		}
	}
	t.Errorf("the log has no %q with the reason %q", message, text)
}

func line(t testing.TB, file, key string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok := strings.Cut(string(content), key)
	if !ok {
		t.Fatalf("%s is not in %s", key, file)
	}
	return fmt.Sprintf("%s:%d: ", file, strings.Count(before, "\n")+1)
}

// Every module that cannot be loaded leaves the last good one answering, and
// is shown in metrics, in the log and by authhost check.
func TestReloadKeepsTheLastGoodModule(t *testing.T) {
	r := startReloading(t, oneModule)
	good := string(denying("second"))
	for _, bad := range []struct{ name, module, reason string }{
		{"empty", "", "plugin gate: "},
		{"truncated", good[:len(good)/2], "plugin gate: "},
		{"no module", "#!/bin/sh\necho hello\n", "plugin gate: "},
		{"no exports", string(withoutExports()), "authhost_abi_v1"},
		{"traps in configure", string(trappingInConfigure()), "configure"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			r.while(t, "plugin/gate", "failed", "first", func() { replaceFile(t, r.module, bad.module) })
			r.said(t, "plugin refused", bad.reason)
			refusedBy(t, r.config, line(t, r.config, "module: gate.wasm")+"plugins[0].module: ", bad.reason)
		})
	}
	if n := r.metric(t, "authhost_plugin_errors_total"); n != 0 {
		t.Errorf("%v calls failed", n)
	}
	t.Run("removed", func(t *testing.T) {
		if err := os.Remove(r.module); err != nil {
			t.Fatal(err)
		}
		refusedBy(t, r.config, line(t, r.config, "module: gate.wasm")+"plugins[0].module: ", "no such file")
		if got := r.reason(t); got != "first" {
			t.Errorf("%q answers", got)
		}
	})
	replaceFile(t, r.module, good)
	r.answers(t, "second")
	if output, code := check(t, r.config); code != 0 {
		t.Errorf("check: exit %d\n%s", code, output)
	}
}

func TestReloadWaitsForTheRestOfAModule(t *testing.T) {
	r := startReloading(t, oneModule)
	whole := denying("second")
	r.while(t, "plugin/gate", "failed", "first", func() { writeFile(t, r.module, string(whole[:100])) })
	f, err := os.OpenFile(r.module, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(whole[100:]); err != nil {
		t.Fatal(err)
	}
	r.answers(t, "second")
}

// As Kubernetes mounts a ConfigMap: every file is a symlink through one to a
// folder, and that one is swapped.
func TestReloadFollowsASymlinkSwap(t *testing.T) {
	idp := newIssuer(t)
	dir := t.TempDir()
	for _, v := range []string{"first", "second"} {
		if err := os.Mkdir(filepath.Join(dir, ".."+v), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, ".."+v, "gate.wasm"), string(denying(v)))
		writeFile(t, filepath.Join(dir, ".."+v, "authhost.yaml"), listen+"cache: {driver: memory}\n"+idp.realm("")+oneModule+"# "+v)
	}
	swap := func(v string) {
		t.Helper()
		if err := os.Symlink(".."+v, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("first")
	for _, name := range []string{"gate.wasm", "authhost.yaml"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := &reloading{authhost: serveFile(t, filepath.Join(dir, "authhost.yaml")), auth: bearer(idp.token(t, "viewer", nil))}
	r.answers(t, "first")
	swap("second")
	r.answers(t, "second")
	eventually(t, "the configuration's swap noticed", func() bool { return r.reloads(t, "config", "ok") > 0 })
	swap("first")
	r.answers(t, "first")
}

func TestReloadHeedsThePin(t *testing.T) {
	sum := func(reason string) string { return fmt.Sprintf("%x", sha256.Sum256(denying(reason))) }
	pinned := func(reason string) string {
		return strings.Replace(oneModule, "gate.wasm\n", "gate.wasm\n    sha256: "+sum(reason)+"\n", 1)
	}
	r := startReloading(t, pinned("first"))
	r.while(t, "plugin/gate", "failed", "first", func() { replaceFile(t, r.module, string(denying("second"))) })
	r.said(t, "plugin refused", sum("second"))
	refusedBy(t, r.config, line(t, r.config, "sha256: ")+"plugins[0].sha256: ", sum("first"), sum("second"))

	content, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	pin := func(reason string) {
		t.Helper()
		replaceFile(t, r.config, strings.ReplaceAll(string(content), sum("first"), sum(reason)))
	}
	pin("second")
	r.answers(t, "second")
	// The other order: the pin comes before the module.
	r.while(t, "config", "failed", "second", func() { pin("third") })
	replaceFile(t, r.module, string(denying("third")))
	r.answers(t, "third")
}
