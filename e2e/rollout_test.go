package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aead.dev/minisign"
)

// operated is what startReloading needs for an operator.
const operated = "operator: {token_file: operator.tokens}\n"

var operators = []string{"operator.tokens", "ann " + operatorToken + "\n", "operator.token", operatorToken + "\n"}

// shownPlugin is what the admin listener tells of a plugin.
type shownPlugin struct {
	Name       string
	State      string
	SHA256     string
	Version    string
	Generation int
	LastError  string `json:"last_error"`
	Previous   *struct{ Generation int }
	Last       struct {
		SHA256  string
		Steps   []struct{ Step, Outcome, Detail string }
		Asked   int
		Changed int
		Changes []struct {
			Method, Path string
			UserID       string `json:"user_id"`
			Old, New     struct {
				Decision, Reason string
				Status           int
			}
		}
	} `json:"last_attempt"`
}

// plugin returns what is told of a plugin.
func (h *authhost) plugin(t testing.TB, name string) (p shownPlugin) {
	t.Helper()
	a := get(t, h.admin+"/v1/plugins/"+name, bearer(operatorToken)...)
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusOK || p.Name != name {
		t.Fatalf("plugin %s: %s", name, a)
	}
	return p
}

// change asks for a reload or rollback of a plugin.
func (h *authhost) change(t testing.TB, name, what string) answer {
	t.Helper()
	return ask(t, http.MethodPost, h.admin+"/v1/plugins/"+name+"/"+what, bearer(operatorToken)...)
}

// plugins runs authhost plugins, and returns its output and exit code.
func (r *reloading) plugins(t testing.TB, args ...string) (output string, code int) {
	t.Helper()
	args = append([]string{"plugins"}, append(args, "--server", r.admin, "--token-file", filepath.Join(r.dir, "operator.token"))...)
	cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), args...)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// shows wants the plugin's refusal, at that step and for a reason that has that
// text, in the admin API, its client, the metrics and the log.
func (r *reloading) shows(t testing.TB, step, text string) {
	t.Helper()
	p := r.plugin(t, "gate")
	if last := p.Last.Steps[len(p.Last.Steps)-1]; p.State != "refused" || !strings.HasPrefix(p.LastError, step+": ") || !strings.Contains(p.LastError, text) || last.Step != step || last.Outcome != "refused" {
		t.Errorf("the plugin is %+v, want it refused at %s: %s", p, step, text)
	}
	if out, code := r.plugins(t, "show", "gate"); code != 0 || !strings.Contains(out, "refused") || !strings.Contains(out, text) {
		t.Errorf("plugins show: %d\n%s", code, out)
	}
	if out, code := r.plugins(t, "list"); code != 0 || !strings.Contains(out, step+": ") {
		t.Errorf("plugins list: %d\n%s", code, out)
	}
	if r.metric(t, "authhost_plugin_refused_total", `plugin="gate"`, fmt.Sprintf("step=%q", step)) == 0 {
		t.Errorf("no refusal at %s is counted", step)
	}
	if !slices.ContainsFunc(r.logged("plugin refused"), func(line map[string]any) bool {
		reason, _ := line["reason"].(string)
		return line["plugin"] == "gate" && line["step"] == step && line["last_good_serving"] == true && strings.Contains(reason, text)
	}) {
		t.Errorf("the log has no refusal at %s: %s", step, text)
	}
}

// A module that is refused is told of by the step that it ended at, whichever
// that is; TestSignedPlugin, TestReplayOfRecentDecisions and
// TestCasesOfAPlugin have the others.
func TestRefusalIsShown(t *testing.T) {
	t.Parallel()
	limited := strings.Replace(oneModule, "gate.wasm\n", "gate.wasm\n    limits: {instances: 2}\n", 1)
	pin := fmt.Sprintf("    sha256: %x\n", sha256.Sum256(denying("first")))
	r := startReloading(t, operated+strings.Replace(limited, "    limits", pin+"    limits", 1), operators...)
	for i, refused := range []struct {
		step, text string
		module     []byte
	}{
		{"sha256", "the configuration wants", denying("second")},
		{"check", "authhost_abi_v1", withoutExports()},
		{"compile", "invalid", invalid()},
		{"start", "unreachable", trappingInInit()},
		{"configure", "unreachable", trappingInConfigure()},
		{"warm", "metric: more than 32 names", startingOnce()},
	} {
		if i == 1 { // what is pinned does not come further
			replaceFile(t, r.module, string(denying("first")))
			eventually(t, "what serves", func() bool { return r.plugin(t, "gate").State == "serving" })
			r.while(t, "config", "ok", "first", func() { r.edit(t, pin, "") })
		}
		r.while(t, "plugin/gate", "failed", "first", func() { replaceFile(t, r.module, string(refused.module)) })
		r.shows(t, refused.step, refused.text)
	}
}

