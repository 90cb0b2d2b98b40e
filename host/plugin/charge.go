package plugin

import (
	"encoding/binary"
	"math"
)

const (
	// merged is up to how many units a charge may pay for code that is then
	// jumped over: fewer charges for code that branches a lot.
	merged = 16
	// unchecked is how many units a function's charges may take one after
	// another before one looks whether any are left.
	unchecked = 4096
	// entryCost is charged for entering a function, besides its locals.
	entryCost = 4
	// hostCost is charged for calling a function of the host.
	hostCost = 250
	// A function that calls none, has no loops and takes no more than
	// leafCost does not look whether fuel is left: its callers do, after
	// every so many calls.
	leafCost       = 256
	callsUnchecked = 64
	// A leaf that takes no more than this does not even count, see leaf.
	smallLeaf = 24
)

// An edit is a change to a function's code. A charge is planned before it is
// known whether it is needed; one that is not stays a void.
type edit struct {
	kind  editKind
	at    int    // the place in the code
	width int    // how many bytes of it are replaced, or of a loop's head
	value uint32 // units charged; by how much a size is shifted; where in planner.bytes the new bytes begin
	size  int    // how many those are
}

type editKind uint8

const (
	void       editKind = iota
	charge              // takes fuel
	checked             // takes fuel and looks whether any is left
	chargeDown          // takes the size on the stack, shifted right
	chargeUp            // takes the size on the stack, shifted left
	openLoop            // begins a loop around a loop
	chargeLoop          // takes fuel at the head of the inner one
	closeLoop           // ends the outer one
	store               // writes the counter
	load                // reads the counter
	replace             // puts other bytes
)

const never = math.MaxInt // after every charge

// A jumpTarget is a block, loop, if or function whose end was not read yet.
type jumpTarget struct {
	op     byte // 0 for the function
	source int  // the first charge whose code jumps to its end, or never
	parted int  // the charge that paid for the if
	loops  int  // how many loops it is in, itself included
}

// A planner decides where a function is charged, in one pass over its code.
//
// A charge pays for all code up to the next one, so that code must be reached
// through the charge alone. The head of a loop is reached otherwise, and so is
// the end of a block to which code of an earlier charge jumps: a new charge
// stands there. One also stands where code parts, if what it pays for is too
// long to be paid for by all (see merged).
type planner struct {
	meter   *meter
	edits   []edit
	targets []jumpTarget
	labels  []uint32
	bytes   []byte

	current int  // the charge that pays for what is read
	pending int  // a void that would pay for it if it became a charge, or never
	must    bool // it does
	dead    bool // what is read is never reached
	nested  int  // blocks in dead code
	calls   int  // functions called
	since   int  // those since fuel was last looked at
	plain   bool // no jumps and calls were read yet
	loop    bool // the function begins with a loop, which looks
}

// plan reads a function's code and returns the edits, in the order of their
// places and valid until the next call.
func (p *planner) plan(code []byte, locals uint32) ([]edit, error) {
	*p = planner{meter: p.meter, edits: p.edits[:0], targets: append(p.targets[:0], jumpTarget{source: never}), labels: p.labels[:0], bytes: p.bytes[:0], pending: never, plain: true}
	p.edits = append(p.edits, edit{kind: charge, value: entryCost + locals/8})
	r := reader{code}
	for len(r.b) > 0 {
		if len(p.targets) == 0 {
			return nil, errForm // code after the end
		}
		at := len(code) - len(r.b)
		in, labels, err := r.next(p.labels[:0])
		if err != nil {
			return nil, err
		}
		p.labels = labels
		p.step(in, at, len(code)-len(r.b))
	}
	if len(p.targets) > 0 {
		return nil, errForm
	}
	p.look()
	return p.edits, nil
}

