package abi_test

import (
	"slices"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/abi/internal/vectors"
)

// write adds a field to w by the method of its type.
func write(w *abi.FrameWriter, f vectors.Field) {
	switch {
	case f.Text != nil:
		w.Text(f.ID, string(f.Value()))
	case f.Number != nil:
		w.Number(f.ID, *f.Number)
	case f.List != nil:
		w.List(f.ID, slices.Repeat(f.List, max(1, f.Times)))
	default:
		w.Bytes(f.ID, f.Value())
	}
}

func hookOf(t testing.TB, name string) abi.Hook {
	t.Helper()
	h, ok := abi.HookByName(name)
	if !ok {
		t.Fatalf("no hook %q", name)
	}
	return h
}

func laidOut(v vectors.Answer) []byte { return []byte(v.Hex + v.Parts) }

// parsed is what ParseAnswer makes of an answer.
func parsed(v vectors.Answer) abi.Answer {
	a := abi.Answer{Code: v.Code, Status: v.Answer.Status, Reason: string(v.Answer.Reason), Idle: v.Answer.Idle, Absolute: v.Answer.Absolute}
	for _, h := range v.Answer.Headers {
		a.Headers = append(a.Headers, abi.Header{Name: string(h[0]), Value: string(h[1])})
	}
	if v.Answer.Candidate != nil {
		a.Candidate, a.HasCandidate = *v.Answer.Candidate, true
	}
	if v.Answer.Request != nil {
		a.Request = request(*v.Answer.Request)
	}
	if v.Answer.Blob != "" {
		a.Blob = []byte(v.Answer.Blob)
	}
	for _, t := range v.Answer.Attributes {
		a.Attributes = append(a.Attributes, abi.Attribute{Name: string(t[0]), Value: string(t[1])})
	}
	for _, c := range v.Answer.Calls {
		a.Calls = append(a.Calls, *request(c))
	}
	return a
}

func request(v vectors.Request) *abi.Request {
	r := abi.Request{Method: string(v.Method), URL: string(v.URL)}
	for _, h := range v.Headers {
		r.Headers = append(r.Headers, abi.Header{Name: string(h[0]), Value: string(h[1])})
	}
	if v.Body != "" {
		r.Body = []byte(v.Body)
	}
	return &r
}
