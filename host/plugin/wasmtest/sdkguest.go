package wasmtest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Language is one that plugins are written in with an SDK of this repository.
type Language struct {
	Name string
	dir  string         // below sdk
	line *regexp.Regexp // the command in README.md that builds a plugin
	ext  string         // of the source that the command names; Go has a package
}

// Languages are all of them.
var Languages = []Language{
	{"Go", "", regexp.MustCompile(`(?m)^GOOS=wasip1 .* (-o \S+) (\S+)$`), ""},
	{"Rust", "rust", regexp.MustCompile(`(?m)^/usr/bin/rustc (?:.|\\\n)* (-o \S+) (\S+)$`), ".rs"},
	{"AssemblyScript", "assemblyscript", regexp.MustCompile(`(?m)^npx asc .* (-o \S+) (\S+)$`), ".ts"},
	{"C", "c", regexp.MustCompile(`(?m)^clang .* (-o \S+) (\S+)$`), ".c"},
}

// SDKGuest compiles one of the guests that every SDK has, such as example/rbac
// and testdata/echo, with the command that the SDK's README shows. root is the
// path of the repository. Every source is read first, so that go test knows
// what its result depends on; the toolchains are those that `make deps`
// installs.
func SDKGuest(tb testing.TB, root string, l Language, guest string) []byte {
	tb.Helper()
	dir := filepath.Join(root, "sdk", l.dir)
	readSources(tb, dir)
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		tb.Fatal(err)
	}
	line := l.line.FindStringSubmatch(string(readme))
	if line == nil {
		tb.Fatalf("%s/README.md shows no line %s", dir, l.line)
	}
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	source := guest + l.ext
	if l.ext == "" {
		source = "./" + guest
	}
	command := strings.TrimSuffix(line[0], line[1]+" "+line[2]) + "-o " + out + " " + source
	asc, err := filepath.Abs(filepath.Join(root, ".cache/assemblyscript/node_modules/.bin/asc"))
	if err != nil {
		tb.Fatal(err)
	}
	command = strings.Replace(command, "npx asc", asc, 1)
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v (make deps installs compilers)\n%s", command, err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return module
}

// readSources reads every file below a folder, or one file.
func readSources(tb testing.TB, dir string) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			_, err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}
