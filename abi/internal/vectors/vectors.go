// Package vectors reads abi/testdata, the vectors that every codec of frames and
// answers is held to, for the tests below abi. The SDK, a module of its own,
// reads them by itself.
package vectors

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/abi/conformance"
)

// Frame is an entry of frames.json. A bad one has no fields.
type Frame struct {
	Name, Hook string
	Hex        conformance.Bytes
	Buffer     int // length of the buffer that it is laid out in, if that matters
	Fields     []Field
}

// Field is one field of a Frame, with one of the values.
type Field struct {
	ID         abi.Field
	Name       string
	Text       *string
	Bytes      *conformance.Bytes
	Number     *uint64
	List       []string
	Candidates []Candidate
	Times      int // how often the value is repeated; 0: it is not
	Lazy       bool
}

// Candidate is one of a Field's.
type Candidate struct {
	Source, Kind, Verdict uint8
	Name                  string
	UserID                string `json:"user_id"`
}

// Value returns the field's bytes.
func (f Field) Value() (b []byte) {
	switch {
	case f.Text != nil:
		b = []byte(*f.Text)
	case f.Bytes != nil:
		b = []byte(*f.Bytes)
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

// Answer is an entry of answers.json. A bad one has an error.
type Answer struct {
	Name, Hook, Error string
	Code              abi.Code
	Hex, Parts        conformance.Bytes // what is laid out: one behind the other
	Reordered         bool              // not in the order in which AppendAnswer has fields
	Answer            struct {
		Status     int
		Reason     Text
		Headers    [][2]Text
		Candidate  *int
		Request    *Request
		Blob       Text
		Idle       uint64
		Absolute   uint64
		Attributes [][2]Text
		Calls      []Request
	}
}

// Request is one that an Answer holds.
type Request struct {
	Method, URL, Body Text
	Headers           [][2]Text
}

// Text is in JSON a text, or {text, times}.
type Text string

// UnmarshalJSON reads either form.
func (r *Text) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, (*string)(r))
	}
	var v struct {
		Text  string
		Times int
	}
	err := json.Unmarshal(b, &v)
	*r = Text(strings.Repeat(v.Text, v.Times))
	return err
}

// Frames reads frames.json, which is in dir.
func Frames(t testing.TB, dir string) (good, bad []Frame) {
	t.Helper()
	return load[Frame](t, dir+"/frames.json")
}

// Answers reads answers.json, likewise.
func Answers(t testing.TB, dir string) (good, bad []Answer) {
	t.Helper()
	return load[Answer](t, dir+"/answers.json")
}

func load[T any](t testing.TB, file string) (good, bad []T) {
	t.Helper()
	var v struct{ Good, Bad []T }
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || len(v.Good) < 10 || len(v.Bad) < 10 {
		t.Fatalf("%s: %v, %d good and %d bad vectors", file, err, len(v.Good), len(v.Bad))
	}
	return v.Good, v.Bad
}
