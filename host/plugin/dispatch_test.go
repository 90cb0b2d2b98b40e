package plugin

import (
	"errors"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
)

// endsByFuel runs the export f of a module that would never end, or not in
// this century, on the fuel of a millisecond.
func endsByFuel(t *testing.T, m wasmtest.Module) {
	t.Helper()
	ctx, rt, tank := rawRuntime(t, wazero.NewRuntimeConfig())
	guest, err := rt.Instantiate(ctx, meterFor(t, m.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	tank.fill(time.Millisecond)
	if _, err := guest.ExportedFunction("f").Call(ctx); !errors.Is(err, errFuel) || tank.refills == 0 {
		t.Errorf("ended with %v after %d questions", err, tank.refills)
	}
}

// A loop that looks like the dispatcher of a Go function, and goes round for
// ever, ends however it hides where it jumps.
func TestFuelEndsDispatchers(t *testing.T) {
	join, op, set, number := wasmtest.Join, wasmtest.Op, wasmtest.Set, wasmtest.Const32
	// Two pieces of code, to which values of local 0 lead.
	dispatch := func(table, first, second []byte) wasmtest.Module {
		body := join(op(opLoop, emptyBlock, opBlock, emptyBlock, opBlock, emptyBlock, opLocalGet, 0, opBrTable), table,
			op(opEnd), first, op(opEnd), second, op(opEnd))
		return wasmtest.Module{Funcs: []wasmtest.Func{{Export: "f", Locals: []byte{wasmtest.I32, wasmtest.I32}, Body: body}}}
	}
	inOrder, again := op(1, 0, 1), op(2, 0, 1, 0)
	for name, m := range map[string]wasmtest.Module{
		"back by a constant":          dispatch(inOrder, nil, join(number(0), set(0), op(opBr, 0))),
		"back by what is not known":   dispatch(inOrder, nil, join(wasmtest.Local(1), set(0), op(opBr, 0))),
		"back by the last label":      dispatch(again, join(number(-1), set(0), op(opBr, 1)), op(opReturn)),
		"back by a number too large":  dispatch(again, join(number(1<<30), set(0), op(opBr, 1)), op(opReturn)),
		"by another local":            dispatch(inOrder, join(number(1), set(1), op(opBr, 1)), nil),
		"by a constant that is gone":  dispatch(inOrder, join(number(1), number(0), set(0), op(0x1a, opBr, 1)), nil),
		"by one set in another place": dispatch(inOrder, join(number(1), set(0), number(0), set(0), op(opBr, 1)), nil),
		"by a jump over it":           dispatch(inOrder, join(op(opBlock, emptyBlock), number(1), op(opBrIf, 0), number(1), set(0), op(opEnd, opBr, 1)), nil),
		"by br_if":                    dispatch(inOrder, nil, join(number(0), set(0), number(1), op(opBrIf, 0))),
		"by br_table":                 dispatch(inOrder, nil, join(number(0), set(0), number(1), op(opBrTable, 0, 0))),
		"in a loop of its own":        dispatch(inOrder, join(op(opLoop, emptyBlock), number(1), set(0), op(opBr, 0, opEnd)), nil),
	} {
		t.Run(name, func(t *testing.T) { endsByFuel(t, m) })
	}
}

// The functions of a Go guest have dispatchers, and most jump ahead only. It
// would be no error if they had not, but slow.
func TestGoGuestsHaveDispatchers(t *testing.T) {
	module, err := guard(wasmtest.BuildGo(t, ".", "testdata/chores"))
	if err != nil {
		t.Fatal(err)
	}
	found, ahead := 0, 0
	for r := (reader{module[len(preamble):]}); len(r.b) > 0; {
		id, _ := r.byte()
		section, err := r.block()
		if err != nil {
			t.Fatal(err)
		}
		if id != sectionCode {
			continue
		}
		in := reader{section}
		n, _ := in.u32()
		for range n {
			body, _ := in.block()
			code := reader{body}
			_, _, _ = code.locals()
			var d dispatcher
			if d.reset(code.b); d.loop != never {
				found++
				if len(d.back) == 0 {
					ahead++
				}
			}
		}
	}
	if found < 1000 || ahead < found/2 {
		t.Errorf("%d functions have a dispatcher, %d jump ahead only", found, ahead)
	}
	t.Logf("%d functions have a dispatcher, %d jump ahead only", found, ahead)
}

// Functions that are short and do not look for fuel themselves call one
// another in a circle.
func TestFuelEndsCircles(t *testing.T) {
	join, op := wasmtest.Join, wasmtest.Op
	less := join(wasmtest.Local(0), wasmtest.Const32(1), op(wasmtest.I32Sub))
	function := func(calls ...[]byte) wasmtest.Func { // unless its argument is 0
		return wasmtest.Func{Params: []byte{wasmtest.I32}, Body: join(wasmtest.Local(0), op(opIf, emptyBlock), join(calls...), op(opEnd))}
	}
	call := func(f int) []byte { return join(less, wasmtest.Call(f)) }
	start := func(f int) wasmtest.Func {
		return wasmtest.Func{Export: "f", Body: join(wasmtest.Const32(100), wasmtest.Call(f))}
	}
	for name, funcs := range map[string][]wasmtest.Func{
		"of one":             {start(1), function(call(1), call(1))},
		"of two":             {start(1), function(call(2), call(2)), function(call(1))},
		"of three, and back": {start(3), function(call(2), call(2)), function(call(3)), function(call(1), call(3))},
		"with a way in":      {start(1), function(call(2)), function(call(4)), function(call(2), call(2)), function(call(3), call(1))},
	} {
		t.Run(name, func(t *testing.T) { endsByFuel(t, wasmtest.Module{Funcs: funcs}) })
	}
	t.Run("through a table", func(t *testing.T) {
		through := function(join(less, wasmtest.Const32(0), op(opCallIndirect, 0, 0)), join(less, wasmtest.Const32(0), op(opCallIndirect, 0, 0)))
		endsByFuel(t, wasmtest.Module{Table: []byte{0x70, 0, 1}, Elements: []int{1}, Funcs: []wasmtest.Func{
			{Params: []byte{wasmtest.I32}, Body: call(1)}, through, start(0),
		}})
	})
}
