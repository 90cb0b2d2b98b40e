package plugin

import (
	"bytes"
	"context"
	"testing"

	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// longest runs export f of a module, which is given no fuel at all, and
// returns how many units it took at most from one time it looked to the next.
func longest(t *testing.T, m wasmtest.Module, args ...uint64) (most, all int64) {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	_, err := rt.NewHostModuleBuilder(meterModule).NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		took := -int64(stack[0])
		most, all, stack[0] = max(most, took), all+took, 0
	}), []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).Export(refillName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := rt.Instantiate(ctx, meterFor(t, m.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := instance.ExportedFunction("f").Call(ctx, args...); err != nil {
		t.Fatal(err)
	}
	took := -int64(instance.ExportedGlobal(fuelExport).Get())
	return max(most, took), all + took
}

// Whichever way a guest takes through its code, it looks for fuel in time.
func TestEveryWayLooks(t *testing.T) {
	const work = 1 // the index of a function that takes about 300 units
	roots := func(n int) []byte { return bytes.Repeat(wasmtest.Op(0x43, 0, 0, 0, 0, 0x91, wasmtest.Drop), n) }
	when := func(body []byte) []byte {
		return wasmtest.Join(wasmtest.Local(0), wasmtest.Op(opIf, emptyBlock), body, wasmtest.Op(opEnd))
	}
	block := func(body ...[]byte) []byte {
		return wasmtest.Join(wasmtest.Op(opBlock, emptyBlock), wasmtest.Join(body...), wasmtest.Op(opEnd))
	}
	skip := wasmtest.Join(wasmtest.Local(1), wasmtest.Op(opBrIf, 0)) // local 1 is 1
	less := wasmtest.Join(wasmtest.Local(0), wasmtest.Const32(1), wasmtest.Op(wasmtest.I32Sub))
	again := when(wasmtest.Join(less, wasmtest.Call(0)))
	// Pieces of code between which it goes by a dispatcher, each second one
	// passed over.
	pieces := wasmtest.Join(wasmtest.Op(opLoop, emptyBlock), bytes.Repeat(wasmtest.Op(opBlock, emptyBlock), 41), wasmtest.Local(0), wasmtest.Op(opBrTable, 40))
	for n := range 41 {
		pieces = append(pieces, byte(n))
	}
	for n := range 40 {
		pieces = wasmtest.Join(pieces, wasmtest.Op(opEnd), bytes.Repeat(wasmtest.Call(work), 50-40*(n%2)), wasmtest.Const32(int32(min(n+2, 40))), wasmtest.Set(0), wasmtest.Op(opBr, byte(40-n)))
	}
	pieces = wasmtest.Join(pieces, wasmtest.Op(opEnd, opEnd))
	for name, test := range map[string]struct {
		body  []byte
		depth uint64
	}{
		"calls, the last in an arm not entered": {body: bytes.Repeat(wasmtest.Join(bytes.Repeat(wasmtest.Call(work), 63), when(wasmtest.Call(work))), 20)},
		"calls, the last jumped over":           {body: bytes.Repeat(wasmtest.Join(bytes.Repeat(wasmtest.Call(work), 63), block(skip, wasmtest.Call(work))), 20)},
		"work, some in an arm not entered":      {body: bytes.Repeat(wasmtest.Join(roots(650), when(roots(500))), 60)},
		"calls, the last passed over":           {body: pieces},
		"work, some jumped over":                {body: bytes.Repeat(wasmtest.Join(roots(650), block(skip, roots(500))), 60)},
		"a recursion that calls as it returns":  {depth: 1000, body: wasmtest.Join(again, bytes.Repeat(wasmtest.Call(work), 60))},
		"a recursion that works as it returns":  {depth: 1000, body: wasmtest.Join(again, roots(1000))},
		"a recursion that calls in a short one": {depth: 1000, body: wasmtest.Join(when(wasmtest.Join(wasmtest.Local(0), wasmtest.Call(work+1))), bytes.Repeat(wasmtest.Call(work), 60))},
		"a recursion through a table":           {depth: 1000, body: wasmtest.Join(when(wasmtest.Join(less, wasmtest.Const32(0), wasmtest.Op(opCallIndirect, 0, 0))), bytes.Repeat(wasmtest.Call(work), 60))},
	} {
		t.Run(name, func(t *testing.T) {
			m := wasmtest.Module{
				Funcs: []wasmtest.Func{
					{Export: "f", Params: []byte{wasmtest.I32}, Locals: []byte{wasmtest.I32}, Body: wasmtest.Join(wasmtest.Const32(1), wasmtest.Set(1), test.body)},
					{Body: roots(100)},
					{Params: []byte{wasmtest.I32}, Body: wasmtest.Join(less, wasmtest.Call(0))},
				},
				Table: []byte{0x70, 0, 1}, Elements: []int{0},
			}
			most, all := longest(t, m, test.depth)
			t.Logf("%d of %d units", most, all)
			if bound := unchecked + brief + afterwards*int64(test.depth); most > bound {
				t.Errorf("it took %d units of %d before it looked, %d are allowed", most, all, bound)
			}
		})
	}
}
