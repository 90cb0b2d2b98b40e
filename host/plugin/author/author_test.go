package author_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host/plugin/author"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

const (
	buffer = 1024
	text   = 40 << 10
)

// answering is a plugin that gives one answer, whatever it is asked.
func answering(a abi.Answer) Module {
	answer := abi.AppendAnswer(nil, a)
	return hook(Join(
		Const32(buffer), Const32(text), Const32(int32(len(answer))), Op(0xfc, 0x0a, 0, 0), // memory.copy
		Const64(int64(len(answer))<<32|int64(a.Code)),
	), string(answer))
}

// hook is a plugin whose on_authorize has that body, and that holds data.
func hook(body []byte, data string) Module {
	return Module{MinPages: 1, Data: map[uint32]string{text: data}, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
		{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64}, Body: body},
	}}
}

// open writes a module with its cases and opens it.
func open(t *testing.T, m Module, cases, config string) *author.Module {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "gate.wasm")
	write(t, path, string(m.Encode()))
	if cases != "" {
		write(t, filepath.Join(dir, "gate.cases.yaml"), cases)
	}
	var c []byte
	if config != "" {
		c = []byte(config)
	}
	a, err := author.Open(path, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func test(t *testing.T, m *author.Module) *author.Report {
	t.Helper()
	r, err := m.Test(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a plugin says is shown of each case, however much it said before.
func TestSaidInTheLastOfManyCases(t *testing.T) {
	m := hook(Join(Const32(1), Const32(text), Const32(5), Call(0), Const64(0)), "hello")
	m.Imports = []Import{{Module: "authhost", Name: "log", Params: []byte{I32, I32, I32}}}
	var cases strings.Builder
	for n := range 150 {
		fmt.Fprintf(&cases, "- {name: case %d, hook: on_authorize, request: {path: /}, expect: {decision: allow}}\n", n)
	}
	for _, c := range test(t, open(t, m, cases.String(), "")).Cases {
		if len(c.Problems) == 0 || !slices.Equal(c.Said, []string{"hello"}) {
			t.Fatalf("%s: %v, it said %q", c.Name, c.Problems, c.Said)
		}
	}
}

var seconds = regexp.MustCompile(`\([0-9.]+ s\)`)

func shown(t *testing.T, r *author.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return seconds.ReplaceAllString(b.String(), "(x s)")
}

const three = `
- {name: right, hook: on_authorize, request: {path: /a}, identity: {}, expect: {decision: deny, status: 403, reason: "rules[1] needs editor", headers: {X-Team: ops}}}
- name: "wrong \e[31m<&>"
  hook: on_authorize
  request: {method: POST, url: "https://console.example/b?_token=hush", headers: {Authorization: Bearer hush}}
  identity: {sub: ann, user_id: usr_ann, roles: [viewer, editor]}
  expect: {decision: allow, status: 200, reason: "rules[1] needs admin", headers: {}}
- {name: nobody, hook: on_authorize, request: {path: /c}, expect: {decision: deny, status: 401, headers: {X-Team: dev}}}
`

func editorsOnly() Module {
	return answering(abi.Answer{Code: abi.CodeNo, Reason: "rules[1] needs editor", Headers: []abi.Header{{Name: "X-Team", Value: "ops"}}})
}

// A person sees at once what differs: the one above the other, marked where.
func TestReport(t *testing.T) {
	r := test(t, open(t, editorsOnly(), three, ""))
	want := `FAIL  wrong ` + "\uFFFD" + `[31m<&>  (gate.cases.yaml:3)
      on_authorize: POST https://console.example/b, route /**, by ann (usr_ann), roles [viewer, editor]
      decision        want allow
                      got  deny
      status          want 200
                      got  403
      reason          want "rules[1] needs admin"
                      got  "rules[1] needs editor"
                                           ^
      headers.X-Team  want none
                      got  "ops"

FAIL  nobody  (gate.cases.yaml:8)
      on_authorize: GET https://console.example/c, route /**, anonymous
      headers.X-Team  want "dev"
                      got  "ops"

gate: 3 cases, 1 passed, 2 failed, on both engines (x s)
`
	if got := shown(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := r.Err(); err == nil || err.Error() != "gate: 2 of 3 cases failed" {
		t.Error(err)
	}
	r = test(t, open(t, editorsOnly(), strings.SplitN(three, "\n- name", 2)[0], ""))
	if got := shown(t, r); got != "gate: 1 cases, 1 passed, 0 failed, on both engines (x s)\n" || r.Err() != nil {
		t.Errorf("%s%v", got, r.Err())
	}
}

// A trap, and a header that no case expects, are told without an answer.
func TestReportWithoutAnswer(t *testing.T) {
	got := shown(t, test(t, open(t, hook(Op(Unreachable), ""), three, "")))
	if !strings.Contains(got, "      no answer: on_authorize: unreachable\n      in:\n        ") || strings.Contains(got, "hush") {
		t.Error(got)
	}
	headers := answering(abi.Answer{Code: abi.CodeYes, Headers: []abi.Header{{Name: "X-Other", Value: "ops"}}})
	if got := shown(t, test(t, open(t, headers, three, ""))); !strings.Contains(got, "no answer: header X-Other is not declared\n") {
		t.Error(got)
	}
	refusing := hook(Const64(0), "")
	refusing.Funcs = append(refusing.Funcs, Func{Export: abi.Configure.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Op(Unreachable)})
	if got := shown(t, test(t, open(t, refusing, three, ""))); strings.Count(got, "      the plugin does not load: plugin gate: configure: configure: unreachable\n") != 3 {
		t.Error(got)
	}
}

func TestCoverage(t *testing.T) {
	covered := func(m Module, cases, config string) string {
		t.Helper()
		var b bytes.Buffer
		if err := test(t, open(t, m, cases, config)).WriteCoverage(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const own = `
- {name: own, hook: on_authorize, config: {rules: [{path: /a}, {path: /b}]}, request: {path: /}, expect: {decision: deny}}
`
	if got, want := covered(editorsOnly(), three+own, `{"rules": [{"role": "x"}, "two", 3]}`),
		`coverage: 1 of 3 rules were named by the reason of an answer (configuration of the case in line 2)
  never: rules[0] {"role":"x"}
  never: rules[2] 3
coverage: 1 of 2 rules were named by the reason of an answer (configuration of the case in line 10)
  never: rules[0] {"path":"/a"}
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const none = "coverage: no reason of an answer names a rule of the configuration, such as rules[0]\n"
	for name, got := range map[string]string{
		"no rules":       covered(editorsOnly(), three, ""),
		"not an object":  covered(editorsOnly(), three, "[1]"),
		"too few rules":  covered(editorsOnly(), three, `{"rules": [1]}`),
		"another reason": covered(answering(abi.Answer{Code: abi.CodeNo, Reason: "no"}), three, `{"rules": [1, 2]}`),
	} {
		if got != none {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestInspect(t *testing.T) {
	m := editorsOnly()
	m.Imports = []Import{{Module: "authhost", Name: "log", Params: []byte{I32, I32, I32}}}
	in, err := open(t, m, three, "").Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if in.Name != "gate" || in.Size != len(m.Encode()) || len(in.SHA256) != 64 || len(in.Hooks) != 1 || in.Hooks[0] != "on_authorize" ||
		len(in.Imports) != 1 || in.Imports[0] != (author.Import{Module: "authhost", Name: "log"}) || len(in.Grants) != 0 ||
		in.Memory < 64<<10 || len(in.Steps) < 3 || in.Signature != nil {
		t.Errorf("%+v", in)
	}
	for i, name := range []string{"right", "wrong \x1b[31m<&>", "nobody"} {
		if c := in.Cases[i]; c.Name != name || c.Fuel <= 0 || c.Fuel > 10_000 || c.Error != "" {
			t.Errorf("%+v", c)
		}
	}
	if in.Cases[0].Fuel != in.Cases[1].Fuel {
		t.Errorf("the same work takes %d and %d", in.Cases[0].Fuel, in.Cases[1].Fuel)
	}
	in, err = open(t, hook(Op(Unreachable), ""), three, "").Inspect(t.Context())
	if err != nil || !strings.Contains(in.Cases[0].Error, "unreachable") {
		t.Errorf("%+v, %v", in, err)
	}
	if in, err = open(t, m, "", "").Inspect(t.Context()); err != nil || len(in.Cases) != 0 {
		t.Errorf("%+v, %v", in, err)
	}
	stranger := m
	stranger.Imports = []Import{{Module: "env", Name: "system"}}
	if _, err = open(t, stranger, three, "").Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "env.system") {
		t.Error(err)
	}
}

func TestBench(t *testing.T) {
	all, err := open(t, editorsOnly(), three, "").Bench(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	for _, m := range all {
		if m.Ns <= 0 || m.Allocs < 0 || m.Fuel <= 0 || m.Error != "" {
			t.Errorf("%+v", m)
		}
	}
	all, err = open(t, hook(Op(Unreachable), ""), three, "").Bench(t.Context())
	if err != nil || all[0].Ns != 0 || !strings.Contains(all[0].Error, "unreachable") {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gate.wasm")
	if _, err := author.Open(path, nil); err == nil || !strings.Contains(err.Error(), "gate.wasm") {
		t.Error(err)
	}
	write(t, path, string(editorsOnly().Encode()))
	if _, err := author.Open(path, []byte("{")); err != author.ErrConfig {
		t.Error(err)
	}
	m, err := author.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ask := range []func() error{
		func() error { _, err := m.Test(t.Context()); return err },
		func() error { _, err := m.Bench(t.Context()); return err },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "there is no "+filepath.Join(dir, "gate.cases.yaml")) {
			t.Error(err)
		}
	}
	write(t, filepath.Join(dir, "gate.cases.yaml"), "- {name: x}")
	if _, err := author.Open(path, nil); err == nil || !strings.Contains(err.Error(), "gate.cases.yaml:1: [0].hook: ") {
		t.Error(err)
	}
}
