package plugin

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// workGuest builds testdata/chores.
func workGuest(tb testing.TB) []byte {
	tb.Helper()
	if _, err := os.ReadFile("testdata/chores/main.go"); err != nil { // the result of a test depends on it
		tb.Fatal(err)
	}
	out := filepath.Join(tb.TempDir(), "work.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "./testdata/chores")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

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

var (
	goWork    = []work{{"matching", 0}, {"sorting", 0}, {"interfaces", 0}, {"maps", 0}, {"hashing", 0}, {"decoding", 0}}
	llvmWork  = []work{{"base64", 100}, {"fibonacci", 20}, {"string_manipulation", 100}, {"reverse_array", 1000}, {"random_mat_mul", 10}}
	tightWork = []work{{"empty loop", 0}, {"memory loop", 0}, {"call loop", 0}}
)

// What metering costs a guest, beside the engine's own way to end one. The
// ways take turns, and the best time of each counts: the machine may be busy.
func BenchmarkMetering(b *testing.B) {
	for _, g := range []struct {
		name   string
		module []byte
		work   []work
	}{
		{"go", workGuest(b), goWork}, {"llvm", llvmGuest(b), llvmWork}, {"tight", tightGuests(), tightWork},
	} {
		sides := []*side{
			newSide(b, g.module, wazero.NewRuntimeConfig()),
			newSide(b, meterFor(b, g.module), wazero.NewRuntimeConfig()),
			newSide(b, g.module, wazero.NewRuntimeConfig().WithCloseOnContextDone(true)),
		}
		for _, w := range g.work {
			b.Run(g.name+"/"+w.name, func(b *testing.B) { compare(b, sides, w) })
		}
	}
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

func compare(b *testing.B, sides []*side, w work) {
	const calls = 10
	best, units := make([]float64, len(sides)), 0.0
	stack := make([]uint64, 1)
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
		if took := float64(time.Since(start)) / calls; best[n] == 0 || took < best[n] {
			best[n] = took
		}
		if s.tank.counter != nil {
			units = float64(endless-s.tank.rest-int64(s.tank.counter.Get())) / calls
		}
	}
	for b.Loop() {
		for n, s := range sides {
			turn(n, s)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(best[0], "unmetered-ns")
	b.ReportMetric(best[1], "metered-ns")
	b.ReportMetric(best[2], "closeable-ns")
	b.ReportMetric(100*(best[1]/best[0]-1), "metering-%")
	b.ReportMetric(units/best[1], "units/ns")
}

// Guests compute the same with metering as without.
func TestGuestsAlike(t *testing.T) {
	for _, g := range []struct {
		module []byte
		work   []work
	}{
		{workGuest(t), goWork}, {llvmGuest(t), llvmWork}, {tightGuests(), tightWork},
	} {
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
				t.Errorf("%s: unmetered %d, metered %d", w.name, want, got)
			}
		}
	}
}

// What a load takes besides compiling.
func BenchmarkMeter(b *testing.B) {
	module := workGuest(b)
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
