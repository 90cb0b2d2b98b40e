package cases_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
)

// What compiling costs is most of these tests, so they share modules and code.
func TestCompiledGuests(t *testing.T) {
	cache, err := plugin.NewCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rbac := loader(build(t, "rbac-gitops"), cache)
	t.Run("rbac-gitops", func(t *testing.T) { holds(t, "rbac-gitops", rbac) })
	t.Run("another answer", func(t *testing.T) { anotherAnswer(t, rbac) })
	t.Run("cookie-fallback", func(t *testing.T) { holds(t, "cookie-fallback", loader(build(t, "cookie-fallback"), cache)) })
	t.Run("logout-webhook", func(t *testing.T) { holds(t, "logout-webhook", loader(build(t, "logout-webhook"), cache)) })
	t.Run("rate-limit", func(t *testing.T) { holds(t, "rate-limit", loader(build(t, "rate-limit"), cache)) })
	if err := cache.Close(); err != nil {
		t.Error(err)
	}
}

// The cases that ship hold for the modules that ship, on both engines.
func holds(t *testing.T, name string, load cases.Loader) {
	file := filepath.Join(plugins, name, name+".cases.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set, err := cases.Parse(file, content)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Check(t.Context(), load); err != nil {
		t.Error(err)
	}
	if set.Len() < 2 {
		t.Errorf("%d cases", set.Len())
	}
	for _, g := range set.Groups() {
		if g.Config == nil {
			t.Errorf("case %q must hold whatever the entry's configuration", g.Cases[0].Name)
		}
	}
}

// A module that answers otherwise is found out, by case and field, on the
// compiled engine and on the other one.
func anotherAnswer(t *testing.T, load cases.Loader) {
	set, err := cases.Parse("mine.yaml", []byte(strings.ReplaceAll(`
- name: "an editor syncs"
  hook: on_authorize
  config: {rules: [{path: /sync, role: ROLE}]}
  request: {path: /sync}
  identity: {roles: [editor]}
  expect: {decision: allow, status: 200, reason: "rules[0]: editor", headers: {X-Team: ops}}
- name: "it never is asked"
  hook: on_credential
  config: {rules: [{path: /sync, role: ROLE}]}
  request: {path: /sync}
  candidates: [{source: header}]
  expect: {decision: abstain}
- name: "its configuration is wrong"
  hook: on_authorize
  config: {}
  request: {path: /sync}
  expect: {decision: abstain}
`, "ROLE", "admin")))
	if err != nil {
		t.Fatal(err)
	}
	err = set.Check(t.Context(), load)
	want := `mine.yaml:2: case "an editor syncs": decision: want allow, got deny
mine.yaml:2: case "an editor syncs": status: want 200, got 403
mine.yaml:2: case "an editor syncs": reason: want "rules[0]: editor", got "rules[0] needs admin"
mine.yaml:2: case "an editor syncs": headers.X-Team: want "ops", got none
mine.yaml:8: case "it never is asked": no answer: the plugin has no on_credential; it has configure, on_authorize
mine.yaml:14: case "its configuration is wrong": the plugin does not load: plugin guest: configure: rules is empty: nothing would be guarded`
	if failures, ok := errors.AsType[cases.Failures](err); !ok || len(failures) != 6 || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

const plugins = "../../../plugins"

// build returns a plugin's module, built from source. Its sources are read
// first: go test then knows that its result depends on them.
func build(t *testing.T, name string) []byte {
	t.Helper()
	for _, pattern := range []string{name + "/*.go", "internal/*/*.go", "../sdk/*.go", "../sdk/*/*.go", "../sdk/*/*/*.go"} {
		files, _ := filepath.Glob(filepath.Join(plugins, pattern))
		for _, file := range files {
			if _, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "./"+name)
	cmd.Dir, cmd.Env = plugins, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// loader loads a module as a reload is to do for its cases.
func loader(module []byte, cache *plugin.Cache) cases.Loader {
	return func(ctx context.Context, config []byte, interpreted bool, world *cases.World) (cases.Subject, error) {
		o := plugin.Options{Name: "guest", Module: module, Config: config, Headers: []string{"X-Team"}, Limits: plugin.Limits{Instances: 1},
			Cache: cache, Now: cases.Now, Rand: cases.Rand(), KV: world, HTTP: world}
		if interpreted {
			o.Engine = plugin.Interpreter
		}
		p, err := plugin.Load(ctx, o)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}
