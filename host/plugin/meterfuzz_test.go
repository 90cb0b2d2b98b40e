package plugin

import (
	"context"
	"errors"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	// fuzzFuel is what a module made by the fuzzer may use, in units.
	fuzzFuel = 200_000
	// fuzzData is how many bytes of an input a module is made of: each costs some
	// seven of the module, which is compiled three times, and the go command takes
	// an input that takes ten seconds for one that hangs.
	fuzzData = 2048
)

// Whatever is valid stays valid and does the same as long as its fuel lasts,
// is charged for all that it does, and ends when the fuel does. What is
// invalid is refused.
func FuzzMeter(f *testing.F) {
	for n := range 250 {
		seed := make([]byte, 300)
		x := uint32(n) + 1
		for i := range seed {
			x = x*1664525 + 1013904223
			seed[i] = byte(x >> 24)
		}
		f.Add(seed)
	}
	f.Add(tightGuests())
	for _, name := range []string{"br_table.0.wasm", "block.0.wasm", "loop.0.wasm", "bulk.2.wasm", "simd_lane.0.wasm", "table_fill.0.wasm"} {
		b, err := os.ReadFile(filepath.Join(specRoot(f), "v2", "testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		config := wazero.NewRuntimeConfigCompiler()
		if data[len(data)-1]%2 == 0 {
			config = wazero.NewRuntimeConfigInterpreter()
		}
		config = config.WithCoreFeatures(features).WithMemoryLimitPages(16).WithDebugInfoEnabled(false)
		if data[0] == 0 { // as it is
			meterAlike(t, config, data, false)
		} else {
			g := generator{data: data[:min(len(data), fuzzData)]}
			meterAlike(t, config, g.module(), true)
		}
	})
}

// meterAlike judges what the meter makes of a module.
func meterAlike(t *testing.T, config wazero.RuntimeConfig, module []byte, valid bool) {
	guarded, err := guard(module)
	if err != nil {
		if valid && !strings.Contains(err.Error(), "compiling takes too much") { // loops in loops in loops
			t.Fatalf("%v: %x", err, module)
		}
		return
	}
	if err := validate(t.Context(), guarded, 16); err != nil {
		if valid {
			t.Fatalf("%v: %x", err, module)
		}
		return
	}
	changed, err := metered(guarded)
	if err != nil {
		t.Fatalf("a valid module is refused: %v: %x", err, module)
	}
	if err := validate(t.Context(), changed, 16); err != nil {
		t.Fatalf("a valid module became invalid: %v: %x", err, module)
	}
	got := runAll(t, config, changed)
	if got.skipped || got.exhausted {
		return
	}
	if want := runAll(t, config, guarded); !want.equal(got) {
		t.Fatalf("unmetered %+v\nmetered %+v\n%x", want, got, module)
	}
	exact := runAll(t, config, exactly(t, guarded))
	if !got.trapped && got.units < exact.units {
		t.Fatalf("charged %d for %d: %x", got.units, exact.units, module)
	}
}

// outcome is what came of running all exports of a module.
type outcome struct {
	results                     []uint64
	errs                        []string
	memory                      uint64
	skipped, exhausted, trapped bool
	units                       int64
}

func (o outcome) equal(other outcome) bool {
	return slices.Equal(o.results, other.results) && slices.Equal(o.errs, other.errs) && o.memory == other.memory
}

var memorySeed = maphash.MakeSeed()

// runAll makes an instance and calls what it exports, in their order.
func runAll(t *testing.T, config wazero.RuntimeConfig, module []byte) (o outcome) {
	i := &instance{}
	i.tank.limit, i.tank.part, i.tank.rest = time.Hour, 1000, fuzzFuel
	ctx := context.WithValue(t.Context(), instanceKey{}, i)
	rt := wazero.NewRuntimeWithConfig(ctx, config)
	defer rt.Close(context.Background())
	if err := exportRefill(ctx, rt); err != nil {
		t.Fatal(err)
	}
	compiled, err := rt.CompileModule(ctx, module)
	if err != nil {
		t.Fatalf("%v: %x", err, module)
	}
	m, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		o.exhausted, o.skipped = errors.Is(err, errFuel), true
		return o
	}
	names := []string{}
	for name := range compiled.ExportedFunctions() {
		names = append(names, name)
	}
	slices.Sort(names)
	for n, name := range names {
		f := m.ExportedFunction(name)
		args := make([]uint64, len(f.Definition().ParamTypes()))
		for a, typ := range f.Definition().ParamTypes() {
			if typ == api.ValueTypeI32 || typ == api.ValueTypeI64 {
				args[a] = uint64(n + a)
			} else if typ != api.ValueTypeF32 && typ != api.ValueTypeF64 {
				o.skipped = true
				return o
			}
		}
		results, err := f.Call(ctx, args...)
		if errors.Is(err, errFuel) {
			if i.tank.refills == 0 {
				t.Fatalf("out of fuel without asking: %x", module)
			}
			o.exhausted = true
			return o
		}
		o.trapped = o.trapped || err != nil
		o.results, o.errs = append(o.results, results...), append(o.errs, reason(err))
	}
	for name := range compiled.ExportedMemories() {
		memory := m.ExportedMemory(name)
		b, _ := memory.Read(0, memory.Size())
		o.memory = maphash.Bytes(memorySeed, b)
	}
	if g := m.ExportedGlobal(fuelExport); g != nil {
		o.units = fuzzFuel - i.tank.rest - int64(g.Get())
	}
	if g := m.ExportedGlobal(exactExport); g != nil {
		o.units = int64(g.Get())
	}
	return o
}

