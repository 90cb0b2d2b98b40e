package abi_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/abi/internal/vectors"
)

func TestAnswerVectors(t *testing.T) {
	good, _ := vectors.Answers(t, "testdata")
	for _, v := range good {
		hook, b, want := hookOf(t, v.Hook), laidOut(v), parsed(v)
		got, err := abi.ParseAnswer(hook, v.Code, b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", v.Name, got, err, want)
		}
		encoded := abi.AppendAnswer(nil, want)
		if bytes.Equal(encoded, b) == v.Reordered {
			t.Errorf("%s: encoded to %x", v.Name, encoded)
		}
		if got, err := abi.ParseAnswer(hook, v.Code, encoded); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: encoded and parsed again: %+v, %v", v.Name, got, err)
		}
	}
}

func TestBadAnswers(t *testing.T) {
	_, bad := vectors.Answers(t, "testdata")
	for _, v := range bad {
		if _, err := abi.ParseAnswer(hookOf(t, v.Hook), v.Code, laidOut(v)); err == nil || err.Error() != v.Error {
			t.Errorf("%s: error %v, want %s", v.Name, err, v.Error)
		}
	}
}

// An answer is a copy: the guest's memory may change under it.
func TestAnswerIsACopy(t *testing.T) {
	b := abi.AppendAnswer(nil, abi.Answer{Reason: "no", Headers: []abi.Header{{Name: "X-Team", Value: "ops"}}})
	a, err := abi.ParseAnswer(abi.OnAuthorize, abi.CodeNo, b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if a.Reason != "no" || a.Headers[0] != (abi.Header{Name: "X-Team", Value: "ops"}) {
		t.Errorf("%+v", a)
	}
}

func TestSplitResult(t *testing.T) {
	if code, n := abi.SplitResult(7<<32 | 2); code != abi.CodeNo || n != 7 {
		t.Errorf("code %d, length %d", code, n)
	}
	if code, n := abi.SplitResult(1<<64 - 1); code != 1<<32-1 || n != 1<<32-1 {
		t.Errorf("code %d, length %d", code, n)
	}
}

func TestHookNames(t *testing.T) {
	for h := abi.Configure; h <= abi.OnResponse; h++ {
		if got, ok := abi.HookByName(h.String()); !ok || got != h {
			t.Errorf("hook %d: %s, %d", h, h, got)
		}
	}
	for _, name := range []string{"", "unknown", "on_", "on_Authorize", "ON_AUTHORIZE"} {
		if h, ok := abi.HookByName(name); ok {
			t.Errorf("%q is hook %d", name, h)
		}
	}
	if abi.Hook(0).String() != "unknown" || abi.Hook(7).String() != "unknown" {
		t.Error("a hook that is none has a name")
	}
}

// FuzzParseAnswer: no input makes the parser panic, it keeps within the
// bounds, lets no line end through, and what it took encodes to the same.
func FuzzParseAnswer(f *testing.F) {
	good, bad := vectors.Answers(f, "testdata")
	for _, v := range slices.Concat(good, bad) {
		if v.Parts == "" { // those are long: the fuzzer would spend its time on shortening them
			f.Add(uint16(hookOf(f, v.Hook)), uint32(v.Code), laidOut(v))
		}
	}
	f.Fuzz(func(t *testing.T, hook uint16, code uint32, b []byte) {
		a, err := abi.ParseAnswer(abi.Hook(hook), abi.Code(code), b)
		if err != nil {
			return
		}
		if len(b) > abi.MaxAnswer || len(a.Reason) > abi.MaxReason || len(a.Headers) > abi.MaxHeaders || a.Code > abi.CodeFetch || len(a.Blob) > abi.MaxBlob ||
			(a.Code == abi.CodeFetch) != (a.Request != nil) {
			t.Fatalf("out of bounds: %+v", a)
		}
		headers := append(a.Headers, abi.Header{Name: "n", Value: a.Reason})
		if r := a.Request; r != nil {
			headers = append(headers, r.Headers...)
			if r.Method == "" || len(r.URL) > abi.MaxURL || strings.ContainsAny(r.Method+r.URL, " \r\n\x00") {
				t.Fatalf("%+v", r)
			}
		}
		for _, h := range headers {
			if h.Name == "" || len(h.Name) > abi.MaxHeaderName || len(h.Value) > abi.MaxHeaderValue ||
				strings.ContainsAny(h.Name, ": \r\n\x00") || strings.ContainsAny(h.Value, "\r\n\x00") {
				t.Fatalf("header %q: %q", h.Name, h.Value)
			}
		}
		again, err := abi.ParseAnswer(abi.Hook(hook), abi.Code(code), abi.AppendAnswer(nil, a))
		if err != nil || !reflect.DeepEqual(again, a) {
			t.Fatalf("%+v, %v, want %+v", again, err, a)
		}
	})
}

func BenchmarkParseAnswer(b *testing.B) {
	deny := abi.AppendAnswer(nil, abi.Answer{Status: 403, Reason: "rules[0]: needs editor"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := abi.ParseAnswer(abi.OnAuthorize, abi.CodeNo, deny); err != nil {
			b.Fatal(err)
		}
	}
}

// A parser gives what is there, whatever it remembers, and remembers little.
func TestParserRemembersReasons(t *testing.T) {
	var p abi.AnswerParser
	for i := range 100 {
		want := fmt.Sprint("reason ", i*7%11)
		b := abi.AppendAnswer(nil, abi.Answer{Code: abi.CodeNo, Reason: want})
		if a, err := p.Parse(abi.OnAuthorize, abi.CodeNo, b); err != nil || a.Reason != want {
			t.Fatalf("got %q, %v, want %q", a.Reason, err, want)
		}
		clear(b) // what was returned is a copy
		if a, err := p.Parse(abi.OnAuthorize, abi.CodeNo, abi.AppendAnswer(nil, abi.Answer{Code: abi.CodeNo, Reason: want})); err != nil || a.Reason != want {
			t.Fatalf("then %q, %v, want %q", a.Reason, err, want)
		}
	}
	b := abi.AppendAnswer(nil, abi.Answer{Code: abi.CodeNo, Reason: "again"})
	if n := testing.AllocsPerRun(100, func() { _, _ = p.Parse(abi.OnAuthorize, abi.CodeNo, b) }); n != 0 {
		t.Errorf("a known reason takes %v allocations", n)
	}
}
