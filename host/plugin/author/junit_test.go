package author_test

import (
	"bytes"
	"encoding/xml"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host/plugin/author"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// What CI systems read of a report, by a parser that is not the writer's.
func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := test(t, open(t, editorsOnly(), three, "")).WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	type element struct {
		XMLName  xml.Name
		Attrs    []xml.Attr `xml:",any,attr"`
		Text     string     `xml:",chardata"`
		Children []element  `xml:",any"`
	}
	var root element
	if err := xml.Unmarshal(b.Bytes(), &root); err != nil {
		t.Fatalf("%v\n%s", err, &b)
	}
	has := func(e element, name string, attrs ...string) {
		t.Helper()
		all := map[string]string{}
		for _, a := range e.Attrs {
			all[a.Name.Local] = a.Value
		}
		for i := 0; i < len(attrs); i += 2 {
			if got, ok := all[attrs[i]]; !ok || attrs[i+1] != "*" && got != attrs[i+1] {
				t.Errorf("%s: %s is %q, want %q", name, attrs[i], got, attrs[i+1])
			}
		}
		if e.XMLName.Local != name {
			t.Errorf("%s is %s", name, e.XMLName.Local)
		}
	}
	has(root, "testsuites", "tests", "3", "failures", "2", "errors", "0", "time", "*")
	if len(root.Children) != 1 || len(root.Children[0].Children) != 3 {
		t.Fatalf("%s", &b)
	}
	suite := root.Children[0]
	has(suite, "testsuite", "name", "gate", "tests", "3", "failures", "2", "errors", "0", "skipped", "0", "time", "*", "timestamp", "*")
	has(suite.Children[0], "testcase", "name", "right", "classname", "gate", "time", "*", "file", "*", "line", "2")
	if n := len(suite.Children[0].Children); n != 0 {
		t.Errorf("%d children of a case that passed", n)
	}
	wrong := suite.Children[1]
	has(wrong, "testcase", "name", "wrong \uFFFD[31m<&>", "classname", "gate")
	has(wrong.Children[0], "failure", "type", "difference", "message", "decision: want allow, got deny")
	if text := wrong.Children[0].Text; !strings.Contains(text, `want "rules[1] needs admin"`) || strings.Contains(text, "hush") {
		t.Error(text)
	}
	b.Reset()
	if err := test(t, open(t, hook(Op(Unreachable), ""), three, "")).WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	root = element{}
	if err := xml.Unmarshal(b.Bytes(), &root); err != nil {
		t.Fatal(err)
	}
	has(root, "testsuites", "tests", "3", "failures", "0", "errors", "3")
	has(root.Children[0].Children[0].Children[0], "error", "type", "no answer", "message", "no answer: on_authorize: unreachable")
}

func junit(t *testing.T, r *author.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil || !utf8.Valid(b.Bytes()) {
		t.Fatalf("%v\n%s", err, &b)
	}
	return b.String()
}

// conforms says what is wrong with a report by the schema.
func conforms(t *testing.T, report string) (string, bool) {
	t.Helper()
	cmd := exec.Command("xmllint", "--noout", "--nonet", "--schema", "testdata/junit.xsd", "-")
	cmd.Stdin = strings.NewReader(report)
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(said), err == nil
}

// nasty is what a name or a guest's text may hold and XML may not, or not so.
const nasty = "a&b <c> \"d\" 'e' ]]> <!-- \x00\x01\x1b[31m\t\r\n\x7f\u0085\u2028 \uFFFE\uFFFF \xff\xfe\xc0\x80\xed\xa0\x80 \U0001F512"

// Whatever happened, and whatever the names and the guest's texts are, the
// report is what CI systems agree to read.
func TestJUnitSchema(t *testing.T) {
	engines := author.Problem{Field: nasty, Want: nasty, Got: nasty, Engines: true}
	reports := map[string]*author.Report{
		"failures":  test(t, open(t, editorsOnly(), three, "")),
		"errors":    test(t, open(t, hook(Op(Unreachable), ""), three, "")),
		"no answer": test(t, open(t, answering(abi.Answer{Code: abi.CodeNo, Headers: []abi.Header{{Name: "X-Other", Value: "v"}}}), three, "")),
		"a guest's text": test(t, open(t, answering(abi.Answer{Code: abi.CodeNo, Reason: "\x00\x1b\xff&<"}),
			`[{name: "\0\a\e &<>", hook: on_authorize, request: {path: /}, expect: {decision: deny, reason: "\u0001"}}]`, "")),
		"names": {Plugin: nasty, Began: time.Now(), Took: time.Hour, Failed: 3, Cases: []author.Case{
			{Name: nasty, File: nasty, Line: 1, Input: nasty},
			{Name: nasty, File: nasty, Line: 2, Input: nasty, Problems: []author.Problem{{Field: nasty, Want: nasty, Got: nasty}, engines}},
			{Name: nasty, File: nasty, Line: 3, Input: nasty, Problems: []author.Problem{engines}, Took: time.Millisecond / 3},
			{Name: nasty, File: nasty, Line: 4, Input: nasty, Problems: []author.Problem{{Text: nasty}}, Stack: []string{nasty}, Said: []string{nasty}},
		}},
	}
	for name, r := range reports {
		report := junit(t, r)
		if said, ok := conforms(t, report); !ok {
			t.Errorf("%s: %s\n%s", name, said, report)
		}
	}
	// What the schema would not let pass, so that it is known to be asked.
	whole := junit(t, reports["failures"])
	for _, spoilt := range [][2]string{
		{`<testcase name="right" `, `<testcase `}, {`tests="3"`, `tests="three"`}, {`<failure `, `<fault `}, {` type="difference"`, ``},
		{`time="`, `time="-`}, {`skipped="0"`, `ignored="0"`}, {`wrong `, "wrong \x1b"}, {`wrong `, "wrong \xff"}, {`&lt;`, `<`}, {`name="gate"`, `name=""`},
	} {
		bad := strings.Replace(whole, spoilt[0], spoilt[1], 1)
		if spoilt[0] == "<failure " {
			bad = strings.Replace(bad, "</failure>", "</fault>", 1)
		}
		if _, ok := conforms(t, bad); ok || bad == whole {
			t.Errorf("%s instead of %s conforms", spoilt[1], spoilt[0])
		}
	}
}