// author signs modules.
type author struct {
	public  string
	private minisign.PrivateKey
}

func newAuthor(t testing.TB) author {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return author{public.String(), private}
}

func (a author) sign(module []byte, version string) string {
	return string(minisign.SignWithComments(a.private, module, "version:"+version, "e2e"))
}

// Whatever is not signed as it should be is refused while the last good one
// serves, and everybody is told which and why.
func TestSignedPlugin(t *testing.T) {
	t.Parallel()
	ann, eve := newAuthor(t), newAuthor(t)
	config := operated + strings.Replace(oneModule, "gate.wasm\n", "gate.wasm\n    public_keys: ["+ann.public+"]\n", 1)
	r := startReloading(t, config, append(operators, "gate.wasm.minisig", ann.sign(denying("first"), "1.2.0"))...)
	put := func(reason, signature string) {
		t.Helper()
		replaceFile(t, r.module+".minisig", signature)
		replaceFile(t, r.module, string(denying(reason)))
	}
	refused := func(text string, do func()) {
		t.Helper()
		hash := func() string { b, _ := os.ReadFile(r.module); return fmt.Sprintf("%x", sha256.Sum256(b)) }
		do()
		eventually(t, "refused: "+text, func() bool {
			if got := r.reason(t); got != "first" {
				t.Fatalf("%q answers", got)
			}
			p := r.plugin(t, "gate")
			return p.Last.SHA256 == hash() && strings.Contains(p.LastError, text)
		})
		r.shows(t, "signature", text)
		if p := r.plugin(t, "gate"); p.Version != "1.2.0" || p.Generation != 1 || p.SHA256 != fmt.Sprintf("%x", sha256.Sum256(denying("first"))) {
			t.Errorf("serves %+v", p)
		}
	}
	if p := r.plugin(t, "gate"); p.State != "serving" || p.Version != "1.2.0" || p.LastError != "" {
		t.Errorf("%+v", p)
	}
	refused("not signed", func() {
		if err := os.Remove(r.module + ".minisig"); err != nil {
			t.Fatal(err)
		}
		replaceFile(t, r.module, string(denying("unsigned")))
	})
	refusedBy(t, r.config, line(t, r.config, "public_keys:")+"plugins[0].public_keys: plugin gate: signature: ", "not signed")
	refused("none of the public keys", func() { put("wrong", eve.sign(denying("wrong"), "1.3.0")) })
	refusedBy(t, r.config, "none of the public keys")
	refused("not one of this module", func() { put("tampered", ann.sign(denying("honest"), "1.3.0")) })
	refusedBy(t, r.config, "not one of this module")
	refused("version 1.1.9 is older than 1.2.0", func() { put("older", ann.sign(denying("older"), "1.1.9")) })

	// The operator is told the same at once.
	if a := r.change(t, "gate", "reload"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `"step":"signature"`) || !strings.Contains(a.body, "version 1.1.9 is older than 1.2.0") {
		t.Errorf("reload: %s", a)
	}
	if out, code := r.plugins(t, "reload", "gate"); code != 1 || !strings.Contains(out, "step signature: version 1.1.9 is older") {
		t.Errorf("plugins reload: %d\n%s", code, out)
	}
	if a := r.change(t, "gate", "rollback"); a.status != http.StatusConflict || !strings.Contains(a.body, `"reason":"no_previous_version"`) {
		t.Errorf("rollback: %s", a)
	}

	// The signature comes after the module.
	replaceFile(t, r.module, string(denying("second")))
	replaceFile(t, r.module+".minisig", ann.sign(denying("second"), "1.3.0"))
	r.answers(t, "second")
	if p := r.plugin(t, "gate"); p.State != "serving" || p.Version != "1.3.0" || p.Previous == nil || p.Previous.Generation != 1 {
		t.Errorf("%+v", p)
	}
	if n := r.metric(t, "authhost_plugin_info", `plugin="gate"`, `version="1.3.0"`); n != 1 || r.metric(t, "authhost_plugin_info") != 1 {
		t.Errorf("authhost_plugin_info is %v", n)
	}
	r.edit(t, "    public_keys:", "    allow_downgrade: true\n    public_keys:")
	put("older", ann.sign(denying("older"), "1.1.9"))
	r.answers(t, "older")
	if output, code := check(t, r.config); code != 0 || !strings.Contains(output, "plugin gate: signature: ok: version 1.1.9\n") || !strings.Contains(output, "plugin gate: cases: skipped: no gate.cases.yaml\n") {
		t.Errorf("check: %d\n%s", code, output)
	}
}

