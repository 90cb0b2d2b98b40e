package plugin_test

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

func TestAttackPlugin_memory(t *testing.T) { withstands(t, memoryAttacks()) }

// memoryAttacks take what memory there is.
func memoryAttacks() []attack {
	return []attack{
		{name: "memory_bomb", body: Forever(Const32(1), Op(0x40, 0, Drop)), cause: fuelUsed},
		// Takes all it may, touches the last page and traps.
		{name: "memory_bomb_that_traps", body: Join(Const32(attackMemory>>16-pages), Op(0x40, 0, Drop), Const32(attackMemory-4), Const32(1), Op(0x36, 2, 0, Unreachable)), cause: "unreachable"},
		{name: "table_bomb_in_a_loop", table: []byte{0x70, 0, 1}, body: Forever(Op(0xd0, 0x70), Const32(1000), Op(0xfc, 0x0f, 0, Drop)), cause: fuelUsed},
	}
}

// What failed calls used comes back.
func TestHostMemoryReturns(t *testing.T) {
	// Takes all it may, touches the last page and traps.
	const limit = 64 << 20
	bomb := Join(Const32(limit>>16-pages), Op(0x40, 0), Op(Drop), Const32(limit-4), Const32(1), Op(0x36, 2, 0, Unreachable))
	p := load(t, plugin.Options{
		Module: hook(base(), "on_authorize", bomb).Encode(), Limits: plugin.Limits{Memory: limit, Time: time.Minute, Instances: 1},
	})
	before := heap()
	for range 10 {
		_, err := p.Authorize(t.Context(), call())
		fails(t, err, "unreachable")
	}
	settles(t, before+limit/4, heap)
}

// A deep recursion that comes back leaves a large stack to the function that
// was called, in each instance and hook, if that is kept.
func TestAttackPlugin_deep_recursion_that_returns(t *testing.T) {
	const depth, instances = 200_000, 4
	wide := bytes.Repeat([]byte{I32}, 8)
	deeper := Func{Params: wide, Body: Join(Local(0), Op(0x04, 0x40), Local(0), Const32(1), Op(I32Sub), locals(8)[2:], Call(after), Op(0x0b))}
	a := attack{more: []Func{deeper}, body: Join(Const32(depth), bytes.Repeat(Const32(1), 7), Call(after))}
	p := load(t, plugin.Options{Module: a.module().Encode(), Limits: plugin.Limits{Time: time.Minute, Instances: instances}})
	allows(t, p)
	before := heap()
	var callers sync.WaitGroup
	for range instances {
		callers.Go(func() {
			for range 4 {
				if _, err := p.Authorize(t.Context(), cue()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	settles(t, before+8<<20, heap)
	runtime.KeepAlive(p)
}

// memory.grow answers -1 beyond the limit, and the guest may go on.
func TestMemoryLimit(t *testing.T) {
	// deny if growing to 33 pages in all succeeds.
	body := Join(Const32(32), Op(0x40, 0), Const32(-1), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b))
	module := hook(base(), "on_authorize", body).Encode()
	allows(t, load(t, plugin.Options{Module: module, Limits: plugin.Limits{Memory: 2 << 20}}))
	p := load(t, plugin.Options{Module: module, Limits: plugin.Limits{Memory: 4 << 20}})
	if o, err := p.Authorize(t.Context(), call()); err != nil || o.Effect != host.Deny {
		t.Errorf("got %+v, %v, want deny", o, err)
	}
}

// table.grow is bounded as memory.grow is.
func TestAttackPlugin_table_bomb(t *testing.T) {
	// deny if growing the table by 10 million entries succeeds.
	m := base()
	m.Table = []byte{0x70, 0, 1}
	grow := Join(Op(0xd0, 0x70), Const32(10_000_000), Op(0xfc, 0x0f, 0), Const32(-1), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b))
	allows(t, load(t, plugin.Options{Module: hook(m, "on_authorize", grow).Encode()}))
}