// generator makes a valid module out of bytes. Each function takes an i32 and
// returns one.
type generator struct {
	data   []byte
	labels []int // how many values each open block takes when it is jumped to
	depth  int
	steady bool // no table is changed, calls are counted
}

const generated = 4 // functions

func (g *generator) next() int {
	if len(g.data) == 0 {
		return 0
	}
	b := g.data[0]
	g.data = g.data[1:]
	return int(b)
}

func (g *generator) module() []byte {
	m := wasmtest.Module{MinPages: 1, MaxPages: 4, Globals: 2, Table: []byte{0x70, 0, generated}, Elements: []int{0, 1, 2, 3}}
	for n := range generated {
		g.labels = []int{1}
		f := wasmtest.Func{Params: []byte{wasmtest.I32}, Results: []byte{wasmtest.I32}, Locals: []byte{wasmtest.I32, wasmtest.I32}}
		if n < generated/2 {
			f.Export = string(rune('a' + n))
		}
		if g.next()%3 == 0 {
			f.Body = g.dispatcher()
		}
		f.Body = wasmtest.Join(f.Body, g.statements(), g.value())
		if g.steady {
			f.Body = wasmtest.Join(counting, f.Body, counted)
		}
		m.Funcs = append(m.Funcs, f)
	}
	return m.Encode()
}

// counting has a function count its calls, in a global and in memory, and
// counted adds both to its result.
var (
	counting = wasmtest.Join(wasmtest.Op(opGlobalGet, 0), wasmtest.Const32(1), wasmtest.Op(wasmtest.I32Add, opGlobalSet, 0),
		wasmtest.Const32(16), wasmtest.Const32(16), wasmtest.Op(0x28, 2, 0), wasmtest.Const32(1), wasmtest.Op(wasmtest.I32Add, 0x36, 2, 0))
	counted = wasmtest.Join(wasmtest.Op(opGlobalGet, 0, wasmtest.I32Add), wasmtest.Const32(16), wasmtest.Op(0x28, 2, 0, wasmtest.I32Add))
)

// dispatcher makes a loop as the functions of a Go guest have one, whose
// jumps lead on and back.
func (g *generator) dispatcher() []byte {
	join, op := wasmtest.Join, wasmtest.Op
	n := g.next()%4 + 1
	out := op(opLoop, emptyBlock)
	g.labels = append(g.labels, 0)
	for range n {
		out = append(out, opBlock, emptyBlock)
		g.labels = append(g.labels, 0)
	}
	out = append(out, opLocalGet, 1, opBrTable, byte(n))
	for range n + 1 {
		out = append(out, byte(g.next()%n))
	}
	for range n {
		out = append(out, opEnd)
		g.labels = g.labels[:len(g.labels)-1]
		loop := byte(len(g.labels) - 2) // the function's own label is below it
		jump := join(wasmtest.Const32(int32(g.next()%8)-1), wasmtest.Set(1), op(opBr, loop+1))
		if g.next()%4 == 0 { // by what is not known
			jump = join(g.within(0, g.value), wasmtest.Set(1), op(opBr, loop+1))
		}
		out = join(out, g.statements(), wasmtest.Local(2), wasmtest.Const32(1), op(wasmtest.I32Sub, 0x22, 2),
			wasmtest.Const32(3), op(0x71, opIf, emptyBlock), jump, op(opEnd))
	}
	g.labels = g.labels[:len(g.labels)-1]
	return append(out, opEnd)
}

func (g *generator) statements() (out []byte) {
	for range g.next() % 5 {
		out = append(out, g.statement()...)
	}
	return out
}

// within makes code in a block that is jumped to with that many values.
func (g *generator) within(arity int, code func() []byte) []byte {
	g.labels = append(g.labels, arity)
	defer func() { g.labels = g.labels[:len(g.labels)-1] }()
	return code()
}

// label picks a block and returns what must be on the stack to jump there.
func (g *generator) label() (label byte, values []byte) {
	n := g.next() % len(g.labels)
	if g.labels[len(g.labels)-1-n] > 0 {
		values = g.value()
	}
	return byte(n), values
}