// A rollback is in force when it is answered, and stays until something of the
// plugin changes.
func TestRollbackOfAPlugin(t *testing.T) {
	t.Parallel()
	r := startReloading(t, operated+oneModule, operators...)
	back := func(reason, state string) {
		t.Helper()
		var p shownPlugin
		a := r.change(t, "gate", "rollback")
		if got := r.reason(t); got != reason {
			t.Errorf("after the rollback %q answers, want %q", got, reason)
		}
		if json.Unmarshal([]byte(a.body), &p) != nil || a.status != http.StatusOK || p.State != state || p.Generation == p.Previous.Generation {
			t.Errorf("rollback: %s", a)
		}
	}
	replaceFile(t, r.module, string(denying("second")))
	r.answers(t, "second")
	back("first", "rolled_back")
	if lines := r.logged("plugin rolled back"); len(lines) != 1 || lines[0]["generation"] != 1.0 {
		t.Errorf("the log: %v", lines)
	}
	if n := r.metric(t, "authhost_plugin_generation", `plugin="gate"`); n != 1 {
		t.Errorf("generation %v", n)
	}

	// What does not concern it changes nothing.
	r.while(t, "config", "ok", "first", func() { r.edit(t, "routes: [", "routes: [{path: /open, authenticate: none}, ") })
	r.while(t, "config", "failed", "first", func() { r.edit(t, "routes: [", "rules: [") })
	r.while(t, "config", "ok", "first", func() { r.edit(t, "rules: [", "routes: [") })
	if p := r.plugin(t, "gate"); p.State != "rolled_back" || p.Generation != 1 {
		t.Errorf("%+v", p)
	}
	back("second", "serving") // it was a mistake
	back("first", "rolled_back")

	// It is asked for.
	if out, code := r.plugins(t, "reload", "gate"); code != 0 || !strings.Contains(out, "generation 3") {
		t.Errorf("plugins reload: %d\n%s", code, out)
	}
	if got := r.reason(t); got != "second" {
		t.Errorf("after the reload %q answers", got)
	}
	// Its file changes.
	if out, code := r.plugins(t, "rollback", "gate"); code != 0 || !strings.Contains(out, "rolled_back") || r.reason(t) != "first" {
		t.Errorf("plugins rollback: %d\n%s", code, out)
	}
	replaceFile(t, r.module, string(denying("third")))
	r.answers(t, "third")
	// Its entry changes.
	back("first", "rolled_back")
	r.edit(t, "module: gate.wasm", "module: gate.wasm\n    config: {a: 1}")
	r.answers(t, "third")

	for path, want := range map[string]int{"none": http.StatusNotFound, "%2e%2e": http.StatusBadRequest} {
		for _, what := range []string{"reload", "rollback"} {
			if a := r.change(t, path, what); a.status != want {
				t.Errorf("%s of %s: %s", what, path, a)
			}
		}
	}
}

