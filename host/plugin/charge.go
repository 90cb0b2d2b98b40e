package plugin

import (
	"encoding/binary"
	"slices"
)

const (
	// merged is up to how many units a charge may pay for code that is then
	// jumped over: fewer charges for code that branches a lot.
	merged = 16
	// entryCost is charged for entering a function, besides its locals.
	entryCost = 4
	// loopCost is charged for each turn of a loop, besides its code: a loop
	// of next to nothing would else take longer than its fuel says.
	loopCost = 4
	// hostCost is charged for calling a function of the host.
	hostCost = 250
	// leafCost is how many units a function may take before a loop that it
	// begins with, so that the loop alone looks.
	leafCost = 256
	// A function that takes no more than this and calls none does not count,
	// its callers do.
	smallLeaf = 24
)

// An edit is a change to a function's code. A charge is planned before it is
// known whether it is needed; one that is not stays a void.
type edit struct {
	kind  editKind
	how   callKind // of returned
	at    int      // the place in the code
	width int      // how many bytes of it are replaced, or of a loop's head
	value uint32   // units charged; by how much a size is shifted; where in planner.bytes the new bytes begin
	size  int      // how many those are
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
	goBack              // looks whether fuel is left before a jump to the inner one, and jumps to the outer one if not
	store               // writes the counter
	load                // reads the counter
	replace             // puts other bytes

	// What follows is for look alone, which leaves none of them.
	opened      // a block of the kind that value says
	turned      // the second arm of an if begins
	closed      // a block ends
	jumped      // a jump to the end of the block that value says, 0 the function
	jumpedAhead // one through the dispatcher
	stopped     // what follows is not reached
	returned    // a function was called, which took value at most; how says whether it looked
)

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
	switch {
	case own < 0:
		p.spend(hostCost)
		p.sync(load, end)
	case own >= len(p.meter.graph.state): // there is no such function
	case p.meter.graph.state[own] != unlooking:
		p.called(end, 0, looked)
	case p.meter.graph.deep[own]:
		p.called(end, p.meter.graph.cost[own], mayReturn)
	default:
		p.called(end, p.meter.graph.cost[own], shallow)
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

// called reads the counter after a call, and may look at it.
func (p *planner) called(at int, cost uint32, how callKind) {
	if p.dead {
		return
	}
	p.plain = false
	p.sync(load, at)
	p.edits = append(p.edits, edit{kind: returned, how: how, at: at, value: cost})
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
	p.edits = append(p.edits, edit{kind: replace, at: at, width: end - at, value: uint32(from), size: len(p.bytes) - from})
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

// dispatch plans for a jump to the head of the dispatcher: one that may go
// round for ever looks for fuel, any other is one to where it leads.
func (p *planner) dispatch(in instruction, at int) {
	here := len(p.targets) - 1
	n := here - int(in.index)
	if p.dead || n < 0 {
		return
	}
	if _, found := slices.BinarySearch(p.jumps.back, at); found {
		p.edits = append(p.edits, edit{kind: goBack, at: at, value: in.index + uint32(p.targets[here].loops-p.targets[n].loops) + 1})
	} else if to, found := p.jumps.leads(at); found {
		p.edits = append(p.edits, edit{kind: jumpedAhead, value: uint32(n + 1 + to)})
	}
}

func (p *planner) bySize(kind editKind, at int, shift uint32) {
	if !p.dead {
		p.edits = append(p.edits, edit{kind: kind, at: at, value: shift})
	}
}
