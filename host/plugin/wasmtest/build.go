package wasmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Guests in the languages that plugins are written in are built from source.
// The toolchains are those that scripts/install-test-servers installs.

// BuildGo compiles a Go package below root, the directory of its module.
func BuildGo(tb testing.TB, root, pkg string) []byte {
	tb.Helper()
	return build(tb, root, []string{"GOOS=wasip1", "GOARCH=wasm", "GOWORK=off"}, "go", "build", "-buildmode=c-shared", "-o", "out.wasm", "./"+pkg)
}

// BuildC compiles a C file, for a machine without a library.
func BuildC(tb testing.TB, file string) []byte {
	tb.Helper()
	return build(tb, ".", nil, "clang", "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-o", "out.wasm", file)
}

// BuildRust compiles a Rust file with Debian's compiler, whatever other one
// comes first in the path.
func BuildRust(tb testing.TB, file string) []byte {
	tb.Helper()
	return build(tb, ".", nil, "/usr/bin/rustc", "--target", "wasm32-unknown-unknown", "--crate-type", "cdylib", "--edition", "2021",
		"-C", "opt-level=3", "-C", "lto", "-C", "panic=abort", "-C", "strip=debuginfo", "-o", "out.wasm", file)
}

// build runs a compiler whose last argument is the source. That is read first,
// so that go test knows what its result depends on.
func build(tb testing.TB, dir string, env []string, command ...string) []byte {
	tb.Helper()
	readSources(tb, filepath.Join(dir, command[len(command)-1]))
	out := filepath.Join(tb.TempDir(), "out.wasm")
	for i, arg := range command {
		if arg == "out.wasm" {
			command[i] = out
		}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
