package conformance_test

import (
	"bytes"
	"encoding/binary"
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

// vector is an entry of frames.json or of answers.json.
type vector struct {
	Name, Hook string
	Hex        Bytes
	Fields     []struct {
		ID         abi.Field
		Name       string
		Text       *string
		Bytes      *Bytes
		Number     *uint64
		List       []string
		Candidates []candidate
		Times      int
		Lazy       bool
	}
	Code      uint32
	Parts     Bytes
	Reordered bool
	Answer    struct {
		Status    int
		Reason    repeated
		Headers   [][2]repeated
		Candidate *int
		Request   *request
		Blob      repeated

		Idle, Absolute uint64
		Attributes     [][2]repeated
		Calls          []request
	}
}

// request is one that an answer holds.
type request struct {
	Method, URL, Body repeated
	Headers           [][2]repeated
}

// orders returns what has the echo guest make the request.
func (r request) orders() []string {
	list := []string{"f" + string(r.Method) + " " + string(r.URL)}
	if r.Body != "" { // a body before the headers must not matter
		list = append(list, "+b"+string(r.Body))
	}
	for _, h := range r.Headers {
		list = append(list, "+h"+string(h[0])+":"+string(h[1]))
	}
	return list
}

type candidate struct {
	Source, Kind, Verdict uint8
	Name                  string
	UserID                string `json:"user_id"`
}

// repeated is a text, or {text, times}.
type repeated string

func (r *repeated) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, (*string)(r))
	}
	var v struct {
		Text  string
		Times int
	}
	err := json.Unmarshal(b, &v)
	*r = repeated(strings.Repeat(v.Text, v.Times))
	return err
}

func vectors(t *testing.T, name string) (v struct{ Good, Bad []vector }) {
	t.Helper()
	text, err := os.ReadFile("../testdata/" + name)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || len(v.Good) < 10 || len(v.Bad) < 10 {
		t.Fatalf("%s: %v, %d good and %d bad vectors", name, err, len(v.Good), len(v.Bad))
	}
	return v
}

