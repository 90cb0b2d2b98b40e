package host_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/authhost/authhost/"

// rooms says which packages of the module each package may import. Tests may
// import what they need.
var rooms = map[string][]string{
	"abi":                       {},
	"abi/conformance":           {},
	"abi/internal/vectors":      {"abi", "abi/conformance"},
	"cmd/authhost":              {"cmd/authhost/internal/dev", "cmd/authhost/internal/source", "host/daemon", "host/plugin/author"},
	"cmd/authhost/internal/dev": {"cmd/authhost/internal/source"},
	"e2e":                       {},
	"host":                      {},
	"host/admin":                {"host"},
	"host/audit":                {"host"},
	"host/cache":                {},
	"host/cache/etcd":           {"host/cache"},
	"host/cache/near":           {"host/cache"},
	"host/cache/file":           {"host/cache"},
	"host/cache/memory":         {"host/cache"},
	"host/cache/redis":          {"host/cache"},
	"host/cache/cachetest":      {"host/cache"},
	"host/config":               {"host", "host/egress", "host/plugin/signature"},
	"host/credential":           {"host"},
	"host/edge":                 {"host"},
	"host/egress":               {},
	"host/kv":                   {"host", "host/cache"},
	"host/kv/kvtest":            {"host"},
	"host/login":                {"host"},
	"host/notify":               {"host"},
	"host/plugin":               {"host", "abi"},
	"host/plugin/author":        {"host/plugin", "host/plugin/cases", "host/plugin/signature"},
	"host/plugin/cases":         {"host"},
	"host/plugin/replay":        {"host"},
	"host/plugin/rollout":       {"host", "host/plugin", "host/plugin/cases", "host/plugin/replay", "host/plugin/signature"},
	"host/plugin/signature":     {},
	"host/plugin/wasmtest":      {},
	"host/session":              {"host", "host/cache"},
	"host/token":                {"host"},
	"host/daemon": {"abi", "host", "host/admin", "host/audit", "host/cache", "host/cache/file", "host/cache/etcd", "host/cache/memory", "host/cache/near", "host/cache/redis",
		"host/config", "host/credential", "host/edge", "host/egress", "host/kv", "host/login", "host/notify", "host/plugin", "host/plugin/replay", "host/plugin/rollout", "host/session", "host/token"},
	"host/cache/redis/redistest":   {},
	"cmd/authhost/internal/source": {},
}

// outside names the one room that may import a library which others must not
// even know of; so may what is below it.
var outside = map[string]string{
	"github.com/tetratelabs/wazero":        "host/plugin",
	"aead.dev/minisign":                    "host/plugin/signature",
	"github.com/golang-jwt/jwt":            "host/token",
	"go.etcd.io/etcd":                      "host/cache/etcd",
	"github.com/redis/go-redis":            "host/cache/redis",
	"github.com/knadh/koanf":               "host/config",
	"github.com/prometheus/client_golang":  "host/audit",
	"github.com/authhost/authhost/sdk":     "no room",
	"github.com/authhost/authhost/plugins": "no room",
}

// eachSource calls do with every Go file of the module, tests excepted, and the
// package that it belongs to.
func eachSource(t *testing.T, do func(room, path string)) {
	t.Helper()
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
				return fs.SkipDir // a module of its own
			}
			if d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		do(filepath.ToSlash(rel), path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The imports are parsed, not asked of the go command, so that the test reads
// every file it judges and its cached result cannot be stale.
func TestRoomsKnowOnlyWhatTheyMay(t *testing.T) {
	seen := map[string]bool{}
	eachSource(t, func(room, path string) {
		checkFile(t, room, path)
		seen[room] = true
	})
	if len(seen) < 5 {
		t.Fatalf("only %d packages found", len(seen))
	}
}

// Without etcd the program is free of its client and of gRPC. What libraries
// import counts here, so the go command is asked; every source is read first,
// for the cached result.
func TestProgramWithoutEtcd(t *testing.T) {
	read := func(path string) {
		if _, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	eachSource(t, func(_, path string) { read(path) })
	read("../go.mod")
	for _, c := range []struct {
		tags string
		with bool
	}{{"", true}, {"no_etcd", false}} {
		out, err := exec.Command("go", "list", "-deps", "-tags", c.tags, "../cmd/authhost").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, library := range []string{"go.etcd.io/", "google.golang.org/grpc", module + "host/cache/etcd"} {
			if with := strings.Contains("\n"+string(out), "\n"+library); with != c.with {
				t.Errorf("with tags %q the program has %s: %v", c.tags, library, with)
			}
		}
	}
}

func checkFile(t *testing.T, room, path string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	allowed, known := rooms[room]
	if !known {
		t.Errorf("%s: package %s is not in the table of rooms", path, room)
		return
	}
	for _, imp := range file.Imports {
		name := strings.Trim(imp.Path.Value, `"`)
		for library, owner := range outside {
			if strings.HasPrefix(name, library) && room != owner && !strings.HasPrefix(room, owner+"/") {
				t.Errorf("%s imports %s, which belongs to %s", path, name, owner)
			}
		}
		if inner, ours := strings.CutPrefix(name, module); ours && !slices.Contains(allowed, inner) {
			t.Errorf("%s: %s must not import %s", path, room, inner)
		}
	}
}
