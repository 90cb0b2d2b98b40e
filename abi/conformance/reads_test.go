package conformance_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/host/plugin/wasmtest"
)

// A guest takes no length of the host's for the length of what it has room for:
// a negative one is no value, whichever it is, and one that is again longer than
// the room fails the call.
func TestLengthsThatCannotBe(t *testing.T) {
	for _, l := range wasmtest.Languages {
		start := engine(t, build(t, l, "testdata/echo"))
		for _, order := range []string{"?10odd", "agodd", "kgodd"} {
			absent := ordered("", "on_authorize", order)
			absent.Log = append(absent.Log, Line{0, Bytes(order)}, Line{2, ""})
			fails := ordered("", "on_authorize", order)
			fails.Fails = true
			check := func(what string, c Case, said func(capacity uint32) int32) {
				t.Helper()
				g, err := start(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Check(context.WithValue(t.Context(), saysKey{}, says{"odd": said}), g); err != nil {
					t.Errorf("%s: %s: %s: %v", l.Name, order, what, err)
				}
			}
			check("-2", absent, func(uint32) int32 { return -2 })
			check("the least", absent, func(uint32) int32 { return math.MinInt32 })
			if order == "?10odd" || l.Name == "C" || l.Name == "Rust" { // the others look at a key until it fits
				check("too much", fails, func(capacity uint32) int32 { return int32(capacity) + 1 })
			}
		}
	}
}

// What is read once the arena is full takes as much memory as it has bytes, and
// not as much as it might have had.
func TestSmallReadsTakeLittle(t *testing.T) {
	const most = 8 << 16 // bytes
	for _, l := range wasmtest.Languages {
		if l.Name == "Go" {
			continue // what it allocates its collector frees
		}
		started, err := engine(t, build(t, l, "testdata/echo"))(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g, full := started.(*engineGuest), strings.Repeat("f", 32<<10-500)
		before := g.module.Memory().Size()
		c := ordered("", "on_authorize", slices.Concat([]string{"?10full"}, slices.Repeat([]string{"kgk", "agk"}, 200))...)
		c.Get = append(c.Get, Value{Kind: 1, Name: "full", Value: Bytes(full)})
		c.KV, c.Session = []Entry{{"k", "v"}}, []Entry{{"k", "w"}}
		c.Log = append(c.Log, Line{0, "?10full"}, Line{1, Bytes(full)})
		for range 200 {
			c.Log = append(c.Log, Line{0, "kgk"}, Line{1, "v"}, Line{0, "agk"}, Line{1, "w"})
		}
		if err := c.Check(t.Context(), g); err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
		if grown := g.module.Memory().Size() - before; grown > most {
			t.Errorf("%s: memory grew by %d bytes", l.Name, grown)
		}
	}
}
