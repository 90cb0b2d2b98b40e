package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// written are the languages that plugins are written in, each with the file
// that is the source of plugin gate, and functions that a stack names when it
// ends as testdata/crash says.
var written = []struct {
	language, source  string
	fall, reach, turn string
	said              string // by the guest, of its panic
}{
	{"go", "main.go", "main.fall", "main.reach", "main.turn", "panic: as told"},
	{"rust", "gate.rs", "plugin::fall", "plugin::reach", "plugin::turn", "crash.rs:"},
	{"assemblyscript", "gate.ts", "crash/fall", "crash/reach", "crash/turn", "as told"},
	{"c", "gate.c", "fall", "reach", "turn", "as told"},
}

// tools is the path on which authhost and the compilers of plugins are found.
func tools(t testing.TB) string {
	return strings.Join([]string{artifacts(t), filepath.Join(root, ".cache/assemblyscript/node_modules/.bin"), os.Getenv("PATH")}, string(os.PathListSeparator))
}

// The whole way, for each language: testdata/author/way.txtar. "serve" runs a
// host with the plugin of live/, "denied REASON" waits until it answers so to a
// viewer who deletes.
func TestAuthorsWay(t *testing.T) {
	t.Parallel()
	program(t, "minisign")
	for _, w := range written {
		t.Run(w.language, func(t *testing.T) {
			idp := newIssuer(t)
			var h *authhost
			testscript.Run(t, testscript.Params{
				Dir: "testdata/author", RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("LANGUAGE", w.language)
					env.Setenv("SOURCE", "gate/"+w.source)
					env.Setenv("PATH", tools(t))
					env.Setenv("HOME", os.Getenv("HOME")) // the go command's cache is there
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"serve": func(ts *testscript.TestScript, _ bool, _ []string) {
						key := strings.Split(ts.ReadFile("key.pub"), "\n")[1]
						config := operated + listen + "cache: {driver: memory}\n" + idp.realm("") + `
plugins: [{name: gate, module: live/gate.wasm, public_keys: ["` + key + `"]}]
routes: [{path: "/**", plugins: [gate], default: allow}]
`
						for name, content := range map[string]string{"authhost.yaml": config, "operator.tokens": "ann " + operatorToken + "\n", "operator": operatorToken} {
							ts.Check(os.WriteFile(ts.MkAbs(name), []byte(content), 0o600))
						}
						h = serveFile(t, ts.MkAbs("authhost.yaml"))
						ts.Setenv("ADMIN", h.admin)
					},
					"denied": func(ts *testscript.TestScript, _ bool, args []string) {
						eventually(t, args[0], func() bool {
							a := h.forwardAuth(t, "DELETE", "/items/1", bearer(idp.token(t, "viewer", nil))...)
							return a.status == http.StatusForbidden && strings.Contains(a.body, fmt.Sprintf(`"reason":%q`, args[0]))
						})
					},
				},
			})
		})
	}
}

// authhostIn runs authhost in a folder, and returns its output and exit code.
func authhostIn(t testing.TB, dir string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), args...)
	cmd.Dir = dir
	cmd.Env = append(environ(t), "PATH="+tools(t))
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// However a guest ends, in whatever language, its author is shown its own
// functions and what was asked, in plugin test and in the host's log. The
// client is not.
func TestGuestErrors(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	for _, w := range written {
		t.Run(w.language, func(t *testing.T) {
			dir := t.TempDir()
			if out, code := authhostIn(t, dir, "plugin", "new", "crash", "--lang", w.language); code != 0 {
				t.Fatal(out)
			}
			plugin := filepath.Join(dir, "crash")
			copyInto(t, filepath.Join("testdata/crash", w.language), plugin)
			cases, err := os.ReadFile("testdata/crash/cases.yaml")
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(plugin, "crash.cases.yaml"), string(cases))
			if out, code := authhostIn(t, dir, "plugin", "build", "crash"); code != 0 {
				t.Fatal(out)
			}
			module := filepath.Join(plugin, "crash.wasm")

			out, code := authhostIn(t, dir, "plugin", "test", "crash")
			for _, text := range []string{
				"FAIL  it must not fall  (crash.cases.yaml:1)", "on_authorize: POST https://console.example/fall, route /**, by ann (usr_", "roles [editor]",
				"no answer: on_authorize: unreachable", "no answer: on_authorize: out of bounds memory access", "no answer: on_authorize: ran past its time limit",
				"  " + w.fall + "\n", "  " + w.reach + "\n", "  " + w.turn + "\n", w.said, "3 cases, 0 passed, 3 failed",
			} {
				if code != 1 || !strings.Contains(out, text) {
					t.Errorf("plugin test: exit %d, want 1 and %q in\n%s", code, text, out)
				}
			}
			if strings.Contains(out, "secret") {
				t.Errorf("a credential is shown:\n%s", out)
			}

			if err := os.Remove(filepath.Join(plugin, "crash.cases.yaml")); err != nil {
				t.Fatal(err)
			}
			h := serve(t, listen+"cache: {driver: memory}\n"+idp.realm("")+fmt.Sprintf("\nplugins: [{name: crash, module: %s}]\nroutes: [{path: \"/**\", plugins: [crash], default: allow}]\n", module))
			token := idp.token(t, "editor", nil)
			for path, function := range map[string]string{"/fall": w.fall, "/reach": w.reach, "/turn": w.turn} {
				a := h.forwardAuth(t, "POST", path+"?_token=hush", bearer(token)...)
				if a.status != http.StatusServiceUnavailable || strings.Contains(a.body, function) || strings.Contains(a.body, "told") || strings.Contains(a.body, "on_authorize") {
					t.Errorf("%s: the client got %s", path, a)
				}
				found := slices.ContainsFunc(h.logged("plugin failed"), func(line map[string]any) bool {
					stack, _ := line["stack"].([]any)
					user, _ := line["user_id"].(string)
					return line["path"] == path && line["method"] == "POST" && line["route"] == "/**" && strings.HasPrefix(user, "usr_") && slices.Contains(stack, any(function))
				})
				if !found {
					t.Errorf("%s: no %s in the log\n%s", path, function, h.log())
				}
			}
			if log := h.log(); strings.Contains(log, token) || strings.Contains(log, "hush") {
				t.Errorf("a credential is in the log:\n%s", log)
			}
		})
	}
}

