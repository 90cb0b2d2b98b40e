package plugin_test

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

func TestAttackPlugin_time(t *testing.T) { withstands(t, timeAttacks()) }

const fuelUsed = "all its fuel is used"

// timeAttacks never end, or not soon.
func timeAttacks() []attack {
	// twice(n) calls itself twice with n-1, unless n is 0.
	again := Join(Local(0), Const32(1), Op(I32Sub), Call(after))
	twice := Func{Params: []byte{I32}, Body: Join(Local(0), Op(0x04, 0x40), again, again, Op(0x0b))}
	twiceBranching := Func{Params: []byte{I32}, Body: Join(Op(0x02, 0x40), Local(0), Op(0x45, 0x0d, 0), again, again, Op(0x0b))}
	step := Join(Local(0), Const32(3), Op(0x6e), Set(0)) // divides
	// Each function calls the next one a thousand times.
	var chain []Func
	for n := range 4 {
		chain = append(chain, Func{Body: bytes.Repeat(Call(after+n+1), 1000)})
	}
	chain = append(chain, Func{Body: bytes.Repeat(Op(0x01), 10)})
	wide := bytes.Repeat([]byte{I64}, 100)
	return []attack{
		{name: "endless_loop", body: Forever(), cause: fuelUsed},
		{name: "endless_loop_in_a_callee", more: []Func{{Body: Forever()}}, body: Call(after), cause: fuelUsed},
		{name: "endless_loop_of_calls", more: []Func{{}}, body: Forever(Call(after)), cause: fuelUsed},
		{name: "endless_loop_through_a_br_table", body: Op(0x03, 0x40, 0x41, 7, 0x0e, 1, 0, 0, 0x0b), cause: fuelUsed},
		{name: "endless_loop_of_memory_fill", body: Forever(Const32(0), Const32(7), Const32(pages<<16), Op(0xfc, 0x0b, 0)), cause: fuelUsed},
		{name: "endless_loop_of_memory_copy", body: Forever(Const32(1), Const32(0), Const32(pages<<16-1), Op(0xfc, 0x0a, 0, 0)), cause: fuelUsed},
		{name: "endless_loop_of_table_fill", table: []byte{0x70, 1, 0xe8, 0x07, 0xe8, 0x07}, // 1000 entries
			body: Forever(Const32(0), Op(0xd0, 0x70), Const32(1000), Op(0xfc, 0x11, 0)), cause: fuelUsed},
		{name: "exponential_recursion", more: []Func{twice}, body: Join(Const32(60), Call(after)), cause: fuelUsed},
		{name: "exponential_recursion_without_a_loop_or_an_if", more: []Func{twiceBranching}, body: Join(Const32(60), Call(after)), cause: fuelUsed},
		{name: "endless_recursion", body: Call(trouble)},
		{name: "endless_recursion_through_a_table", table: []byte{0x70, 0, 1}, elements: []int{trouble}, body: Join(Const32(0), Op(0x11, trouble, 0))},
		{name: "stack_overflow", more: []Func{{Params: wide, Body: Join(locals(len(wide)), Call(after))}}, body: Join(bytes.Repeat(Const64(1), len(wide)), Call(after))},
		{name: "straight_line_bomb", more: []Func{{Locals: []byte{I32}, Body: bytes.Repeat(step, 1<<16)}}, body: bytes.Repeat(Call(after), 16), cause: fuelUsed},
		{name: "huge_loop_body", body: Forever(bytes.Repeat(step, 1<<16)), cause: fuelUsed},
		{name: "calls_of_a_straight_line_bomb", more: chain, body: Call(after), cause: fuelUsed},
	}
}

// locals pushes the first n locals.
func locals(n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, Local(i)...)
	}
	return b
}

// Whichever comes first ends a recursion, and with time enough that is the end
// of the stack.
func TestAttackPlugin_stack_overflow(t *testing.T) {
	for _, a := range timeAttacks() {
		if a.cause != "" {
			continue
		}
		p := load(t, plugin.Options{Module: a.module().Encode(), Limits: plugin.Limits{Time: time.Minute, Instances: 1}})
		_, err := p.Authorize(t.Context(), cue())
		fails(t, err, "stack overflow")
		allows(t, p)
	}
}

// A start has the time that it is given and no more, though tests shorten it.
func TestAttackPlugin_slow_start(t *testing.T) {
	slow := timeAttacks()[0]
	for _, place := range []string{"start", "configure"} {
		step := "start"
		if place == "configure" {
			step = place
		}
		t.Run(place, func(t *testing.T) {
			// By its fuel, or by the clock where the machine is busy.
			refused(t, plugin.Options{Module: slow.at(place).Encode(), Limits: plugin.Limits{Time: time.Millisecond}}, step, "ran past its time limit")
		})
	}
}

// A guest in native code cannot be preempted, and the host's collector waits
// for every goroutine. It waits for the guest's next part of fuel only: a
// guest that has an hour left is still running when the collector is done.
func TestAttackPlugin_loop_that_holds_up_the_collector(t *testing.T) {
	for name, turn := range map[string][]byte{
		"nothing":     nil,
		"memory.fill": Join(Const32(0), Const32(7), Const32(pages<<16), Op(0xfc, 0x0b, 0)),
	} {
		log, logger := newLogs()
		body := Join(Const32(1), Const32(0), Const32(1), Call(0), Forever(turn))
		p := load(t, plugin.Options{
			Module: hook(base(logImport), "on_authorize", body).Encode(), Logger: logger, Limits: plugin.Limits{Time: time.Hour, Instances: 1},
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Authorize(context.Background(), call())
		}()
		<-log.seen
		longest := time.Duration(0)
		for range 5 {
			start := time.Now()
			runtime.GC()
			longest = max(longest, time.Since(start))
			select {
			case <-done:
				t.Fatalf("%s: the collector waited until the guest had ended", name)
			default:
			}
		}
		t.Logf("%s: the collector took %v at most", name, longest)
		hurry(p)
		<-done
	}
}
