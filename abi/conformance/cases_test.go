package conformance_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/abi/internal/vectors"
)

var update = flag.Bool("update", false, "write cases.json anew")

// cases.json is made of the vectors in abi/testdata and of what is below.
func TestCasesAreThoseOfTheVectors(t *testing.T) {
	cases := slices.Concat(frameCases(t), badFrameCases(t), answerCases(t), getCases(), reasonCases(), otherCases(), callCases())
	var want bytes.Buffer
	want.WriteString("{\n  \"about\": \"What the echo guest is put to: README.md. Bytes are hex, or pairs of hex and how often.\",\n  \"cases\": [\n")
	for i, c := range cases {
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			want.WriteString(",\n")
		}
		want.WriteString("    ")
		want.Write(line)
	}
	want.WriteString("\n  ]\n}\n")
	if *update {
		if err := os.WriteFile("cases.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("cases.json")
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("cases.json is not what the vectors make; go test ./abi/conformance -run Vectors -update (%v)", err)
	}
	read, err := Cases()
	if err != nil || len(read) != len(cases) {
		t.Fatalf("%d cases, %v, want %d", len(read), err, len(cases))
	}
	names := map[string]bool{}
	for i, c := range read {
		again, _ := json.Marshal(c)
		first, _ := json.Marshal(cases[i])
		if !bytes.Equal(again, first) || names[c.Name] {
			t.Errorf("%s reads otherwise than it was written, or is there twice", c.Name)
		}
		names[c.Name] = true
	}
}

func makeFrame(hook abi.Hook, write func(*abi.FrameWriter)) Bytes {
	var w abi.FrameWriter
	buf := make([]byte, abi.MinBuffer)
	w.Reset(buf, hook, 1)
	write(&w)
	return Bytes(buf[:w.Finish()])
}

// ordered is a case in which the guest is given orders, of a frame with the
// method alone, or in on_logout with the orders themselves.
func ordered(name, hook string, orders ...string) Case {
	h, _ := abi.HookByName(hook)
	c := Case{Name: name, Hook: hook}
	if h == abi.OnLogout {
		list := abi.AppendList(nil, orders)
		c.Frame = makeFrame(h, func(w *abi.FrameWriter) { w.Bytes(abi.FieldSessions, list) })
		for _, o := range orders {
			c.Log = append(c.Log, Line{0, "session"}, Line{1, Bytes(o)})
		}
		return c
	}
	c.Frame = makeFrame(h, func(w *abi.FrameWriter) { w.Text(abi.FieldMethod, "GET") })
	c.Log = named("method", "GET")
	if hook == "on_authorize" {
		c.Log = append(c.Log, Line{0, "anonymous"})
	}
	for i, o := range orders {
		c.Get = append(c.Get, Value{Kind: 1, Name: "X-Echo", Index: uint32(i), Value: Bytes(o)})
	}
	return c
}

func getCases() []Case {
	big, huge := strings.Repeat("b", 20<<10), strings.Repeat("huge", 1<<18)
	values := []Value{
		{Kind: 1, Name: "X-A", Index: 0, Value: "one"},
		{Kind: 1, Name: "X-A", Index: 1},
		{Kind: 2, Name: "theme", Value: "dark"},
		{Kind: 3, Name: "café", Index: 1, Value: "\xff\x00 "},
		{Kind: 4, Name: "/address/city", Value: "Zürich"},
		{Kind: 1, Name: "big", Value: Bytes(big)},
		{Kind: 2, Name: "huge", Value: Bytes(huge)},
	}
	asked := func(c Case, answers ...string) Case {
		c.Get = append(c.Get, values...)
		for i, a := range answers {
			order := c.Get[i].Value
			line := Line{1, Bytes(a)}
			if a == "absent" {
				line = Line{2, ""}
			}
			c.Log = append(c.Log, Line{0, order}, line)
		}
		return c
	}
	kept := asked(ordered("get: what was read before more than fits stays", "on_authorize",
		"?10big", "?20huge", "?10big", "?10big", "hX-First:one", "?20huge", "=2", "rfor a reason", "hX-Last:two", "?10big"), big, huge, big, big)
	kept.Log = append(kept.Log, Line{0, "?20huge"}, Line{1, Bytes(huge)}, Line{0, "?10big"}, Line{1, Bytes(big)})
	kept.Code, kept.Answer = 2, Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "for a reason", Headers: []abi.Header{{Name: "X-Last", Value: "two"}}}))
	return []Case{
		asked(ordered("get: of every kind", "on_authorize",
			"?10X-A", "?11X-A", "?12X-A", "?20theme", "?21theme", "?31café", "?30café", "?40/address/city", "?40sub", "?10"),
			"one", "", "absent", "dark", "absent", "\xff\x00 ", "absent", "Zürich", "absent", "absent"),
		asked(ordered("get: in on_credential", "on_credential", "?10X-A", "?20theme", "?31café"), "one", "dark", "\xff\x00 "),
		kept,
		asked(ordered("get: less after more", "on_authorize", "?10X-A"), "one"),
	}
}

