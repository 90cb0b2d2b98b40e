package abi_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
)

// frameVector is one entry of testdata/frames.json.
type frameVector struct {
	Name, Hook, Hex string
	Buffer          int
	Fields          []fieldVector
}

type fieldVector struct {
	ID         abi.Field
	Name       string
	Text       *string
	Bytes      *string
	Number     *uint64
	List       []string
	Candidates []candidateVector
	Times      int
	Lazy       bool
}

type candidateVector struct {
	Source, Kind, Verdict uint8
	Name                  string
	UserID                string `json:"user_id"`
}

// value returns the field's bytes.
func (f fieldVector) value(t *testing.T) (b []byte) {
	t.Helper()
	switch {
	case f.Text != nil:
		b = []byte(*f.Text)
	case f.Bytes != nil:
		b = unhex(t, *f.Bytes)
	case f.Number != nil:
		b = binary.LittleEndian.AppendUint64(nil, *f.Number)
	case f.List != nil:
		b = abi.AppendList(nil, f.List)
	default:
		for _, c := range f.Candidates {
			b = abi.AppendCandidate(b, abi.Candidate(c))
		}
	}
	return slices.Repeat(b, max(1, f.Times))
}

// write adds the field to w by the method of its type.
func (f fieldVector) write(t *testing.T, w *abi.FrameWriter) {
	t.Helper()
	switch {
	case f.Text != nil:
		w.Text(f.ID, string(f.value(t)))
	case f.Number != nil:
		w.Number(f.ID, *f.Number)
	case f.List != nil:
		w.List(f.ID, slices.Repeat(f.List, max(1, f.Times)))
	default:
		w.Bytes(f.ID, f.value(t))
	}
}

// answerVector is one entry of testdata/answers.json.
type answerVector struct {
	Name, Hook, Hex, Error string
	Code                   abi.Code
	Parts                  []part
	Reordered              bool
	Answer                 struct {
		Status    int
		Reason    repeated
		Headers   [][2]repeated
		Candidate *int
		Request   *requestVector
		Blob      repeated
		Idle      uint64
		Absolute  uint64

		Attributes [][2]repeated
		Calls      []requestVector
	}
}

type requestVector struct {
	Method, URL, Body repeated
	Headers           [][2]repeated
}

func (v requestVector) want() *abi.Request {
	r := abi.Request{Method: string(v.Method), URL: string(v.URL)}
	for _, h := range v.Headers {
		r.Headers = append(r.Headers, abi.Header{Name: string(h[0]), Value: string(h[1])})
	}
	if v.Body != "" {
		r.Body = []byte(v.Body)
	}
	return &r
}

func (v answerVector) hook(t *testing.T) abi.Hook {
	t.Helper()
	h, ok := abi.HookByName(v.Hook)
	if !ok {
		t.Fatalf("%s: no hook %q", v.Name, v.Hook)
	}
	return h
}

func (v answerVector) bytes(t *testing.T) []byte {
	t.Helper()
	b := unhex(t, v.Hex)
	for _, p := range v.Parts {
		b = append(b, slices.Repeat(unhex(t, p.hex), p.times)...)
	}
	return b
}

func (v answerVector) want() abi.Answer {
	a := abi.Answer{Code: v.Code, Status: v.Answer.Status, Reason: string(v.Answer.Reason)}
	for _, h := range v.Answer.Headers {
		a.Headers = append(a.Headers, abi.Header{Name: string(h[0]), Value: string(h[1])})
	}
	if v.Answer.Candidate != nil {
		a.Candidate, a.HasCandidate = *v.Answer.Candidate, true
	}
	if v.Answer.Request != nil {
		a.Request = v.Answer.Request.want()
	}
	if v.Answer.Blob != "" {
		a.Blob = []byte(v.Answer.Blob)
	}
	a.Idle, a.Absolute = v.Answer.Idle, v.Answer.Absolute
	for _, t := range v.Answer.Attributes {
		a.Attributes = append(a.Attributes, abi.Attribute{Name: string(t[0]), Value: string(t[1])})
	}
	for _, c := range v.Answer.Calls {
		a.Calls = append(a.Calls, *c.want())
	}
	return a
}

// part is [hex, times].
type part struct {
	hex   string
	times int
}

func (p *part) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&p.hex, &p.times})
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

type vectors[T any] struct{ Good, Bad []T }

func load[T any](t testing.TB, name string) (v vectors[T]) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatalf("%s: %s", name, err)
	}
	if len(v.Good) < 10 || len(v.Bad) < 10 {
		t.Fatalf("%s: %d good and %d bad vectors", name, len(v.Good), len(v.Bad))
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
