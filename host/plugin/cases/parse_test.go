package cases_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/plugin/cases"
)

// Each line of testdata/errors.yaml says after "# ERROR " which problems Parse
// must find there, and no other.
func TestErrorsNameFileLineAndKey(t *testing.T) {
	const file = "testdata/errors.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, line := range strings.Split(string(text), "\n") {
		for _, w := range strings.Split(line, "# ERROR ")[1:] {
			want = append(want, fmt.Sprintf("%s:%d: %s", file, i+1, strings.TrimSpace(w)))
		}
	}
	set, err := cases.Parse(file, text)
	problems, ok := errors.AsType[cases.Problems](err)
	if set != nil || !ok {
		t.Fatalf("got %v, %T", set, err)
	}
	got := strings.Split(problems.Error(), "\n")
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("not expected: %s", g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("missing: %s", w)
		}
	}
	if !slices.IsSortedFunc(problems, func(a, b *cases.Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in the order of the lines:\n%s", problems)
	}
}

func TestFilesThatHoldNoCases(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "f:1: holds no case; a plugin without cases has no such file",
		"# nothing":                    "f:1: holds no case; a plugin without cases has no such file",
		"[]":                           "f:1: holds no case; a plugin without cases has no such file",
		"\n\ncases: []":                "f:3: must be a list",
		"- a: [\n- b":                  "f:2: did not find expected node content",
		"- a: b\n  c: d: e":            "f:2: mapping values are not allowed in this context",
		"- {}\n---\n- {}":              "f:2: a second document begins; keep one",
		"- *x":                         "f:1: unknown anchor 'x' referenced",
		strings.Repeat(" ", 1<<20+1):   "f:1: has 1048577 bytes, 1048576 are allowed",
		"- &a {name: b, claims: *a}":   "claims: unknown key",
		"- {<<: {name: b}}":            "f:1: [0]: a key must be plain text, and << is not for cases",
		"- {name: a, config: &c [*c]}": "nests too deep",
		"- {name: a, config: {x: .nan}, hook: on_authorize}": "[0].config: cannot be written as JSON",
		"- {name: a, config: !!binary aGk=}":                 "[0].config: cannot be read as !!binary",
	} {
		set, err := cases.Parse("f", []byte(text))
		if set != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
}

// Aliases of aliases are given up, soon.
func TestBillionLaughs(t *testing.T) {
	text := "- name: a\n  config:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		text += fmt.Sprintf("    a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	if _, err := cases.Parse("f", []byte(text)); err == nil || !strings.Contains(err.Error(), "aliases repeat too much") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: whatever a file holds, Parse returns cases or Problems that name
// a place, never both, and does not panic; and what it returns can be run.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/errors.yaml", "../../../plugins/rbac-gitops/rbac-gitops.cases.yaml", "../../../plugins/cookie-fallback/cookie-fallback.cases.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		for _, one := range strings.SplitAfter(string(text), "\n- ") {
			f.Add("- " + strings.TrimSuffix(one, "\n- "))
		}
	}
	for _, text := range []string{"", "[]", "- a", "a: &a [*a]", "- x: &x {<<: *x}", "- ? {a: b}\n: c", "- !!map 5", "--- a\n--- b", "\xef\xbb\xbf[]", "%TAG ! x\n---\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := cases.Parse("f", []byte(text))
		if err == nil {
			if set.Len() == 0 {
				t.Error("no cases")
			}
			for _, g := range set.Groups() {
				for _, c := range g.Cases {
					r := c.Run(t.Context(), &subject{}, &cases.World{})
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
			}
			return
		}
		problems, ok := errors.AsType[cases.Problems](err)
		if set != nil || !ok || len(problems) == 0 {
			t.Fatalf("%v, %T %v", set, err, err)
		}
		for _, p := range problems {
			if p.Text == "" || p.Line < 1 {
				t.Errorf("no place or text: %#v", p)
			}
		}
		if strings.Count(err.Error(), "\n") >= len(problems) {
			t.Errorf("a problem spans lines: %q", err)
		}
	})
}