func (g *generator) statement() []byte {
	join, op := wasmtest.Join, wasmtest.Op
	if g.depth++; g.depth > 12 {
		g.depth--
		return op(opNop)
	}
	defer func() { g.depth-- }()
	kinds := 20
	if g.steady {
		kinds = 17
	}
	switch g.next() % kinds {
	case 0, 1:
		return join(g.value(), wasmtest.Set(g.next()%3))
	case 2:
		return join(g.value(), op(opGlobalSet, byte(g.next()%2)))
	case 3:
		return join(g.address(), g.value(), op(0x36, 2, 0)) // i32.store
	case 4:
		return join(op(opBlock, emptyBlock), g.within(0, g.statements), op(opEnd))
	case 5:
		return join(op(opLoop, emptyBlock), g.within(0, g.statements), op(opEnd))
	case 6: // a loop that counts down
		return join(op(opLoop, emptyBlock), g.within(0, g.statements),
			wasmtest.Local(1), wasmtest.Const32(1), op(wasmtest.I32Sub, 0x22, 1), wasmtest.Const32(7), op(0x71, opBrIf, 0, opEnd))
	case 7:
		return join(g.value(), op(opIf, emptyBlock), g.within(0, g.statements), op(opElse), g.within(0, g.statements), op(opEnd))
	case 8:
		return join(g.value(), op(opIf, emptyBlock), g.within(0, g.statements), op(opEnd))
	case 9, 10:
		label, values := g.label()
		out := join(values, g.value(), op(opBrIf, label))
		if values != nil {
			out = append(out, wasmtest.Drop)
		}
		return out
	case 11:
		label, values := g.label()
		return join(values, op(opBr, label))
	case 12:
		first, values := g.label()
		second, _ := g.label()
		if g.labels[len(g.labels)-1-int(second)] != g.labels[len(g.labels)-1-int(first)] {
			second = first
		}
		return join(values, g.value(), op(opBrTable, 2, first, second, first))
	case 13:
		return join(g.value(), op(opReturn))
	case 14: // memory.fill
		return join(g.address(), g.value(), g.address(), op(opMisc, miscMemoryFill, 0))
	case 15: // memory.copy
		return join(g.address(), g.address(), g.address(), op(opMisc, miscMemoryCopy, 0, 0))
	case 16:
		return join(g.address(), wasmtest.Const32(10), op(0x76, opMemoryGrow, 0, wasmtest.Drop)) // shifted right
	case 17: // table.copy
		return join(wasmtest.Const32(0), wasmtest.Const32(1), g.value(), wasmtest.Const32(1), op(0x71, opMisc, miscTableCopy, 0, 0))
	case 18: // table.fill with a function
		return join(wasmtest.Const32(0), op(opRefFunc, byte(g.next()%generated)), wasmtest.Const32(2), op(opMisc, miscTableFill, 0))
	}
	return op(opUnreachable)
}

// address is a small number.
func (g *generator) address() []byte {
	return wasmtest.Join(g.value(), wasmtest.Const32(0xfff), wasmtest.Op(0x71))
}

// value makes code that leaves an i32.
func (g *generator) value() []byte {
	join, op := wasmtest.Join, wasmtest.Op
	if g.depth++; g.depth > 12 {
		g.depth--
		return wasmtest.Const32(1)
	}
	defer func() { g.depth-- }()
	switch g.next() % 16 {
	case 0, 1:
		return wasmtest.Const32(int32(g.next()) - 3)
	case 2, 3:
		return wasmtest.Local(g.next() % 3)
	case 4:
		return op(opGlobalGet, byte(g.next()%2))
	case 5, 6:
		return join(g.value(), g.value(), op([]byte{0x6a, 0x6b, 0x6c, 0x71, 0x73, 0x48, 0x4a}[g.next()%7]))
	case 7:
		return join(g.value(), g.value(), op(0x6e)) // i32.div_u
	case 8:
		return join(g.address(), op(0x28, 2, 0)) // i32.load
	case 9:
		return join(op(opBlock, byte(i32)), g.within(1, func() []byte { return join(g.statements(), g.value()) }), op(opEnd))
	case 10: // a loop with a parameter, by the type of the functions
		return join(g.value(), op(opLoop, 0), g.within(1, func() []byte { return join(wasmtest.Set(2), g.statements(), g.value()) }), op(opEnd))
	case 11:
		arm := func() []byte { return join(g.statements(), g.value()) }
		return join(g.value(), op(opIf, byte(i32)), g.within(1, arm), op(opElse), g.within(1, arm), op(opEnd))
	case 12:
		return join(g.value(), wasmtest.Call(g.next()%generated))
	case 13:
		return join(g.value(), g.value(), wasmtest.Const32(3), op(0x71, opCallIndirect, 0, 0))
	case 14:
		return join(g.value(), g.value(), g.value(), op(0x1b)) // select
	}
	return op(0x3f, 0) // memory.size
}