func frameCases(t *testing.T) (cases []Case) {
	for _, v := range vectors(t, "frames.json").Good {
		c := Case{Name: "frame: " + v.Name, Hook: v.Hook, Frame: v.Hex}
		anonymous, fetched := v.Hook == "on_authorize", false
		for _, f := range v.Fields {
			anonymous = anonymous && f.ID != abi.FieldUserID
			fetched = fetched || f.ID == abi.FieldFetchStatus
		}
		for _, name := range order {
			if name == "user_id" && anonymous {
				c.Log = append(c.Log, Line{0, "anonymous"})
			}
			if name == "fetch_status" && fetched {
				c.Log = append(c.Log, Line{0, "fetched"})
			}
			if name == "time" && v.Hook == "on_logout" {
				continue
			}
			for _, f := range v.Fields {
				if f.Name != name {
					continue
				}
				var value []byte
				switch times := max(1, f.Times); {
				case f.Text != nil || f.Bytes != nil:
					if f.Bytes != nil {
						value = []byte(*f.Bytes)
					} else {
						value = []byte(strings.Repeat(*f.Text, times))
					}
					c.Log = append(c.Log, named(name, string(value))...)
				case f.Number != nil:
					value = binary.LittleEndian.AppendUint64(nil, *f.Number)
					c.Log = append(c.Log, named(name, strconv.FormatUint(*f.Number, 10))...)
				case f.List != nil:
					list := slices.Repeat(f.List, times)
					value = abi.AppendList(nil, list)
					for _, item := range list {
						c.Log = append(c.Log, Line{0, Bytes(strings.TrimSuffix(name, "s"))}, Line{1, Bytes(item)})
					}
				default:
					for _, one := range f.Candidates {
						c.Log = append(c.Log, dump(one)...)
					}
				}
				if f.Lazy {
					c.Get = append(c.Get, Value{Kind: 5, Index: uint32(f.ID), Value: Bytes(value)})
				}
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// order is that in which the echo guest names the fields.
var order = []string{
	"method", "scheme", "host", "path", "raw_path", "query", "client", "time", "route", "realm",
	"user_id", "issuer", "subject", "roles", "groups", "email", "session_id", "credential", "expires",
	"candidates", "idle", "absolute", "event_id", "why", "by_rank", "by_id", "ended", "what", "sessions",
	"fetch_status", "fetch_body", "fetch_blob", "fetch_error", "config",
}

func named(name, value string) []Line {
	if value == "" || value == "0" {
		return nil
	}
	return []Line{{0, Bytes(name)}, {1, Bytes(value)}}
}

func dump(c candidate) []Line {
	lines := []Line{{0, "candidate"}}
	for _, f := range [][2]string{
		{"source", strconv.Itoa(int(c.Source))}, {"kind", strconv.Itoa(int(c.Kind))}, {"verdict", strconv.Itoa(int(c.Verdict))},
		{"name", c.Name}, {"user_id", c.UserID},
	} {
		lines = append(lines, named(f[0], f[1])...)
	}
	return lines
}

func badFrameCases(t *testing.T) (cases []Case) {
	for _, v := range vectors(t, "frames.json").Bad {
		cases = append(cases, Case{Name: "bad frame: " + v.Name, Hook: "on_authorize", Frame: v.Hex, Fails: true})
	}
	frame := func(hook abi.Hook, id abi.Field, value string) Bytes {
		return makeFrame(hook, func(w *abi.FrameWriter) { w.Bytes(id, []byte(value)) })
	}
	list := string(abi.AppendList(nil, []string{"viewer", "editor"}))
	one := string(abi.AppendCandidate(nil, abi.Candidate{Source: 1, Kind: 1, Name: "n", UserID: "u"})[4:])
	for n := 1; n < len(list); n++ {
		if n != 10 {
			cases = append(cases, Case{Name: "bad frame: a list cut at " + strconv.Itoa(n), Hook: "on_authorize", Frame: frame(abi.OnAuthorize, abi.FieldRoles, list[:n]), Fails: true})
		}
	}
	for n := range len(one) {
		item := string(abi.AppendList(nil, []string{one[:n]}))
		cases = append(cases, Case{Name: "bad frame: a candidate cut at " + strconv.Itoa(n), Hook: "on_credential", Frame: frame(abi.OnCredential, abi.FieldCandidates, item), Fails: true})
	}
	return append(cases,
		Case{Name: "bad frame: a number of 7 bytes", Hook: "on_authorize", Frame: frame(abi.OnAuthorize, abi.FieldExpires, "1234567"), Fails: true},
		Case{Name: "bad frame: of another hook", Hook: "on_credential", Frame: frame(abi.OnAuthorize, abi.FieldMethod, "GET"), Fails: true},
		Case{Name: "bad frame: a deadline of 4 bytes", Hook: "on_login", Frame: frame(abi.OnLogin, abi.FieldAbsolute, "1234"), Fails: true},
		Case{Name: "bad frame: sessions cut short", Hook: "on_logout", Frame: frame(abi.OnLogout, abi.FieldSessions, list[:9]), Fails: true},
		Case{Name: "bad frame: a status of 4 bytes", Hook: "on_credential", Frame: frame(abi.OnCredential, abi.FieldFetchStatus, "1234"), Fails: true},
		Case{Name: "bad frame: of another hook, on_login", Hook: "on_login", Frame: frame(abi.OnAuthorize, abi.FieldMethod, "GET"), Fails: true},
		Case{Name: "bad frame: of another hook, on_logout", Hook: "on_logout", Frame: frame(abi.OnLogin, abi.FieldRealm, "main"), Fails: true},
		Case{Name: "bad frame: a lazy field that get has not", Hook: "on_authorize", Fails: true,
			Frame: makeFrame(abi.OnAuthorize, func(w *abi.FrameWriter) { w.Text(abi.FieldPath, strings.Repeat("/", abi.MinBuffer)) })},
	)
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

func answerCases(t *testing.T) (cases []Case) {
	for _, v := range vectors(t, "answers.json").Good {
		if v.Reordered || len(v.Answer.Headers) > 8 || v.Answer.Request != nil && len(v.Answer.Request.Headers) > 8 || v.Answer.Candidate != nil && *v.Answer.Candidate > 1 {
			continue // an SDK has one order, may stop at 8 headers, and names what is there
		}
		var orders []string
		if v.Hook == "configure" {
			config := string(v.Answer.Reason)
			if v.Code == 2 {
				config = "refuse:" + config
			}
			c := Case{Name: "answer: " + v.Name, Hook: v.Hook, Log: named("config", config), Code: v.Code, Answer: v.Hex,
				Frame: makeFrame(abi.Configure, func(w *abi.FrameWriter) { w.Text(abi.FieldConfig, config) })}
			cases = append(cases, c)
			continue
		}
		switch {
		case v.Answer.Candidate != nil:
			orders = append(orders, "c"+strconv.Itoa(*v.Answer.Candidate))
		case v.Answer.Request != nil:
			orders = append(orders, v.Answer.Request.orders()...)
			if v.Answer.Blob != "" {
				orders = append(orders, "+s"+string(v.Answer.Blob))
			}
		case v.Hook != "on_logout":
			orders = append(orders, "="+strconv.Itoa(int(v.Code)))
		}
		if v.Answer.Status != 0 {
			orders = append(orders, "s"+strconv.Itoa(v.Answer.Status))
		}
		for _, h := range v.Answer.Headers { // a header before the reason must not matter
			orders = append(orders, "h"+string(h[0])+":"+string(h[1]))
		}
		for _, a := range v.Answer.Attributes {
			orders = append(orders, "t"+string(a[0])+":"+string(a[1]))
		}
		if v.Answer.Absolute != 0 {
			orders = append(orders, "d"+strconv.FormatUint(v.Answer.Absolute, 10))
		}
		if v.Answer.Idle != 0 {
			orders = append(orders, "i"+strconv.FormatUint(v.Answer.Idle, 10))
		}
		for _, r := range v.Answer.Calls {
			orders = append(orders, r.orders()...)
		}
		if v.Answer.Reason != "" {
			orders = append(orders, "r"+string(v.Answer.Reason))
		}
		c := ordered("answer: "+v.Name, v.Hook, orders...)
		if v.Hook == "on_credential" {
			two := []candidate{{Source: 1, Kind: 1, Name: "X-A"}, {Source: 2, Kind: 2, Name: "b"}}
			c.Log = append(dump(two[0]), dump(two[1])...)
			c.Frame = makeFrame(abi.OnCredential, func(w *abi.FrameWriter) {
				w.Bytes(abi.FieldCandidates, abi.AppendCandidate(abi.AppendCandidate(nil, abi.Candidate(two[0])), abi.Candidate(two[1])))
			})
		}
		c.Code, c.Answer = v.Code, v.Hex+v.Parts
		cases = append(cases, c)
	}
	return cases
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
		chosen.Log = append(chosen.Log, dump(candidate{Source: 2, Kind: 2, Name: "c"})...)
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
