package plugin_test

import (
	"bytes"
	"slices"
	"sort"
	"testing"

	"github.com/authhost/authhost/host/plugin"

	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// A bomb is a kind of module whose compiling takes far more than its size
// suggests.
type bomb struct {
	of   func(n int) Module
	huge int    // a size that would take minutes at least
	text string // in the refusal
}

// compileBombs are the kinds that are known, each in one function of type
// (i32) -> () unless it says otherwise.
func compileBombs() map[string]bomb {
	f := func(values int, body ...[]byte) Module {
		return Module{Funcs: []Func{{Params: []byte{I32}, Locals: bytes.Repeat([]byte{I32}, values), Body: Join(body...)}}}
	}
	each := func(n int, body ...[]byte) []byte { return bytes.Repeat(Join(body...), n) }
	// kept has n values set before body and used after it.
	kept := func(n int, body ...[]byte) Module {
		var set, use []byte
		for i := range n {
			set = append(set, Join(Local(0), Set(i+1))...)
			use = append(use, Join(Local(0), Local(i+1), Op(I32Add), Set(0))...)
		}
		return f(n, set, Join(body...), use)
	}
	nothing := Op(0x04, 0x40, 0x0b) // an if without anything
	again := Join(Local(0), Op(0x0d, 0, 0x0b))
	wide := func(n int, body []byte) Module {
		many := bytes.Repeat([]byte{I32}, 500)
		return Module{Funcs: []Func{{Params: []byte{I32}, Results: many, Body: Join(each(500, Local(0)), body)}}}
	}
	const weight = "compiling takes too much"
	return map[string]bomb{
		"branches":            {func(n int) Module { return f(0, each(n, Local(0), nothing)) }, 100_000, weight},
		"branches to one end": {func(n int) Module { return f(0, Op(0x02, 0x40), each(n, Local(0), Op(0x0d, 0)), Op(0x0b)) }, 100_000, weight},
		"deep blocks":         {func(n int) Module { return f(0, each(n, Op(0x02, 0x40)), each(n, again)) }, 70_000, weight},
		"deep loops":          {func(n int) Module { return f(0, each(n, Op(0x03, 0x40)), each(n, again)) }, 10_000, weight},
		"deep loops that change many values": {func(n int) Module {
			var use []byte
			for i := range 1000 {
				use = append(use, Join(Local(i+1), Const32(1), Op(I32Add), Set(i+1))...)
			}
			return f(1000, each(n, Op(0x03, 0x40)), use, each(n, again))
		}, 500, weight},
		"many values kept across branches": {func(n int) Module { return kept(3000, each(n, Local(0), nothing)) }, 10_000, weight},
		"many values kept across loops":    {func(n int) Module { return kept(100, each(n, Op(0x03, 0x40), again)) }, 10_000, weight},
		"very many values":                 {func(n int) Module { return kept(20_000, each(n, Local(0), nothing)) }, 200, weight},
		"a br_table":                       {func(n int) Module { return f(0, Local(0), Op(0x0e), U32(n), make([]byte, n+1)) }, 200_000, weight},
		"a br_table that values are kept across": {func(n int) Module {
			return kept(100, Op(0x02, 0x40), Local(0), Op(0x0e), U32(n), make([]byte, n+1), Op(0x0b))
		}, 200_000, weight},
		"a br_table of many values": {func(n int) Module { return wide(n, Join(Local(0), Op(0x0e), U32(n), make([]byte, n+1))) }, 100_000, weight},
		"branches with many values": {func(n int) Module { return wide(n, each(n, Local(0), Op(0x0d, 0))) }, 100_000, weight},
		"copies":                    {func(n int) Module { return f(0, each(n, Local(0), Local(0), Local(0), Op(0xfc, 0x0a, 0, 0))) }, 50_000, weight},
		"calls through a table": {func(n int) Module {
			m := f(0, each(n, Local(0), Op(0x11, 0, 0))) // of the marker's type, () -> ()
			m.Table = []byte{0x70, 0, 1}
			return m
		}, 60_000, weight},
		"instructions that may trap": {func(n int) Module { return f(0, each(n, Local(0), Local(0), Op(0x6d), Set(0))) }, 200_000, "a function of"},
		"a wide type":                {func(n int) Module { return Module{Funcs: []Func{{Params: bytes.Repeat([]byte{I32}, n)}}} }, 1001, "a type of 1001 values"},
	}
}

// loaded puts a bomb into a plugin.
func (b bomb) loaded(n int) []byte {
	m, with := hook(base(), "on_authorize"), b.of(n)
	m.Funcs = append(slices.Clone(m.Funcs), with.Funcs...)
	m.Table = with.Table
	return m.Encode()
}

// What the largest function of each kind costs that is still taken. A module
// may have sixteen of them.
func BenchmarkCompileBombs(b *testing.B) {
	for name, bomb := range compileBombs() {
		n := sort.Search(bomb.huge, func(n int) bool { _, err := plugin.Guard(bomb.loaded(n)); return err != nil }) - 1
		module := bomb.loaded(n)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(module)))
			for b.Loop() {
				p, err := plugin.Load(b.Context(), plugin.Options{Name: "guest", Module: module})
				if err != nil {
					b.Fatal(err)
				}
				p.Close(b.Context())
			}
		})
	}
}
