package plugin

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// rawRuntime is one that runs modules metered or not, with endless fuel.
func rawRuntime(tb testing.TB, config wazero.RuntimeConfig) (context.Context, wazero.Runtime, *tank) {
	tb.Helper()
	i := &instance{}
	i.tank.fill(time.Hour)
	ctx := context.WithValue(context.Background(), instanceKey{}, i)
	rt := wazero.NewRuntimeWithConfig(ctx, config)
	tb.Cleanup(func() { rt.Close(context.Background()) })
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		tb.Fatal(err)
	}
	if err := exportHostFunctions(ctx, rt); err != nil {
		tb.Fatal(err)
	}
	return ctx, rt, &i.tank
}

func meterFor(tb testing.TB, module []byte) []byte {
	tb.Helper()
	b, err := guard(module)
	if err == nil {
		b, err = metered(b)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func tightGuests() []byte {
	count := func(body []byte) []byte { // for local 0 = 1000; local 0 > 0; local 0--
		return wasmtest.Join(wasmtest.Const32(1000), wasmtest.Set(0), wasmtest.Op(0x03, 0x40), body,
			wasmtest.Local(0), wasmtest.Const32(1), wasmtest.Op(wasmtest.I32Sub, 0x22, 0, 0x0d, 0, 0x0b))
	}
	f := func(name string, body []byte) wasmtest.Func {
		return wasmtest.Func{Export: name, Results: []byte{wasmtest.I32}, Locals: []byte{wasmtest.I32, wasmtest.I32},
			Body: wasmtest.Join(count(body), wasmtest.Local(1))}
	}
	return wasmtest.Module{MinPages: 1, Funcs: []wasmtest.Func{
		f("empty loop", nil),
		f("memory loop", wasmtest.Join(wasmtest.Local(1), wasmtest.Local(0), wasmtest.Op(0x2d, 0, 0), wasmtest.Op(wasmtest.I32Add), wasmtest.Set(1),
			wasmtest.Local(0), wasmtest.Local(1), wasmtest.Op(0x3a, 0, 0))),
		f("call loop", wasmtest.Join(wasmtest.Local(1), wasmtest.Call(3), wasmtest.Set(1))),
		{Params: []byte{wasmtest.I32}, Results: []byte{wasmtest.I32}, Body: wasmtest.Join(wasmtest.Local(0), wasmtest.Const32(3), wasmtest.Op(wasmtest.I32Add))},
	}}.Encode()
}

// llvmGuest is the module that the engine measures itself with, made by LLVM
// as C and Rust guests are.
func llvmGuest(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(specRoot(tb), "..", "bench", "testdata", "case.wasm"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// work is an export to be called with an argument, if it takes one.
type work struct {
	name     string
	argument uint64
}

// a guest is a module and what it can do.
type guest struct {
	language string
	module   []byte
	work     []work
}

// guests is what metering is measured and tried on.
func guests(tb testing.TB) []guest {
	chores := func(names ...string) (list []work) {
		for _, name := range names {
			list = append(list, work{name, 0})
		}
		return list
	}
	return []guest{
		{"go", wasmtest.BuildGo(tb, ".", "testdata/chores"), chores("matching", "sorting", "interfaces", "maps", "hashing", "decoding")},
		{"c", wasmtest.BuildC(tb, "testdata/c/chores.c"), chores("matching", "sorting", "hashing", "decoding", "building")},
		{"rust", wasmtest.BuildRust(tb, "testdata/rust/chores.rs"), chores("matching", "sorting", "maps", "hashing", "decoding", "building")},
		{"llvm", llvmGuest(tb), []work{{"base64", 100}, {"fibonacci", 20}, {"string_manipulation", 100}, {"reverse_array", 1000}, {"random_mat_mul", 10}}},
		{"tight", tightGuests(), chores("empty loop", "memory loop", "call loop")},
	}
}

// What metering costs a guest, beside the engine's own way to end one.
func BenchmarkMetering(b *testing.B) {
	for _, g := range guests(b) {
		sides := []*side{
			newSide(b, g.module, wazero.NewRuntimeConfig()),
			newSide(b, meterFor(b, g.module), wazero.NewRuntimeConfig()),
			newSide(b, g.module, wazero.NewRuntimeConfig().WithCloseOnContextDone(true)),
		}
		b.Run(g.language, func(b *testing.B) {
			metered, closeable := map[string]float64{}, map[string]float64{}
			for _, w := range g.work {
				b.Run(w.name, func(b *testing.B) { metered[w.name], closeable[w.name] = compare(b, sides, w) })
			}
			b.Run("mean", func(b *testing.B) {
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(100*(mean(metered)-1), "metering-%")
				b.ReportMetric(100*(mean(closeable)-1), "closeable-%")
			})
		})
	}
}

// mean is the geometric one.
func mean(ratios map[string]float64) float64 {
	sum := 0.0
	for _, ratio := range ratios {
		sum += math.Log(ratio)
	}
	return math.Exp(sum / float64(len(ratios)))
}

// side is one way to run a guest.
type side struct {
	ctx    context.Context
	module api.Module
	tank   *tank
}

func newSide(b testing.TB, module []byte, config wazero.RuntimeConfig) *side {
	ctx, rt, tank := rawRuntime(b, config)
	tank.limit = time.Hour
	random := api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
		// env.get_random_string(pointer, length) stores a text's address and length.
		results, err := m.ExportedFunction("allocate_buffer").Call(ctx, 10)
		if err != nil {
			panic(err)
		}
		m.Memory().WriteUint32Le(uint32(stack[0]), uint32(results[0]))
		m.Memory().WriteUint32Le(uint32(stack[1]), 10)
		m.Memory().Write(uint32(results[0]), []byte("0123456789"))
	})
	if _, err := rt.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoModuleFunction(random, []api.ValueType{i32, i32}, nil).Export("get_random_string").Instantiate(ctx); err != nil {
		b.Fatal(err)
	}
	m, err := rt.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithStartFunctions("_initialize", "_start"))
	if err != nil {
		b.Fatal(err)
	}
	if counter, ok := m.ExportedGlobal(fuelExport).(api.MutableGlobal); ok {
		tank.counter = counter
	}
	return &side{ctx, m, tank}
}

// compare returns how many times as long as unmetered a guest takes that is
// metered, and one that can be closed. The ways take turns, and of each the
// shortest turn counts: the machine may be busy.
func compare(b *testing.B, sides []*side, w work) (metered, closeable float64) {
	const closeableEvery = 8 // it is slow, and nothing hangs on its last percent
	best, units := make([]float64, len(sides)), 0.0
	stack := make([]uint64, 1)
	calls := 1
	turn := func(n int, s *side) {
		f := s.module.ExportedFunction(w.name)
		s.tank.rest = endless
		if s.tank.counter != nil {
			s.tank.counter.Set(0)
		}
		start := time.Now()
		for range calls {
			stack[0] = w.argument
			if err := f.CallWithStack(s.ctx, stack); err != nil {
				b.Fatal(err)
			}
		}
		if took := float64(time.Since(start)) / float64(calls); best[n] == 0 || took < best[n] {
			best[n] = took
		}
		if s.tank.counter != nil {
			units = float64(endless-s.tank.rest-int64(s.tank.counter.Get())) / float64(calls)
		}
	}
	turn(0, sides[0])
	turn(0, sides[0])
	calls += int(20_000 / best[0]) // a turn is long for the clock and short for the scheduler
	clear(best)
	for i := 0; b.Loop(); i++ {
		turn(0, sides[0])
		turn(1, sides[1])
		if i%closeableEvery == 0 {
			turn(2, sides[2])
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(best[0], "unmetered-ns")
	b.ReportMetric(best[1], "metered-ns")
	b.ReportMetric(best[2], "closeable-ns")
	b.ReportMetric(100*(best[1]/best[0]-1), "metering-%")
	b.ReportMetric(units/best[1], "units/ns")
	return best[1] / best[0], best[2] / best[0]
}

// Guests compute the same with metering as without.
func TestGuestsAlike(t *testing.T) {
	for _, g := range guests(t) {
		plain := newSide(t, g.module, wazero.NewRuntimeConfig())
		meter := newSide(t, meterFor(t, g.module), wazero.NewRuntimeConfig())
		for _, w := range g.work {
			call := func(s *side) uint64 {
				stack := []uint64{w.argument}
				if err := s.module.ExportedFunction(w.name).CallWithStack(s.ctx, stack); err != nil {
					t.Fatal(w.name, err)
				}
				return stack[0]
			}
			if want, got := call(plain), call(meter); want != got {
				t.Errorf("%s: %s: unmetered %d, metered %d", g.language, w.name, want, got)
			}
		}
	}
}

// What a load takes besides compiling.
func BenchmarkMeter(b *testing.B) {
	module := wasmtest.BuildGo(b, ".", "testdata/chores")
	guarded, err := guard(module)
	if err != nil {
		b.Fatal(err)
	}
	for name, step := range map[string]func() error{
		"guard":    func() error { _, err := guard(module); return err },
		"validate": func() error { return validate(b.Context(), guarded, 1<<16) },
		"meter":    func() error { _, err := metered(guarded); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(module)))
			for b.Loop() {
				if err := step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
