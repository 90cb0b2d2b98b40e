package plugin

import (
	"bytes"
	"context"
	"math"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/authhost/authhost/host/plugin/wasmtest"
)

// A guest gets the fuel of its time, whatever the clock says, and no more.
func TestFuelOfALimit(t *testing.T) {
	for _, limit := range []time.Duration{time.Nanosecond, time.Microsecond, 10 * time.Millisecond} {
		whole := int64(limit) * UnitsPerNanosecond
		i := &instance{}
		i.tank.fill(limit)
		got, ended := int64(0), false
		func() {
			defer func() { ended = recover() == errFuel }()
			have := int64(0)
			for range 1 << 20 {
				have = i.tank.refill(have - 1)
				got += 1 + have // one was owed
				have = 0
			}
		}()
		if !ended || got > whole || got < whole-1 {
			t.Errorf("%v: %d units of %d, ended %v", limit, got, whole, ended)
		}
	}
}

// A guest that owes more than there is ends at once, and one that owes all
// there is goes on.
func TestFuelOwed(t *testing.T) {
	end := func(owed int64) (ended bool) {
		i := &instance{}
		i.tank.fill(time.Millisecond)
		defer func() { ended = recover() == errFuel }()
		i.tank.refill(-owed)
		return false
	}
	whole := int64(time.Millisecond) * UnitsPerNanosecond
	for owed, want := range map[int64]bool{1: false, whole: false, whole + 1: true, math.MaxInt64: true} {
		if got := end(owed); got != want {
			t.Errorf("owing %d of %d: ended %v", owed, whole, got)
		}
	}
}

