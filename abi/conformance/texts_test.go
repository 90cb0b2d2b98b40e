package conformance_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/host/plugin/wasmtest"
)

// Texts that a guest in Rust puts together hold until the call ends, those
// beyond the arena too, and their room is used again.
func TestRustTexts(t *testing.T) {
	g, err := rustTexts(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{0, 1, 3000, 20_000} {
		c := textsCase("X-Part", strings.Repeat("p", length))
		steady(t, g.(*engineGuest), 5, 50, func() error { return c.Check(t.Context(), g) })
	}
}

// A hook that a handler calls would have the room of the handler's texts written
// anew, in safe code. It fails the call, by the export and by what that calls.
func TestRustHookInsideAHandler(t *testing.T) {
	start := rustTexts(t)
	for _, way := range []string{"X-Export", "X-Serve"} {
		g, err := start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := textsCase(way, "")
		if err := c.Check(t.Context(), g); err != nil { // names no length: nothing is called
			t.Fatal(err)
		}
		c = textsCase(way, string(rune(len(c.Frame))))
		c.Fails = true
		if err := c.Check(t.Context(), g); err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func rustTexts(t *testing.T) func(context.Context) (Guest, error) {
	t.Helper()
	rust := wasmtest.Languages[slices.IndexFunc(wasmtest.Languages, func(l wasmtest.Language) bool { return l.Name == "Rust" })]
	return engine(t, build(t, rust, "testdata/texts"))
}

// textsCase is what the guest answers a request with that header.
func textsCase(name, value string) Case {
	return Case{Hook: "on_authorize", Frame: makeFrame(abi.OnAuthorize, func(w *abi.FrameWriter) { w.Text(abi.FieldMethod, "GET") }), Code: 1,
		Get:    []Value{{Kind: 1, Name: Bytes(name), Value: Bytes(value)}},
		Answer: Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "0 18446744073709551615"}))}
}
