package sdk_test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a plugin declares is what it exports and imports, so that is tested on
// the file that the Go linker makes.
func TestBuiltPluginDeclaresWhatItImports(t *testing.T) {
	every := map[string]string{
		"_initialize":     "func () -> ()",
		"memory":          "memory",
		"authhost_abi_v1": "func () -> ()",
		"authhost_buffer": "func () -> (i64)",
		"on_authorize":    "func (i32) -> (i64)",
		"on_credential":   "func (i32) -> (i64)",
		"on_login":        "func (i32) -> (i64)",
		"on_logout":       "func (i32) -> (i64)",
		"configure":       "func (i32) -> (i64)",
	}
	imports := map[string]string{
		"authhost.get": "func (i32 i32 i32 i32 i32 i32) -> (i32)",
		"authhost.log": "func (i32 i32 i32) -> ()",

		"authhost.fetch":       "func () -> ()",
		"authhost.metric":      "func (i32 i32 i64) -> ()",
		"authhost.session_get": "func (i32 i32 i32 i32) -> (i32)",
		"authhost.session_set": "func (i32 i32 i32 i32 i32 i32) -> (i32)",
		"authhost.kv_get":      "func (i32 i32 i32 i32) -> (i32)",
		"authhost.kv_set":      "func (i32 i32 i32 i32 i32 i32 i64) -> (i32)",
		"authhost.kv_add":      "func (i32 i32 i64 i64 i32) -> (i32)",
	}
	// What section 8 of abi/SPEC.md lists.
	inert := []string{
		"args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_time_get", "clock_res_get",
		"random_get", "fd_write", "fd_read", "fd_close", "fd_fdstat_get", "fd_fdstat_set_flags",
		"fd_prestat_get", "fd_prestat_dir_name", "sched_yield", "poll_oneoff", "proc_exit",
	}
	for plugin, want := range map[string]struct {
		hooks, imports []string
		size           int64
	}{
		"gate":   {[]string{"on_authorize"}, []string{"authhost.get"}, 2 << 20},
		"every":  {[]string{"on_authorize", "on_credential", "configure"}, []string{"authhost.get", "authhost.log"}, 2 << 20},
		"door":   {[]string{"on_login", "on_logout"}, []string{"authhost.get", "authhost.fetch"}, 2 << 20},
		"asker":  {[]string{"on_authorize"}, []string{"authhost.get", "authhost.fetch"}, 2 << 20},
		"keeper": {[]string{"on_authorize"}, []string{"authhost.get", "authhost.metric", "authhost.session_get", "authhost.session_set", "authhost.kv_get", "authhost.kv_set", "authhost.kv_add"}, 2 << 20},
	} {
		t.Run(plugin, func(t *testing.T) {
			t.Parallel()
			module := build(t, plugin)
			exports := maps.Clone(every)
			for _, hook := range []string{"on_authorize", "on_credential", "on_login", "on_logout", "configure"} {
				if !slices.Contains(want.hooks, hook) {
					delete(exports, hook)
				}
			}
			m := readModule(t, module)
			if !maps.Equal(m.exports, exports) {
				t.Errorf("exports %v, want %v", m.exports, exports)
			}
			for name, typ := range m.imports {
				if wasi, ok := strings.CutPrefix(name, "wasi_snapshot_preview1."); ok {
					if !slices.Contains(inert, wasi) {
						t.Errorf("imports %s, which is not among what hosts have", name)
					}
					continue
				}
				if imports[name] != typ || !slices.Contains(want.imports, name) {
					t.Errorf("imports %s, %s", name, typ)
				}
			}
			for _, name := range want.imports {
				if m.imports[name] == "" {
					t.Errorf("does not import %s", name)
				}
			}
			if int64(len(module)) > want.size {
				t.Errorf("%d bytes, want at most %d: does the SDK import something large?", len(module), want.size)
			}
		})
	}
}

// build compiles a plugin of testdata by the line that the README gives. It
// reads every source first, so that go test knows what the result rests on.
func build(t *testing.T, plugin string) []byte {
	t.Helper()
	sources(t)
	file := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/"+plugin)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %s\n%s", err, out)
	}
	module, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// sources reads the module's Go files.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" && filepath.Base(path) != "go.mod" {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%d sources, %v", len(files), err)
	}
	return files
}

// The plugin that the README shows is the one that the tests build.
func TestReadmeShowsTheBuiltPlugin(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, plugin, _ := strings.Cut(sources(t)["testdata/gate/main.go"], "\n")
	if plugin == "" || !strings.Contains(string(readme), "```go\n"+plugin+"```\n") {
		t.Error("README.md does not show testdata/gate/main.go")
	}
	if !strings.Contains(string(readme), "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags=\"-s -w\"") {
		t.Error("README.md does not show the line that builds it")
	}
}

// The SDK is linked into every plugin: what it imports, all of them carry.
func TestSDKImportsNothingLarge(t *testing.T) {
	for path, text := range sources(t) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal/fakehost/") ||
			strings.HasPrefix(path, "testdata/") || strings.HasPrefix(path, "example/") || path == "go.mod" {
			continue
		}
		for _, name := range importsOf(t, path, text) {
			if name != "unsafe" && name != "unicode/utf8" && !strings.HasPrefix(name, "github.com/authhost/authhost/sdk") {
				t.Errorf("%s imports %s", path, name)
			}
		}
	}
}