// What the host does for a guest is paid for out of what is not handed out
// yet, then out of what the guest has in hand.
func TestFuelForTheHost(t *testing.T) {
	ctx, rt, tank := rawRuntime(t, wazero.NewRuntimeConfig())
	m, err := rt.Instantiate(ctx, meterFor(t, wasmtest.Module{}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	tank.counter = m.ExportedGlobal(fuelExport).(api.MutableGlobal)
	tank.fill(10 * time.Microsecond)
	whole := 10_000 * UnitsPerNanosecond
	if tank.counter.Get() != firstPart || tank.rest != int64(whole)-firstPart {
		t.Fatalf("%d in hand, %d besides, of %d", tank.counter.Get(), tank.rest, whole)
	}
	tank.charge(whole - 1)
	if tank.counter.Get() != 1 || tank.rest != 0 {
		t.Errorf("%d in hand, %d besides, want 1 in all", tank.counter.Get(), tank.rest)
	}
	defer func() {
		if r := recover(); r != errFuel {
			t.Errorf("got %v", r)
		}
	}()
	tank.charge(2)
}

// The clock ends what is slower than its fuel says, long after its limit.
func TestFuelByTheClock(t *testing.T) {
	i := &instance{}
	i.tank.fill(time.Minute)
	i.tank.refill(-1)
	if left := time.Until(i.tank.deadline); left < (clockFactor-1)*time.Minute {
		t.Errorf("%v are left of a minute", left)
	}
	i.tank.deadline = time.Now().Add(-time.Nanosecond)
	defer func() {
		if r := recover(); r != errClock {
			t.Errorf("got %v", r)
		}
	}()
	i.tank.refill(-1)
}

// The counter tells a call's length: the same each time, and so much more for
// so many more turns of a loop.
func TestFuelIsExact(t *testing.T) {
	turns := func(n int) int64 {
		body := wasmtest.Join(wasmtest.Const32(int32(n)), wasmtest.Set(0), wasmtest.Op(opLoop, emptyBlock),
			wasmtest.Local(0), wasmtest.Const32(1), wasmtest.Op(wasmtest.I32Sub, 0x22, 0, opBrIf, 0, opEnd))
		m := wasmtest.Module{Funcs: []wasmtest.Func{{Export: "f", Locals: []byte{wasmtest.I32}, Body: body}}}
		got := make([]int64, 2)
		for i := range got {
			ctx, rt, tank := rawRuntime(t, wazero.NewRuntimeConfig())
			instance, err := rt.Instantiate(ctx, meterFor(t, m.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			counter := instance.ExportedGlobal(fuelExport).(api.MutableGlobal)
			tank.rest = endless
			if _, err := instance.ExportedFunction("f").Call(ctx); err != nil {
				t.Fatal(err)
			}
			got[i] = endless - tank.rest - int64(counter.Get())
		}
		if got[0] != got[1] {
			t.Errorf("%d turns took %d units, then %d", n, got[0], got[1])
		}
		return got[0]
	}
	one, all := turns(1), turns(1001)
	if each := all - one; each != 1000*(loopCost+5) {
		t.Errorf("a thousand turns of five instructions took %d units", each)
	}
}

// What a metered module adds is not for guests.
func TestMeterNames(t *testing.T) {
	for name, m := range map[string]wasmtest.Module{
		"import": {Imports: []wasmtest.Import{{Module: meterModule, Name: refillName, Params: []byte{wasmtest.I64}, Results: []byte{wasmtest.I64}}}},
		"export": {Funcs: []wasmtest.Func{{Export: fuelExport}}},
	} {
		if _, err := meterValid(m.Encode()); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// A module that names what the meter is going to add is invalid, and stays so:
// a guest could else refill itself.
func TestAttackPlugin_invalid_module_that_metering_would_make_valid(t *testing.T) {
	function := wasmtest.Func{Export: "f", Results: []byte{wasmtest.I64}, Body: wasmtest.Op(opGlobalGet, 0)}
	set := wasmtest.Func{Export: "f", Body: wasmtest.Join(wasmtest.Const64(1), wasmtest.Op(opGlobalSet, 0))}
	local := wasmtest.Func{Export: "f", Body: wasmtest.Op(opLocalGet, 0, wasmtest.Drop)}
	refill := wasmtest.Func{Export: "f", Body: wasmtest.Join(wasmtest.Const64(1), wasmtest.Call(1), wasmtest.Op(wasmtest.Drop))}
	label := wasmtest.Func{Export: "f", Body: wasmtest.Op(opLoop, emptyBlock, opBr, 2, opEnd)}
	typed := wasmtest.Func{Export: "f", Body: wasmtest.Join(wasmtest.Const64(1), wasmtest.Op(opLoop, 1, opEnd, wasmtest.Drop))}
	for name, f := range map[string]wasmtest.Func{
		"reads the counter": function, "writes the counter": set, "reads the added local": local,
		"calls the added import": refill, "jumps to the added loop": label, "uses the added type": typed,
	} {
		module := wasmtest.Module{Funcs: []wasmtest.Func{f}}.Encode()
		if _, err := meterValid(module); err == nil {
			t.Errorf("%s: it was taken", name)
		}
		p, err := Load(context.Background(), Options{Name: "guest", Module: module})
		if err == nil {
			p.Close(context.Background())
			t.Errorf("%s: it was loaded", name)
		} else if e, ok := err.(*LoadError); !ok || e.Step != "compile" {
			t.Errorf("%s: refused with %v", name, err)
		}
	}
}

// However often a guest asks, a part stays one: in a loop whose turn costs more
// than is handed out it would ask for ever.
func TestFuelPartsAreBounded(t *testing.T) {
	i := &instance{}
	i.tank.fill(time.Hour)
	for range 200 {
		i.tank.refill(-1)
		if i.tank.part < leastPart || i.tank.part > mostPart {
			t.Fatalf("a part of %d units", i.tank.part)
		}
	}
	ctx, rt, tank := rawRuntime(t, wazero.NewRuntimeConfig())
	turn := bytes.Repeat(wasmtest.Op(0x43, 0, 0, 0, 0, 0x91, wasmtest.Drop), 3*firstPart/9) // a square root
	body := wasmtest.Join(wasmtest.Op(opLoop, emptyBlock), turn, wasmtest.Op(opEnd))
	m := wasmtest.Module{Funcs: []wasmtest.Func{{Export: "f", Locals: []byte{wasmtest.I32}, Body: body}}}
	guest, err := rt.Instantiate(ctx, meterFor(t, m.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guest.ExportedFunction("f").Call(ctx); err != nil || tank.refills > 8 {
		t.Errorf("%v after %d questions", err, tank.refills)
	}
}

// The clock is patient with the slower engine, so that fuel ends its calls too.
func TestClockOfAnEngine(t *testing.T) {
	wait := func(e Engine) time.Duration {
		tank := tank{engine: e}
		tank.fill(time.Second)
		tank.look()
		return tank.deadline.Sub(tank.filled)
	}
	if c, i := wait(Compiler), wait(Interpreter); c != clockFactor*time.Second || i != slowness*c {
		t.Errorf("%v for the compiler, %v for the interpreter", c, i)
	}
}
