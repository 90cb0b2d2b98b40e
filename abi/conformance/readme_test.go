package conformance_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
)

// shown is a plugin that a README shows, with its name.
var shown = regexp.MustCompile("(?ms)^```[a-z]+\n// ((\\w+)\\.[a-z]+)\n(.*?)^```$")

// readmePlugins compiles every plugin that the README of an SDK of one file
// shows, beside copies of both.
func readmePlugins(t *testing.T, l wasmtest.Language, dir, file string) map[string][]byte {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "sdk", dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "sdk", dir), 0o755); err != nil {
		t.Fatal(err)
	}
	cache, err := filepath.Abs("../../.cache") // where make deps puts a compiler
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(cache, filepath.Join(root, ".cache")); err != nil {
		t.Fatal(err)
	}
	var readme []byte
	for _, name := range []string{file, "README.md"} {
		if readme, err = os.ReadFile(filepath.Join("../../sdk", dir, name)); err != nil {
			t.Fatal(err)
		}
		put(name, string(readme))
	}
	modules := map[string][]byte{}
	for _, block := range shown.FindAllStringSubmatch(string(readme), -1) {
		put(block[1], block[3])
		modules[block[2]] = wasmtest.SDKGuest(t, root, l, block[2])
	}
	return modules
}

// What READMEs show is a plugin, the same in each language, and imports and
// exports what it uses and nothing else.
func TestTheREADMEs(t *testing.T) {
	for _, l := range wasmtest.Languages {
		switch l.Name {
		case "Rust":
			tryShown(t, l.Name, readmePlugins(t, l, "rust", "authhost.rs"), "_initialize ")
		case "AssemblyScript":
			tryShown(t, l.Name, readmePlugins(t, l, "assemblyscript", "authhost.ts"), "") // its module begins by a start function
		case "C":
			tryShown(t, l.Name, readmePlugins(t, l, "c", "authhost.h"), "_initialize ")
		}
	}
}

// tryShown is told which export declares a counter.
func tryShown(t *testing.T, language string, modules map[string][]byte, declares string) {
	t.Helper()
	rt := wazero.NewRuntime(t.Context())
	defer rt.Close(t.Context())
	for name, want := range map[string]string{
		"gate": "get log, authhost_abi_v1 authhost_buffer on_authorize",
		"ask":  "fetch get kv_add log metric, " + declares + "authhost_abi_v1 authhost_buffer on_authorize",
	} {
		code, err := rt.CompileModule(t.Context(), modules[name])
		if err != nil {
			t.Fatalf("%s: %s: %v", language, name, err)
		}
		var imports, exports []string
		for _, f := range code.ImportedFunctions() {
			_, function, _ := f.Import()
			imports = append(imports, function)
		}
		for function := range code.ExportedFunctions() {
			exports = append(exports, function)
		}
		slices.Sort(imports)
		slices.Sort(exports)
		if got := strings.Join(imports, " ") + ", " + strings.Join(exports, " "); got != want {
			t.Errorf("%s: %s: %s, want %s", language, name, got, want)
		}
	}

	g, err := engine(t, modules["ask"])(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	frame := func(more func(*abi.FrameWriter)) Bytes {
		buf := make([]byte, abi.MinBuffer)
		var w abi.FrameWriter
		w.Reset(buf, abi.OnAuthorize, 4)
		w.Number(abi.FieldTime, 1767225645)
		w.Text(abi.FieldUserID, "usr_ada")
		more(&w)
		return Bytes(buf[:w.Finish()])
	}
	nothing := func(*abi.FrameWriter) {}
	status := func(status uint64) func(*abi.FrameWriter) {
		return func(w *abi.FrameWriter) {
			w.Number(abi.FieldFetchStatus, status)
			w.Text(abi.FieldFetchBlob, "")
		}
	}
	add := func(sum int64, returns int32) Call {
		return Call{Import: "kv_add", Name: "usr_ada/29453760", Delta: 1, TTL: 60000, Sum: sum, Returns: returns}
	}
	refused := Bytes(abi.AppendAnswer(nil, abi.Answer{Status: 429, Reason: "ten a minute", Headers: []abi.Header{{Name: "Retry-After", Value: "15"}}}))
	for _, c := range []Case{
		{Name: "asks", Frame: frame(nothing), Calls: []Call{add(10, 1)}, Code: 3,
			Answer: Bytes(abi.AppendAnswer(nil, abi.Answer{Request: &abi.Request{Method: "GET", URL: "https://policy.example/members/usr_ada"}}))},
		{Name: "too often", Frame: frame(nothing), Calls: []Call{add(11, 1), {Import: "metric", Name: "refused", Delta: 1}}, Code: 2, Answer: refused},
		{Name: "no more keys", Frame: frame(nothing), Calls: []Call{add(0, -3), {Import: "metric", Name: "refused", Delta: 1}}, Code: 2, Answer: refused},
		{Name: "a member", Frame: frame(status(200))},
		{Name: "no member", Frame: frame(status(404)), Code: 2, Answer: Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "members only"}))},
		{Name: "no answer", Frame: frame(status(0)), Fails: true},
	} {
		c.Hook = "on_authorize"
		if err := c.Check(t.Context(), g); err != nil {
			t.Errorf("%s: %s: %v", language, c.Name, err)
		}
	}
}