// A new version that decides one of 256 recent requests differently: what would
// change is shown, and refused where nothing may.
func TestReplayOfRecentDecisions(t *testing.T) {
	t.Parallel()
	r := startReloading(t, operated+strings.Replace(oneModule, "gate.wasm\n", "gate.wasm\n    max_changed: -1\n", 1), operators...)
	replaceFile(t, r.module, string(denyingLong("old", "old")))
	r.answers(t, "old")
	odd := "/" + strings.Repeat("x", longFrame)
	for i := range 254 { // beside the one by which r.answers asks
		if a := r.forwardAuth(t, "GET", fmt.Sprintf("/%d", i), r.auth...); a.status != http.StatusForbidden {
			t.Fatal(a)
		}
	}
	if a := r.forwardAuth(t, "DELETE", odd, r.auth...); a.status != http.StatusForbidden {
		t.Fatal(a)
	}
	shown := func() {
		t.Helper()
		p := r.plugin(t, "gate")
		if p.Last.Asked != 256 || p.Last.Changed != 1 || len(p.Last.Changes) != 1 {
			t.Fatalf("%d changed of %d", p.Last.Changed, p.Last.Asked)
		}
		if c := p.Last.Changes[0]; c.Method != "DELETE" || c.Path != odd || !strings.HasPrefix(c.UserID, "usr_") || c.Old.Decision != "deny" || c.Old.Reason != "old" || c.Old.Status != 403 || c.New.Reason != "new" {
			t.Errorf("%+v", c)
		}
		out, code := r.plugins(t, "show", "gate")
		for _, want := range []string{"1 of 256 recent decisions differ:\nDELETE console.example" + odd + " by usr_", "\n  old: deny 403 old\n  new: deny 403 new\n"} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("plugins show: %d\n%s", code, out)
			}
		}
		if strings.Contains(out, r.auth[1][len("Bearer "):]) {
			t.Error("a token is shown")
		}
	}
	r.while(t, "config", "ok", "old", func() { r.edit(t, "max_changed: -1", "max_changed: 0") })
	r.while(t, "plugin/gate", "failed", "old", func() { replaceFile(t, r.module, string(denyingLong("old", "new"))) })
	r.shows(t, "replay", "1 of 256 recent decisions would change, max_changed allows 0")
	shown()
	// An entry that is refused, and with it the configuration, is told of until
	// it is withdrawn.
	r.while(t, "config", "failed", "old", func() { r.edit(t, "module: gate.wasm", "module: none.wasm") })
	r.shows(t, "read", "no such file")
	r.while(t, "config", "ok", "old", func() { r.edit(t, "module: none.wasm", "module: gate.wasm") })
	r.shows(t, "replay", "1 of 256 recent decisions would change, max_changed allows 0")
	// Its entry allows it: that is a change, and it is tried again.
	r.edit(t, "max_changed: 0", "max_changed: 1")
	eventually(t, "the new version", func() bool { return r.plugin(t, "gate").State == "serving" })
	shown()
	if a := r.forwardAuth(t, "DELETE", odd, r.auth...); !strings.Contains(a.body, `"reason":"new"`) {
		t.Errorf("%s", a)
	}
	lines := r.logged("plugin loaded")
	if last := lines[len(lines)-1]; last["changed"] != 1.0 || !strings.Contains(fmt.Sprint(last["first_change"]), `was deny 403 "old", would be deny 403 "new"`) {
		t.Errorf("the log: %v", last)
	}
}

// A plugin's own cases stand beside it, and a change of them tries it again.
func TestCasesOfAPlugin(t *testing.T) {
	t.Parallel()
	cases := func(reason string) string {
		return `
- name: nobody passes
  hook: on_authorize
  request: {method: GET, url: "https://console.example/x"}
  identity: {sub: ann}
  expect: {decision: deny, status: 403, reason: ` + reason + `}
`
	}
	r := startReloading(t, operated+oneModule, append(operators, "gate.cases.yaml", cases("first"))...)
	if output, code := check(t, r.config); code != 0 || !strings.Contains(output, "plugin gate: cases: ok: 1 passed\n") {
		t.Errorf("check: %d\n%s", code, output)
	}
	r.while(t, "plugin/gate", "failed", "first", func() { replaceFile(t, r.module, string(denying("second"))) })
	r.shows(t, "cases", `case "nobody passes": reason: want "first", got "second"`)
	refusedBy(t, r.config, line(t, r.config, "module: gate.wasm")+"plugins[0].module: plugin gate: cases: ", `gate.cases.yaml:2: case "nobody passes": reason: want "first", got "second"`)
	replaceFile(t, filepath.Join(r.dir, "gate.cases.yaml"), cases("second"))
	r.answers(t, "second")
	r.while(t, "plugin/gate", "failed", "second", func() { replaceFile(t, filepath.Join(r.dir, "gate.cases.yaml"), "- name: [") })
	r.shows(t, "cases", "gate.cases.yaml:")
}