// step takes up one instruction, which lies from at to end.
func (p *planner) step(in instruction, at, end int) {
	p.spend(uint32(in.cost))
	switch in.op {
	case opCall, opRefFunc:
		p.function(in, at, end)
	case opMemoryGrow:
		p.bySize(chargeUp, at, 13) // 8 bytes a unit
	case opMisc:
		switch in.sub {
		case miscMemoryInit, miscMemoryCopy, miscMemoryFill:
			p.bySize(chargeDown, at, 3)
		case miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
			p.bySize(chargeDown, at, 0)
		}
	case opBlock, opLoop, opIf:
		p.enter(in.op, at, end)
	case opElse:
		p.otherwise(end)
	case opEnd:
		p.leave(at, end)
	case opBrIf:
		p.jump(in.index)
		p.relabel(in, at, end)
		p.part(end, false)
	case opBr, opBrTable:
		if in.op == opBr {
			p.jump(in.index)
		}
		for _, l := range p.labels {
			p.jump(l)
		}
		p.relabel(in, at, end)
		p.settle()
		p.dead = true
	case opReturn:
		p.settle()
		p.sync(store, at)
		p.dead = true
	case opUnreachable:
		p.settle()
		p.dead = true
	case opCallIndirect:
		p.spend(smallLeaf) // should it be one
		p.sync(store, at)
		p.called(end)
	}
}

// spend counts what the code read last takes.
func (p *planner) spend(cost uint32) {
	switch {
	case p.dead:
	case p.pending != never:
		p.edits[p.pending].value += cost
	default:
		p.edits[p.current].value += cost
	}
}

// function moves the index of a function, also in dead code, and pays for a
// call of it.
func (p *planner) function(in instruction, at, end int) {
	own := int(in.index) - int(p.meter.imported)
	if in.op != opCall {
		p.renumber(in, at, end)
		return
	}
	if own >= 0 && own < len(p.meter.leaves) && p.meter.leaves[own] > 0 {
		p.spend(p.meter.leaves[own])
		p.renumber(in, at, end)
		return
	}
	p.sync(store, at)
	p.renumber(in, at, end)
	if own < 0 {
		p.spend(hostCost)
		p.sync(load, end)
	} else {
		p.called(end)
	}
}

func (p *planner) renumber(in instruction, at, end int) {
	if in.index < p.meter.imported {
		return
	}
	from := len(p.bytes)
	p.bytes = binary.AppendUvarint(p.bytes, uint64(in.index)+1)
	p.replace(at+1, end, from)
}

// called reads the counter after a call, and now and then looks at it.
func (p *planner) called(at int) {
	if p.dead {
		return
	}
	p.sync(load, at)
	p.plain = false
	p.calls++
	if p.since++; p.since == callsUnchecked {
		p.since = 0
		p.edits = append(p.edits, edit{kind: checked, at: at})
	}
}

// sync has the counter written or read.
func (p *planner) sync(kind editKind, at int) {
	if !p.dead {
		p.edits = append(p.edits, edit{kind: kind, at: at})
	}
}

// replace plans to put what was appended to p.bytes in place of the code
// between two places.
func (p *planner) replace(at, end, from int) {
	p.edits = append(p.edits, edit{replace, at, end - at, uint32(from), len(p.bytes) - from})
}

// relabel renumbers the labels of an instruction: each loop in between has
// become two.
func (p *planner) relabel(in instruction, at, end int) {
	labels := p.labels
	if in.op != opBrTable {
		labels = append(labels[:0], in.index)
	}
	moved, leaves := false, false
	for i, l := range labels {
		if n := len(p.targets) - 1 - int(l) + p.nested; n >= 0 && int(l) >= p.nested {
			by := p.targets[len(p.targets)-1].loops - p.targets[n].loops
			moved, leaves = moved || by > 0, leaves || n == 0
			labels[i] += uint32(by)
		}
	}
	if leaves {
		p.sync(store, at)
	}
	if !moved {
		return
	}
	from := len(p.bytes)
	if in.op == opBrTable {
		p.bytes = binary.AppendUvarint(p.bytes, uint64(len(labels)-1))
	}
	for _, l := range labels {
		p.bytes = binary.AppendUvarint(p.bytes, uint64(l))
	}
	p.replace(at+1, end, from)
}

