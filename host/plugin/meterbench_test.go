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

// workGuest builds testdata/work.
func workGuest(tb testing.TB) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "work.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "./testdata/work")
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

// What metering costs a guest, beside the engine's own way to end one.
func BenchmarkMetering(b *testing.B) {
	guests := []struct {
		name   string
		module []byte
		work   []string
	}{
		{"go", workGuest(b), []string{"matching", "sorting", "interfaces", "maps", "hashing", "decoding"}},
		{"tight", tightGuests(), []string{"empty loop", "memory loop", "call loop"}},
	}
	for _, g := range guests {
		for _, way := range []string{"unmetered", "metered", "closeOnContextDone"} {
			module := g.module
			if way == "metered" {
				module = meterFor(b, module)
				b.Logf("%s: %d bytes become %d", g.name, len(g.module), len(module))
			}
			ctx, rt, tank := rawRuntime(b, wazero.NewRuntimeConfig().WithCloseOnContextDone(way == "closeOnContextDone"))
			m, err := rt.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithStartFunctions("_initialize").WithSysNanotime())
			if err != nil {
				b.Fatal(err)
			}
			if way == "metered" {
				tank.counter = m.ExportedGlobal(fuelExport).(api.MutableGlobal)
			}
			for _, name := range g.work {
				b.Run(g.name+"/"+name+"/"+way, func(b *testing.B) {
					f, stack := m.ExportedFunction(name), make([]uint64, 1)
					tank.rest = 1 << 60
					start := tank.rest
					if tank.counter != nil {
						tank.counter.Set(0)
					}
					n := 0
					for b.Loop() {
						n++
						if err := f.CallWithStack(ctx, stack); err != nil {
							b.Fatal(err)
						}
					}
					if tank.counter != nil {
						used := start - tank.rest - int64(tank.counter.Get())
						b.ReportMetric(float64(used)/float64(n), "units/op")
						b.ReportMetric(float64(used)/float64(b.Elapsed()), "units/ns")
					}
				})
			}
		}
	}
}
