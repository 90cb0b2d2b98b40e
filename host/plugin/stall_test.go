package plugin

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// A spin is a guest in an endless loop.
type spin struct {
	refills atomic.Int64
	over    atomic.Int64 // the most units that it used beyond what it had in hand
	stop    atomic.Bool
	ended   chan error
}

// spinning starts the export endless, with fuel for an hour, and returns once
// it has asked for more so often that its parts have the size they will have.
func spinning(tb testing.TB, module []byte) *spin {
	tb.Helper()
	s, i := &spin{ended: make(chan error, 1)}, &instance{}
	i.tank.fill(time.Hour)
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	tb.Cleanup(func() {
		s.stop.Store(true)
		if err := <-s.ended; !errors.Is(err, errKilled) {
			tb.Errorf("ended with %v", err)
		}
		rt.Close(ctx)
	})
	fuel := func(_ context.Context, stack []uint64) {
		if s.stop.Load() {
			panic(errKilled)
		}
		have := int64(stack[0])
		s.over.Store(max(s.over.Load(), -have))
		stack[0] = uint64(i.tank.refill(have))
		s.refills.Add(1)
	}
	_, err := rt.NewHostModuleBuilder(meterModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(fuel), refillType.params, refillType.results).Export(refillName).Instantiate(ctx)
	if err == nil {
		_, err = wasi_snapshot_preview1.Instantiate(ctx, rt)
	}
	if err != nil {
		tb.Fatal(err)
	}
	guest, err := rt.InstantiateWithConfig(ctx, meterFor(tb, module), wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		tb.Fatal(err)
	}
	f, settled := guest.ExportedFunction("endless"), s.refills.Load()+20
	go func() {
		_, err := f.Call(ctx)
		s.ended <- err
	}()
	for s.refills.Load() < settled {
		time.Sleep(time.Millisecond)
	}
	return s
}

func spinners(tb testing.TB) map[string][]byte {
	return map[string][]byte{
		"go":    wasmtest.BuildGo(tb, ".", "testdata/chores"),
		"c":     wasmtest.BuildC(tb, "testdata/c/chores.c"),
		"rust":  wasmtest.BuildRust(tb, "testdata/rust/chores.rs"),
		"tight": wasmtest.Module{Funcs: []wasmtest.Func{{Export: "endless", Body: wasmtest.Forever()}}}.Encode(),
	}
}

// A guest in a tight loop holds the host's collector up until it asks for its
// next part, and no longer: the world is stopped again and again while it is
// in one and the same call, whose fuel would last for an hour, and it never
// uses more than its part and the code up to the next question.
func TestFuelLetsTheCollectorIn(t *testing.T) {
	for name, module := range spinners(t) {
		t.Run(name, func(t *testing.T) {
			s := spinning(t, module)
			// The guest itself may wait for a processor meanwhile.
			before, end := s.refills.Load(), time.Now().Add(time.Minute)
			for n := 0; n < 10 || s.refills.Load() == before; n++ {
				runtime.GC()
				if len(s.ended) > 0 {
					t.Fatal("the collector waited for the end of the call")
				}
				if time.Now().After(end) {
					t.Fatalf("the guest did not ask for fuel while the world was stopped %d times", n)
				}
			}
			if over := s.over.Load(); over > unchecked {
				t.Errorf("it used %d units beyond its part", over)
			}
		})
	}
}

// BenchmarkCollectorStall prints how long the world takes to stop while a
// guest spins, and how long the guest's parts last. On a machine that has no
// core left for the benchmark it also prints how long that waits for one.
func BenchmarkCollectorStall(b *testing.B) {
	measure := func(b *testing.B, s *spin) {
		var stops []time.Duration
		var stats runtime.MemStats
		start, refills := time.Now(), int64(0)
		if s != nil {
			refills = s.refills.Load()
		}
		for b.Loop() {
			time.Sleep(partTime) // into the middle of a part
			before := time.Now()
			runtime.ReadMemStats(&stats) // stops the world once
			stops = append(stops, time.Since(before))
		}
		b.ReportMetric(0, "ns/op")
		slices.Sort(stops)
		b.ReportMetric(float64(stops[len(stops)/2].Microseconds()), "median-stop-µs")
		b.ReportMetric(float64(stops[len(stops)*99/100].Microseconds()), "p99-stop-µs")
		if s != nil {
			b.ReportMetric(float64(time.Since(start).Microseconds())/float64(s.refills.Load()-refills), "part-µs")
		}
	}
	b.Run("no guest", func(b *testing.B) { measure(b, nil) })
	for name, module := range spinners(b) {
		b.Run(name, func(b *testing.B) { measure(b, spinning(b, module)) })
	}
}
