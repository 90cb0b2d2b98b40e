// Package plugins_test builds every plugin, and the ones that
// docs/writing-plugins.md shows, for the sandbox.
package plugins_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readSources reads every source below dirs, so that a cached test result is
// not taken for one of other sources: the go command sees only what a test
// itself opens.
func readSources(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && slices.Contains([]string{".go", ".txtar", ".rs", ".ts", ".c", ".h", ".md"}, filepath.Ext(path)) {
				_, err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command in dir and returns its output, standard error included.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

var wasm = []string{"GOOS=wasip1", "GOARCH=wasm"}

// TestPluginsBuild runs the commands of README.md in a copy of this folder.
func TestPluginsBuild(t *testing.T) {
	t.Parallel()
	readSources(t, ".", "../sdk")
	dir := t.TempDir()
	for from, to := range map[string]string{".": "plugins", "../sdk": "sdk"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	hooks := map[string]string{"cookie-fallback": "on_credential", "logout-webhook": "on_logout", "rate-limit": "on_authorize", "rbac-gitops": "on_authorize"}
	built := func(name string) string { return filepath.Join(dir, "plugins", name, name+".wasm") }
	for name := range hooks {
		os.Remove(built(name)) // one that was built before
	}
	for _, block := range fence.FindAllStringSubmatch(string(readme), -1) {
		if block[1] == "sh" {
			run(t, filepath.Join(dir, "plugins"), nil, "sh", "-euc", block[2])
		}
	}
	for name, hook := range hooks {
		module, err := os.ReadFile(built(name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
			t.Fatalf("%s is no WebAssembly module", name)
		}
		for _, export := range []string{"configure", "on_credential", "on_authorize", "on_logout"} {
			entry := append([]byte{byte(len(export))}, export+"\x00"...) // the name, then 0: a function
			if got, want := bytes.Contains(module, entry), export == "configure" || export == hook; got != want {
				t.Errorf("%s exports %s: %v, want %v", name, export, got, want)
			}
		}
		t.Logf("%s: %d KiB", name, len(module)>>10)
	}
}
