package plugin

import (
	"hash/maphash"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// A module that was exposed is still valid, and an instance that was restored
// does what it did the first time, whatever it has changed in between.
func FuzzIsolation(f *testing.F) {
	for n := range 100 {
		seed := make([]byte, 300)
		x := uint32(n) + 77
		for i := range seed {
			x = x*1664525 + 1013904223
			seed[i] = byte(x >> 24)
		}
		f.Add(seed)
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
		module := data
		if data[0] != 0 { // else as it is
			g := generator{data: data, steady: true}
			module = g.module()
		}
		module, err := meterValid(module)
		if err != nil {
			return
		}
		module, globals, fixed, err := exposed(module)
		if err != nil {
			t.Fatalf("a valid module is refused: %v: %x", err, module)
		}
		i := newInstance(&Plugin{globals: globals})
		rt := wazero.NewRuntimeWithConfig(i.ctx, config)
		defer rt.Close(t.Context())
		if err := exportRefill(i.ctx, rt); err != nil {
			t.Fatal(err)
		}
		compiled, err := rt.CompileModule(i.ctx, module)
		if err != nil {
			t.Fatalf("a valid module became invalid: %v: %x", err, module)
		}
		i.tank.fill(100 * time.Microsecond)
		if i.module, err = rt.InstantiateModule(i.ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions()); err != nil {
			return // its start, or an import that is not there
		}
		i.tank.counter = i.module.ExportedGlobal(fuelExport).(api.MutableGlobal)
		i.exposedGlobals()
		if i.memory = i.module.ExportedMemory(memoryExport); i.memory == nil || fixed != "" {
			return
		}
		image := i.take()
		if !i.restore(image) {
			t.Fatalf("nothing has changed: %x", module)
		}
		first := runOnce(i, compiled)
		if !i.restore(image) { // it grew
			return
		}
		if again := runOnce(i, compiled); !again.equal(first) {
			t.Fatalf("at first %+v\nrestored %+v\n%x", first, again, module)
		}
	})
}

// runOnce calls what an instance exports, in the order of the names, each with
// fuel of its own.
func runOnce(i *instance, compiled wazero.CompiledModule) (o outcome) {
	names := []string{}
	for name := range compiled.ExportedFunctions() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := i.module.ExportedFunction(name)
		i.tank.fill(10 * time.Microsecond)
		results, err := f.Call(i.ctx, make([]uint64, len(f.Definition().ParamTypes()))...)
		o.results, o.errs = append(o.results, results...), append(o.errs, reason(err))
	}
	view, _ := i.memory.Read(0, i.memory.Size())
	o.memory = maphash.Bytes(memorySeed, view)
	return o
}
