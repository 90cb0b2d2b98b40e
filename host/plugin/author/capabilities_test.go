package author_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/plugin/author"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// specified are the host's functions as abi/SPEC.md lists them, by capability.
func specified(t *testing.T) map[string][]Import {
	t.Helper()
	spec, err := os.ReadFile("../../../abi/SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	types := func(words string) (list []byte) {
		for _, word := range strings.Fields(words) {
			list = append(list, map[string]byte{"i32": I32, "i64": I64}[word])
		}
		return list
	}
	all, capability := map[string][]Import{}, ""
	for _, m := range regexp.MustCompile("(?m)^\\| `authhost` `(\\w+)` \\| `func \\(([^)]*)\\) -> \\(([^)]*)\\)` \\| (.*) \\|$").FindAllStringSubmatch(string(spec), -1) {
		if m[4] != "the same" {
			_, capability, _ = strings.Cut(m[4], "under the capability ")
		}
		name := strings.Trim(capability, "`")
		all[name] = append(all[name], Import{Module: "authhost", Name: m[1], Params: types(m[2]), Results: types(m[3])})
	}
	return all
}

// Whatever a module imports, inspect names the capability that a host asks for
// it, and none for what is granted to everyone.
func TestInspectCapabilities(t *testing.T) {
	all := specified(t)
	if len(all[""]) != 3 || len(all["session"]) != 2 || len(all["kv"]) != 3 || len(all["http"]) != 1 || len(all) != 4 {
		t.Fatalf("%v", all)
	}
	inspect := func(imports ...Import) *author.Inspection {
		t.Helper()
		m := editorsOnly()
		m.Imports = imports
		in, err := open(t, m, "", "").Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	var every []Import
	for capability, imports := range all {
		every = append(every, imports...)
		for _, i := range imports {
			in := inspect(i)
			want := slices.DeleteFunc([]string{capability}, func(name string) bool { return name == "" })
			if !slices.Equal(in.Grants, want) || !slices.Equal(in.Imports, []author.Import{{Module: "authhost", Name: i.Name, Grant: capability}}) {
				t.Errorf("%s: needs %q, imports %v", i.Name, in.Grants, in.Imports)
			}
		}
	}
	if got := slices.Sorted(slices.Values(inspect(every...).Grants)); !slices.Equal(got, []string{"http", "kv", "session"}) {
		t.Errorf("all: needs %q", got)
	}
}