// clean is what an SDK makes of any bytes to have a reason of them.
func clean(text string) string {
	var b []byte
	for _, r := range text { // a byte that is no UTF-8 is U+FFFD
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029:
			r = utf8.RuneError
		}
		if len(b)+utf8.RuneLen(r) > abi.MaxReason {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

func reasonCases() (cases []Case) {
	for name, text := range map[string]string{
		"line ends and tabs":         "a\tb\r\nc",
		"control characters":         "\x00\x1b[31m\x7f\u0085\u009f\u2028\u2029\u00a0",
		"short, with each kind":      "é役😀",
		"no UTF-8":                   "\xff\xfe/\x80\xbf",
		"cut short":                  "é\xc3 役\xe5\xbd 😀\xf0\x9f\x98",
		"cut short at the end":       "\xf0\x9f\x98",
		"overlong":                   "\xc0\xaf \xc1\xbf \xe0\x80\xaf \xf0\x80\x80\xaf",
		"surrogates":                 "\xed\xa0\x80\xed\xbf\xbf \xed\x9f\xbf \xee\x80\x80",
		"beyond Unicode":             "\xf4\x90\x80\x80 \xf5\x80\x80\x80 \xf4\x8f\xbf\xbf",
		"U+FFFD itself":              "a\uFFFDb",
		"one byte too long":          strings.Repeat("a", 1025),
		"much too long":              strings.Repeat("abcdefgh", 1000),
		"a character over the bound": strings.Repeat("a", 1023) + "é",
		"up to the bound":            strings.Repeat("é", 512),
		"shorter once it is clean":   strings.Repeat("\xff", 400),
		"ends odd after words":       "12345678123456781234567\x01",
		"odd in a word":              "1234567\x01abcdefgh",
		"the last printable":         "~~~~~~~~ ~~~~~~~",
		"beyond the last printable":  "~~~~~~~\x7f",
		"one byte":                   "\x1f",
	} {
		c := ordered("reason: "+name, "on_authorize", "=2", "r"+text)
		c.Code, c.Answer = 2, Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: clean(text)}))
		cases = append(cases, c)
	}
	slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases
}

func otherCases() []Case {
	says := ordered("log: every level", "on_authorize", "l0debug", "l1", "l2w\xffrn", "l3error")
	says.Log = append(says.Log, Line{0, "debug"}, Line{1, ""}, Line{2, "w\xffrn"}, Line{3, "error"})

	fails := ordered("fails: as told", "on_authorize", "!")
	fails.Fails, fails.Log = true, nil
	fails2 := ordered("fails: as told, in on_credential", "on_credential", "!")
	fails2.Fails, fails2.Log = true, nil

	big := "hX-A:" + strings.Repeat("v", 4096)
	long := ordered("fails: an answer that is too long", "on_authorize", "=1", big, big, big, big)
	long.Fails, long.Log = true, nil

	full := "hX-A:" + strings.Repeat("v", 4096-14)
	fits := ordered("answer: the longest", "on_authorize", "=1", full, full, full, full)
	fits.Code = 1
	for range 4 {
		fits.Answer += Bytes(abi.AppendAnswer(nil, abi.Answer{Headers: []abi.Header{{Name: "X-A", Value: full[5:]}}}))
	}

	many := ordered("answer: 8 headers", "on_authorize", "=0")
	var headers []abi.Header
	for i := range 8 {
		name, value := "X-"+strconv.Itoa(i), strings.Repeat("v", i)
		headers = append(headers, abi.Header{Name: name, Value: value})
		many.Get = append(many.Get, Value{Kind: 1, Name: "X-Echo", Index: uint32(i + 1), Value: Bytes("h" + name + ":" + value)})
	}
	many.Answer = Bytes(abi.AppendAnswer(nil, abi.Answer{Headers: headers}))

	chosen := ordered("answer: the last of 300 candidates", "on_credential", "c299", "rthe last")
	chosen.Log = nil
	var list []byte
	for range 300 {
		list = abi.AppendCandidate(list, abi.Candidate{Source: 2, Kind: 2, Name: "c"})
		chosen.Log = append(chosen.Log, dump(vectors.Candidate{Source: 2, Kind: 2, Name: "c"})...)
	}
	chosen.Frame = makeFrame(abi.OnCredential, func(w *abi.FrameWriter) { w.Bytes(abi.FieldCandidates, list) })
	chosen.Get = append(chosen.Get, Value{Kind: 5, Index: uint32(abi.FieldCandidates), Value: Bytes(list)})
	chosen.Code, chosen.Answer = 1, Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "the last", Candidate: 299, HasCandidate: true}))

	sessions := append(slices.Repeat([]string{"ses_mfrggzdfmztwq"}, 256), "rlist is read twice")
	twice := ordered("frame: a list that is lazy can be read twice", "on_logout", sessions...)
	twice.Get = []Value{{Kind: 5, Index: uint32(abi.FieldSessions), Value: Bytes(abi.AppendList(nil, sessions))}}
	twice.Answer = Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "list is read twice"}))
	return []Case{says, many, fits, chosen, twice, fails, fails2, long}
}

// The two forms of bytes say the same.
func TestBytes(t *testing.T) {
	for _, b := range []Bytes{"", "a", Bytes(strings.Repeat("ab", 63)), Bytes(strings.Repeat("ab", 64)),
		Bytes("head" + strings.Repeat("\x00\x01\x02", 500) + "tail"), Bytes(strings.Repeat("x", 1<<20))} {
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var got Bytes
		if err := json.Unmarshal(text, &got); err != nil || got != b || len(text) > 300 {
			t.Errorf("%d bytes came back as %d, by %d of JSON, %v", len(b), len(got), len(text), err)
		}
	}
	var b Bytes
	for _, bad := range []string{`"0"`, `"zz"`, `[["00"]]x`, `{}`, `[["zz", 2]]`} {
		if err := json.Unmarshal([]byte(bad), &b); err == nil {
			t.Errorf("%s is %q", bad, b)
		}
	}
}
