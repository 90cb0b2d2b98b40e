package plugin

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// The limit on a guest's time is kept by counting, see meter.go: a guest has
// as much fuel as it would use in that time on a machine that has nothing else
// to do. So a guest that is well within its limit stays so however busy the
// machine is, and one that is not ends at the same place each time.
//
// The fuel is handed out in small parts, for native code cannot be preempted:
// the host's garbage collector waits until the guest leaves for the next part.

const (
	// UnitsPerNanosecond is how much fuel a nanosecond of Limits.Time is
	// worth. A unit is about one instruction; hardly a guest does more than
	// this many in a nanosecond.
	UnitsPerNanosecond = 16

	// firstPart is the fuel of a call before it is asked for more, partTime
	// what a later part is sized to last.
	firstPart = 1 << 17
	leastPart = 1 << 12
	mostPart  = 1 << 27 // more than one function takes between two questions
	partTime  = time.Millisecond

	// A call may take clockFactor times its limit by the clock, and
	// leastClock at least. That ends what is slower than fuel says, such as
	// code that misses the processor's caches at every step.
	clockFactor = 10
	leastClock  = time.Second

	// slowness is how much longer the clock lets the interpreter take: there
	// too it is fuel that ends a call, and the clock only a hang.
	slowness = 64
)

const (
	errFuel   = fault("ran past its time limit: all its fuel is used")
	errClock  = fault("ran past its time limit by the clock")
	errKilled = fault("was ended, as the plugin is closed")
)

// tank is the fuel of an instance for the call under way.
type tank struct {
	counter  api.MutableGlobal // what the guest has in hand; nil until it was instantiated
	rest     int64             // what it may be given besides
	part     int64             // the size of the next part
	limit    time.Duration
	engine   Engine
	filled   time.Time // when the last part was given; zero: none since the start
	deadline time.Time // valid with filled
	refills  int
}

// fill readies the tank for a call of at most limit.
func (t *tank) fill(limit time.Duration) {
	t.limit, t.filled, t.part, t.refills = limit, time.Time{}, firstPart, 0
	t.rest = int64(limit) * UnitsPerNanosecond
	if t.counter != nil {
		part := min(t.rest, firstPart)
		t.rest -= part
		t.counter.Set(uint64(part))
	}
}

// spent returns how much fuel was used since the tank was filled.
func (t *tank) spent() int64 {
	return int64(t.limit)*UnitsPerNanosecond - t.rest - int64(t.counter.Get())
}

// refill returns what a guest has in hand that had have, which is below zero.
func (t *tank) refill(have int64) int64 {
	t.refills++
	last := t.filled
	t.look()
	if !last.IsZero() {
		switch lasted := t.filled.Sub(last); {
		case lasted < partTime/2:
			t.part = min(t.part*2, mostPart)
		case lasted > partTime*2:
			t.part = max(t.part/2, leastPart)
		}
	}
	// A part on top of what is owed: a loop that asks takes its turn's charge
	// once more.
	given := min(t.rest, t.part)
	if owed := -have; owed < t.rest-given {
		given += owed
	} else {
		given = t.rest
	}
	if have += given; have < 0 {
		panic(errFuel)
	}
	t.rest -= given
	return have
}

// look ends the call if it is past its time by the clock: the real one, as it
// is the machine whose time is bounded.
func (t *tank) look() {
	now := time.Now()
	if t.filled.IsZero() {
		wait := max(clockFactor*t.limit, leastClock)
		if t.engine == Interpreter {
			wait *= slowness
		}
		t.deadline = now.Add(wait)
	} else if now.After(t.deadline) {
		panic(errClock)
	}
	t.filled = now
}

// charge takes fuel for what the host did for a guest.
func (t *tank) charge(units int) {
	if t.rest -= int64(units); t.rest >= 0 {
		return
	}
	if t.counter != nil {
		have := int64(t.counter.Get()) + t.rest
		t.rest = 0
		if t.counter.Set(uint64(have)); have >= 0 {
			return
		}
	}
	panic(errFuel)
}

// refill(have i64) -> i64 is what a metered guest calls when it has no fuel
// left.
func refill(ctx context.Context, stack []uint64) {
	i := ctx.Value(instanceKey{}).(*instance)
	if i.killed.Load() {
		panic(errKilled)
	}
	stack[0] = uint64(i.tank.refill(int64(stack[0])))
}
