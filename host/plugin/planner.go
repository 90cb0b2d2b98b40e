package plugin

import "math"

const never = math.MaxInt // after every charge

// A jumpTarget is a block, loop, if or function whose end was not read yet.
type jumpTarget struct {
	op      byte // 0 for the function
	doubled bool // a loop that becomes two
	source  int  // the first charge whose code jumps to its end, or never
	parted  int  // the charge that paid for the if
	loops   int  // how many such loops it is in, itself included
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
	jumps   dispatcher
	edits   []edit
	targets []jumpTarget
	labels  []uint32
	bytes   []byte

	current int  // the charge that pays for what is read
	pending int  // a void that would pay for it if it became a charge, or never
	must    bool // it does
	dead    bool // what is read is never reached
	nested  int  // blocks in dead code
	head    int  // the charge at the head of the dispatcher
	plain   bool // no jumps and calls were read yet
	loop    bool // the function begins with a loop, which looks
	brief   bool // it need not look when it is entered
	scopes  []scope
}

// plan reads a function's code and returns the edits, in the order of their
// places and valid until the next call.
func (p *planner) plan(code []byte, locals uint32, brief bool) ([]edit, error) {
	*p = planner{meter: p.meter, jumps: p.jumps, edits: p.edits[:0], targets: append(p.targets[:0], jumpTarget{source: never}), labels: p.labels[:0], bytes: p.bytes[:0], scopes: p.scopes[:0], pending: never, plain: true, brief: brief}
	p.jumps.reset(code)
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
			p.dispatch(in, at)
		}
		for _, l := range p.labels {
			p.jump(l)
		}
		p.relabel(in, at, end)
		p.stop()
	case opReturn:
		p.settle()
		p.sync(store, at)
		p.stop()
	case opUnreachable:
		p.stop()
	case opCallIndirect:
		p.spend(smallLeaf) // should it be one
		p.sync(store, at)
		p.called(end, brief, mayReturn)
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
		if p.targets[n].op != opLoop {
			p.edits = append(p.edits, edit{kind: jumped, value: uint32(n)})
		}
	}
}

// stop says that what follows is not reached.
func (p *planner) stop() {
	if p.dead {
		return
	}
	p.settle()
	p.edits = append(p.edits, edit{kind: stopped})
	p.dead = true
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
		p.edits = append(p.edits, edit{kind: opened, value: uint32(op)})
		p.part(end, false)
	case opBlock:
		p.edits = append(p.edits, edit{kind: opened, value: uint32(op)})
	case opLoop:
		p.settle()
		p.pending = never
		p.edits = append(p.edits, edit{kind: opened, value: uint32(op)})
		head := edit{kind: chargeLoop, at: end, width: end - at, value: loopCost}
		if at == p.jumps.loop {
			head.kind = charge
		}
		if at != p.jumps.loop || len(p.jumps.back) > 0 {
			p.loop = p.loop || p.plain && len(p.targets) == 1 && p.edits[0].value <= leafCost
			p.edits = append(p.edits, edit{kind: openLoop, at: at, width: end - at})
			t.loops++
			t.doubled = true
		}
		p.plain = false
		p.current = len(p.edits)
		if at == p.jumps.loop {
			p.head = p.current
		}
		p.edits = append(p.edits, head)
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
	p.edits = append(p.edits, edit{kind: turned})
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
	if len(p.targets) > 0 {
		p.edits = append(p.edits, edit{kind: closed})
	}
	switch {
	case len(p.targets) == 0:
		p.settle()
		p.sync(store, at)
	case t.op == opLoop:
		if t.doubled {
			p.edits = append(p.edits, edit{kind: closeLoop, at: end})
		}
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