func (p *planner) bySize(kind editKind, at int, shift uint32) {
	if !p.dead {
		p.edits = append(p.edits, edit{kind: kind, at: at, value: shift})
	}
}

// part says that a charge may begin at a place, or that one must.
func (p *planner) part(at int, must bool) {
	if p.dead {
		return
	}
	p.settle()
	if p.pending == never { // else there is still nothing to pay for
		p.must = must
	}
	p.pending = len(p.edits)
	p.edits = append(p.edits, edit{at: at})
}

// settle decides what becomes of the pending charge. It stays pending only if
// it must be and there is nothing yet to pay for.
func (p *planner) settle() {
	if p.pending == never {
		return
	}
	now, next := &p.edits[p.current], &p.edits[p.pending]
	switch {
	case next.value == 0 && p.must:
		return
	case next.value == 0:
	case p.must || now.value+next.value > merged:
		next.kind, p.current = charge, p.pending
	default:
		now.value += next.value
	}
	p.pending = never
}

// here is the charge that pays for the code read last. If another must begin
// but has nothing to pay for yet, it still must where that code leads.
func (p *planner) here() int {
	p.settle()
	return p.current
}

// jump says that the code read last may go to the end of a target, or to the
// head of a loop, which has a charge of its own.
func (p *planner) jump(label uint32) {
	if p.dead {
		return
	}
	p.plain = false
	if n := len(p.targets) - 1 - int(label); n >= 0 {
		p.targets[n].source = min(p.targets[n].source, p.here())
	}
}

func (p *planner) enter(op byte, at, end int) {
	if p.dead {
		p.nested++
		return
	}
	t := jumpTarget{op: op, source: never, loops: p.targets[len(p.targets)-1].loops}
	switch op {
	case opIf:
		p.plain = false
		t.parted = p.here()
		p.part(end, false)
	case opLoop:
		p.settle()
		p.pending = never
		head := edit{kind: chargeLoop, at: end, width: end - at}
		p.loop = p.loop || p.plain && len(p.targets) == 1 && p.edits[0].value <= leafCost
		p.plain = false
		p.edits = append(p.edits, edit{kind: openLoop, at: at, width: end - at})
		p.current = len(p.edits)
		p.edits = append(p.edits, head)
		t.loops++
	}
	p.targets = append(p.targets, t)
}

// otherwise passes from the first arm of an if to the second.
func (p *planner) otherwise(at int) {
	if p.nested > 0 {
		return
	}
	t := &p.targets[len(p.targets)-1]
	if !p.dead {
		t.source = min(t.source, p.here())
	}
	t.op, p.dead = opElse, false
	p.part(at, p.current != t.parted)
}

// leave passes the end of a block.
func (p *planner) leave(at, end int) {
	if p.nested > 0 {
		p.nested--
		return
	}
	t := p.targets[len(p.targets)-1]
	p.targets = p.targets[:len(p.targets)-1]
	if t.op == opIf {
		t.source = min(t.source, t.parted)
	}
	switch {
	case len(p.targets) == 0:
		p.settle()
		p.sync(store, at)
	case t.op == opLoop:
		p.edits = append(p.edits, edit{kind: closeLoop, at: end})
		p.part(end, true)
	case t.source != never:
		here := p.current
		if !p.dead {
			here = p.here()
		}
		p.dead = false
		p.part(end, here != t.source)
	}
}

// look has charges look for what is left often enough. Where code jumps over
// one that looks, it also jumps over what that pays for.
func (p *planner) look() {
	since, sum := uint64(0), uint64(0)
	for i := range p.edits {
		e := &p.edits[i]
		switch e.kind {
		case charge:
			sum += uint64(e.value)
			if since += uint64(e.value); since > unchecked {
				e.kind, since = checked, 0
			}
		case checked, chargeUp, chargeDown, chargeLoop:
			since = 0
		}
	}
	if entry := &p.edits[0]; entry.kind == charge && !p.loop && (p.calls > 0 || sum > leafCost) {
		entry.kind = checked
	}
}