// So it is at a login, of which nothing comes.
func TestGuestErrorsAtLogin(t *testing.T) {
	t.Parallel()
	dir, idp := t.TempDir(), newIssuer(t)
	if out, code := authhostIn(t, dir, "plugin", "new", "crash", "--lang", "c"); code != 0 {
		t.Fatal(out)
	}
	plugin := filepath.Join(dir, "crash")
	copyInto(t, "testdata/crash/login", plugin)
	if out, code := authhostIn(t, dir, "plugin", "build", "crash"); code != 0 {
		t.Fatal(out)
	}
	out, code := authhostIn(t, dir, "plugin", "test", "crash")
	for _, text := range []string{
		"FAIL  it must not bar  (crash.cases.yaml:1)", "on_login: POST https://console.example/v1/login, ", "by ann (usr_", "roles [barred]",
		"no answer: on_login: unreachable", "  bar\n", "as told", "1 cases, 0 passed, 1 failed",
	} {
		if code != 1 || !strings.Contains(out, text) {
			t.Errorf("plugin test: exit %d, want 1 and %q in\n%s", code, text, out)
		}
	}
	if strings.Contains(out, "secret") {
		t.Errorf("a credential is shown:\n%s", out)
	}

	if err := os.Remove(filepath.Join(plugin, "crash.cases.yaml")); err != nil {
		t.Fatal(err)
	}
	h := serve(t, listen+"cache: {driver: memory}\n"+idp.realm("    plugins: [crash]\n")+fmt.Sprintf("plugins: [{name: crash, module: %s}]\n", filepath.Join(plugin, "crash.wasm"))+open)
	token := idp.token(t, "barred", nil)
	a := ask(t, "POST", h.public+"/v1/login?_token=hush", append(bearer(token), "X-Auth-Token", "hush")...)
	if a.status != http.StatusServiceUnavailable || strings.Contains(a.body, "bar") || strings.Contains(a.body, "told") || strings.Contains(a.body, "on_login") {
		t.Errorf("the client got %s", a)
	}
	if !slices.ContainsFunc(h.logged("plugin failed"), func(line map[string]any) bool {
		stack, _ := line["stack"].([]any)
		user, _ := line["user_id"].(string)
		return line["hook"] == "on_login" && line["path"] == "/v1/login" && line["method"] == "POST" && line["realm"] == "main" && strings.HasPrefix(user, "usr_") && slices.Contains(stack, any("bar"))
	}) {
		t.Errorf("no bar in the log\n%s", h.log())
	}
	if log := h.log(); strings.Contains(log, token) || strings.Contains(log, "hush") {
		t.Errorf("a credential is in the log:\n%s", log)
	}
}

// copyInto copies the files of one folder into another.
func copyInto(t testing.TB, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil || len(entries) == 0 {
		t.Fatal(from, err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(to, e.Name()), string(content))
	}
}

// A secret key with a password, minisign's own or ours, signs with it alone.
func TestSignWithPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "gate.wasm"), string(denying("x")))
	writeFile(t, filepath.Join(dir, "password"), "hush\n")
	copyInto(t, filepath.Join(root, "host/plugin/signature/testdata"), dir)
	if out, code := authhostIn(t, dir, "plugin", "sign", "--new-key", "own.key", "--password-file", "password"); code != 0 {
		t.Fatal(out)
	}
	for _, key := range []string{"locked.key", "own.key"} {
		if out, code := authhostIn(t, dir, "plugin", "sign", "gate.wasm", "--key", key); code != 1 || !strings.Contains(out, key+": the secret key is encrypted: --password-file FILE") {
			t.Errorf("%s without its password: %d %s", key, code, out)
		}
	}
	if out, code := authhostIn(t, dir, "plugin", "sign", "gate.wasm", "--key", "locked.key", "--password-file", "password", "--version", "1.0.0"); code != 0 {
		t.Fatal(out)
	}
	cmd := exec.Command(program(t, "minisign"), "-Vm", "gate.wasm", "-p", "locked.pub")
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(b), "version:1.0.0") {
		t.Errorf("minisign: %v %s", err, b)
	}
	if info, err := os.Stat(filepath.Join(dir, "own.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret key: %v, %v", info.Mode(), err)
	}
}
