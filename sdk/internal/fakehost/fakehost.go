// Package fakehost plays the host in the SDK's native tests: it holds the
// vectors that every codec is tested against, abi/testdata, and answers get
// and log. Only tests import it.
package fakehost

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/guest"
)

// Frame is an entry of frames.json.
type Frame struct {
	Name, Hook, Hex string
	Fields          []Field
}

// Field is one field of a Frame.
type Field struct {
	ID         int
	Name       string
	Text       *string
	Bytes      *string
	Number     *uint64
	List       []string
	Candidates []Candidate
	Times      int
	Lazy       bool
}

// Candidate is one item of a Field.
type Candidate struct {
	Source, Kind, Verdict uint8
	Name                  string
	UserID                string `json:"user_id"`
}

// Answer is an entry of answers.json.
type Answer struct {
	Name, Hook, Hex string
	Code            uint32
	Parts           [][2]any // hex and how often
	Reordered       bool
	Answer          struct {
		Status    int
		Reason    repeated
		Headers   [][2]repeated
		Candidate *int
		Request   *request
		Blob      repeated

		Idle, Absolute int64
		Attributes     [][2]repeated
		Calls          []request
	}
}

// request is one that an Answer holds.
type request struct {
	Method, URL, Body repeated
	Headers           [][2]repeated
}

func (v request) fetch() fetch.Request {
	r := fetch.Request{Method: string(v.Method), URL: string(v.URL), Body: string(v.Body)}
	for _, h := range v.Headers {
		r.Headers = append(r.Headers, [2]string{string(h[0]), string(h[1])})
	}
	return r
}

// Calls returns what is to be delivered, if that is the answer.
func (a Answer) Calls() (list []fetch.Request) {
	for _, c := range a.Answer.Calls {
		list = append(list, c.fetch())
	}
	return list
}

// Fetch returns what is to be fetched, if that is the answer.
func (a Answer) Fetch() (r fetch.Request) {
	if v := a.Answer.Request; v != nil {
		r = v.fetch()
		r.State = string(a.Answer.Blob)
	}
	return r
}

// Result returns the bytes of the answer and what the hook returns.
func (a Answer) Result(t *testing.T) ([]byte, uint64) {
	t.Helper()
	b := Bytes(t, a.Hex)
	for _, p := range a.Parts {
		b = append(b, slices.Repeat(Bytes(t, p[0].(string)), int(p[1].(float64)))...)
	}
	return b, uint64(a.Code) | uint64(len(b))<<32
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

// Frames returns the vectors of frames.json.
func Frames(t *testing.T) (good, bad []Frame) { return load[Frame](t, "frames.json") }

// Answers returns the good vectors of answers.json, those of one hook.
func Answers(t *testing.T, hook string) []Answer {
	t.Helper()
	good, _ := load[Answer](t, "answers.json")
	return slices.DeleteFunc(good, func(a Answer) bool { return a.Hook != hook })
}

func load[T any](t *testing.T, name string) (good, bad []T) {
	t.Helper()
	// By the link within the module: go test takes no notice of a file outside
	// when it says that a result is cached.
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "internal/fakehost/testdata", name))
	var v struct{ Good, Bad []T }
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || len(v.Good) < 10 || len(v.Bad) < 10 {
		t.Fatalf("%s: %v, %d good and %d bad vectors", name, err, len(v.Good), len(v.Bad))
	}
	return v.Good, v.Bad
}

// moduleRoot finds the SDK's folder from that of the package under test.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}

// Bytes decodes hex.
func Bytes(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Host answers get from Values, and lazy fields from those of its frame.
type Host struct {
	Values map[Key][]string
	Fields map[int]string
	Gets   int // how often get was called
	Lines  []string

	Metrics map[string]int64
	Session map[string]string // attributes; nil: there is no session
	KV      map[string]string
	Keys    int     // how many there may be; 0: any number
	TTLs    []int64 // those that were asked for
}

// Key is a kind and a name.
type Key struct {
	Kind uint32
	Name string
}

// Put makes h the host, puts the frame named so into the buffer and returns
// its length. The test ends with no host.
func (h *Host) Put(t *testing.T, name string) uint32 {
	t.Helper()
	good, _ := Frames(t)
	for _, f := range good {
		if f.Name == name {
			return h.PutFrame(t, f)
		}
	}
	t.Fatalf("no frame %q", name)
	return 0
}

// PutFrame is Put for a frame at hand.
func (h *Host) PutFrame(t *testing.T, f Frame) uint32 {
	t.Helper()
	h.Fields = map[int]string{}
	for _, field := range f.Fields {
		if field.Lazy {
			h.Fields[field.ID] = field.Value(t)
		}
	}
	guest.Host = h
	t.Cleanup(func() { guest.Host = nil })
	return uint32(copy(guest.Buffer(), Bytes(t, f.Hex)))
}

// Value returns the bytes of a field.
func (f Field) Value(t *testing.T) string {
	t.Helper()
	var b []byte
	switch {
	case f.Text != nil:
		b = []byte(*f.Text)
	case f.Bytes != nil:
		b = Bytes(t, *f.Bytes)
	case f.Number != nil:
		b = binary.LittleEndian.AppendUint64(nil, *f.Number)
	}
	for _, s := range f.List {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	if f.Candidates != nil {
		t.Fatal("candidates are read by package credential")
	}
	return string(slices.Repeat(b, max(1, f.Times)))
}

// Get is the host function get.
func (h *Host) Get(kind uint32, name string, index uint32, dst []byte) int32 {
	h.Gets++
	value, ok := h.Fields[int(index)]
	if kind != guest.GetField {
		values := h.Values[Key{kind, name}]
		if ok = int(index) < len(values); ok {
			value = values[index]
		}
	}
	if !ok {
		return -1
	}
	if len(value) <= len(dst) {
		copy(dst, value)
	}
	return int32(len(value))
}

// Log is the host function log.
func (h *Host) Log(level uint32, text string) {
	h.Lines = append(h.Lines, string(rune('0'+level))+" "+text)
}

// Panics returns what f panicked with; a test in which it does not fails.
func Panics(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		if text, _ = recover().(string); text == "" {
			t.Error("no panic with a text")
		}
	}()
	f()
	return ""
}
