package conformance_test

import (
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
	rust := wasmtest.Languages[slices.IndexFunc(wasmtest.Languages, func(l wasmtest.Language) bool { return l.Name == "Rust" })]
	g, err := engine(t, build(t, rust, "testdata/texts"))(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{0, 1, 3000, 20_000} {
		c := Case{Hook: "on_authorize", Frame: makeFrame(abi.OnAuthorize, func(w *abi.FrameWriter) { w.Text(abi.FieldMethod, "GET") }), Code: 1,
			Get:    []Value{{Kind: 1, Name: "X-Part", Value: Bytes(strings.Repeat("p", length))}},
			Answer: Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "0 18446744073709551615"}))}
		steady(t, g.(*engineGuest), 5, 50, func() error { return c.Check(t.Context(), g) })
	}
}
