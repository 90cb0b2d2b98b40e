// Package plugins_test builds every plugin, and the ones that
// docs/writing-plugins.md shows, for the sandbox.
package plugins_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// readSources reads every Go file below dirs, so that a cached test result is
// not taken for one of other sources: the go command sees only what a test
// itself opens.
func readSources(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
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

func TestPluginsBuild(t *testing.T) {
	readSources(t, ".", "../sdk")
	hooks := map[string][]string{
		"cookie-fallback": {"configure", "on_credential"},
		"rbac-gitops":     {"configure", "on_authorize"},
	}
	for name, exports := range hooks {
		out := filepath.Join(t.TempDir(), name+".wasm")
		run(t, ".", wasm, "go", "build", "-buildmode=c-shared", "-o", out, "./"+name)
		module, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
			t.Fatalf("%s is no WebAssembly module", name)
		}
		for _, hook := range []string{"configure", "on_credential", "on_authorize"} {
			export := append([]byte{byte(len(hook))}, hook+"\x00"...) // name, then kind 0: a function
			if got, want := bytes.Contains(module, export), strings.Contains(strings.Join(exports, " "), hook); got != want {
				t.Errorf("%s exports %s: %v, want %v", name, hook, got, want)
			}
		}
		t.Logf("%s: %d KiB", name, len(module)>>10)
	}
}
