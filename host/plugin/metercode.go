package plugin

import (
	"encoding/binary"
	"slices"
)

// emptyBlock is the type of a block that takes and leaves nothing.
const emptyBlock = 0x40

// codeItem copies a function, with charges.
func (m *meter) codeItem(out []byte, r *reader) ([]byte, error) {
	body, err := r.block()
	if err != nil || int(m.code) >= len(m.typeOf) {
		return nil, errForm
	}
	in := reader{body}
	sum, groups, err := in.locals()
	if err != nil {
		return nil, err
	}
	params := m.params[m.typeOf[m.code]]
	m.code++
	edits, err := m.planner.plan(in.b, sum, m.graph.state[m.code-1] == unlooking)
	if err != nil {
		return nil, err
	}
	if m.leaves[m.code-1] > 0 {
		edits = slices.DeleteFunc(edits, func(e edit) bool { return e.kind != replace })
	}
	// The length is known only once the body is written: it is written at the
	// end of a gap that holds the longest, then moved.
	start := len(out)
	out = m.locals(append(out, make([]byte, binary.MaxVarintLen32)...), groups, body[:len(body)-len(in.b)], edits)
	out = m.edited(out, in.b, edits, params+sum)
	written := out[start+binary.MaxVarintLen32:]
	size := binary.AppendUvarint(out[:start], uint64(len(written)))
	return append(size, written...), nil
}

// survey looks at all functions before the first is written: which their
// callers pay for, and which need not look for fuel when they are entered.
func (m *meter) survey(section []byte) error {
	r := reader{section}
	n, err := r.u32()
	if err != nil || int64(n) > int64(len(m.typeOf)) {
		return errForm
	}
	var calls []uint32
	for f := range n {
		body, err := r.block()
		if err != nil {
			return err
		}
		leaf := uint32(0)
		if !m.exported[m.imported+f] { // nobody pays for the host's calls
			leaf = leafOf(body)
		}
		m.leaves = append(m.leaves, leaf)
		var cost uint32
		var any bool
		cost, calls, any = m.surveyed(body, calls[:0])
		m.graph.add(cost, calls, any)
	}
	m.graph.decide()
	return nil
}

// surveyed returns what a function costs, if it goes everywhere once, and what
// it calls; any: it is too long to be looked at, or may call any function.
func (m *meter) surveyed(body []byte, calls []uint32) (cost uint32, _ []uint32, any bool) {
	r := reader{body}
	locals, _, err := r.locals()
	for cost = entryCost + locals/8; len(r.b) > 0 && cost <= brief; {
		var in instruction
		if err == nil {
			in, _, err = r.next(nil)
		}
		if err != nil {
			return 0, nil, true
		}
		cost += uint32(in.cost)
		switch in.op {
		case opLoop:
			cost += loopCost
		case opCall:
			if own := int64(in.index) - int64(m.imported); own >= int64(len(m.typeOf)) {
				return 0, nil, true
			} else if own >= 0 {
				calls = append(calls, uint32(own))
			} else {
				cost += hostCost
			}
		case opCallIndirect:
			return 0, nil, true
		}
	}
	return cost, calls, false
}

// leafOf returns what a function costs that calls none, has no loop and takes
// at most smallLeaf units whichever way it goes; of any other it returns 0.
func leafOf(body []byte) uint32 {
	r := reader{body}
	locals, _, err := r.locals()
	cost := entryCost + locals/8
	for len(r.b) > 0 && err == nil && cost <= smallLeaf {
		var in instruction
		in, _, err = r.next(nil)
		switch in.op {
		case opLoop, opCall, opCallIndirect, opMisc:
			return 0
		}
		cost += uint32(in.cost)
	}
	if err != nil || cost > smallLeaf {
		return 0
	}
	return cost
}

// locals copies the declaration of locals and adds two: an i64, in which the
// function has the counter, and an i32 for a size that is charged.
func (m *meter) locals(out []byte, groups uint32, declared []byte, edits []edit) []byte {
	r := reader{declared}
	_, _ = r.u32()
	more := []byte{1, byte(i64)}
	if slices.ContainsFunc(edits, func(e edit) bool { return e.kind == chargeUp || e.kind == chargeDown }) {
		more = append(more, 1, byte(i32))
	}
	out = binary.AppendUvarint(out, uint64(groups)+uint64(len(more)/2))
	return append(append(out, r.b...), more...)
}

// edited copies code with its edits.
func (m *meter) edited(out, code []byte, edits []edit, local uint32) []byte {
	w := codeWriter{meter: m, out: out, local: local, direct: direct(edits)}
	w.load()
	done := 0
	for _, e := range edits {
		if e.kind == void {
			continue
		}
		w.out = append(w.out, code[done:e.at]...)
		done = e.at
		switch e.kind {
		case replace:
			w.out = append(w.out, m.planner.bytes[e.value:int(e.value)+e.size]...)
			done += e.width
		case openLoop:
			w.out = append(w.out, code[e.at:e.at+e.width]...)
			w.check()
		case chargeLoop:
			w.take(e.value)
			if c := code[e.at-1]; e.width == 2 && c >= 0x40 {
				w.enough()
				w.out = append(w.out, opIf, emptyBlock, opElse, opBr, 2, opEnd)
			} else { // the loop may have parameters, which an if would hide
				w.lacking()
				w.out = append(w.out, opBrIf, 1)
			}
		case goBack:
			w.enough()
			w.out = binary.AppendUvarint(append(w.out, opIf, emptyBlock, opElse, opBr), uint64(e.value)+1)
			w.out = append(w.out, opEnd)
		case closeLoop:
			w.out = append(w.out, opEnd)
		case charge:
			w.take(e.value)
		case checked:
			w.take(e.value)
			w.check()
		case chargeUp:
			w.takeSize(opI64Shl, e.value)
		case chargeDown:
			w.takeSize(opI64ShrU, e.value)
		case store:
			w.store()
		case load:
			w.load()
		}
	}
	return append(w.out, code[done:]...)
}

// codeWriter appends what the meter adds to a function's code.
type codeWriter struct {
	meter  *meter
	out    []byte
	local  uint32 // where the function has the counter; the next one holds a size
	direct bool   // it has not, but changes the global
}

// direct says whether a function changes the counter where it is. One without
// loops that calls about as often as it is charged would else do little but
// copy it back and forth; in a loop the copy is what makes counting cheap.
func direct(edits []edit) bool {
	charges, calls := 0, 0
	for _, e := range edits {
		switch e.kind {
		case openLoop:
			return false
		case charge, checked, chargeUp, chargeDown:
			charges++
		case load:
			calls++
		}
	}
	return charges <= calls+1
}

// counter appends an instruction on the counter.
func (w *codeWriter) counter(op byte) {
	w.out = binary.AppendUvarint(append(w.out, op), uint64(w.meter.globals))
}

// get appends what pushes the fuel that is left.
func (w *codeWriter) get() {
	if w.direct {
		w.counter(opGlobalGet)
	} else {
		w.out = binary.AppendUvarint(append(w.out, opLocalGet), uint64(w.local))
	}
}

// set appends what pops it.
func (w *codeWriter) set() {
	if w.direct {
		w.counter(opGlobalSet)
	} else {
		w.out = binary.AppendUvarint(append(w.out, opLocalSet), uint64(w.local))
	}
}

func (w *codeWriter) load() {
	if !w.direct {
		w.counter(opGlobalGet)
		w.set()
	}
}

func (w *codeWriter) store() {
	if !w.direct {
		w.get()
		w.counter(opGlobalSet)
	}
}

// take appends a charge.
func (w *codeWriter) take(units uint32) {
	if units > 0 {
		w.get()
		w.const64(units)
		w.out = append(w.out, opI64Sub)
		w.set()
	}
}

// enough appends the question whether there is fuel left. What follows it is
// an if that does nothing, with an else that is cold: the compiler takes the
// registers that come out of the first arm for those that come out of both,
// and puts the second where it is in nobody's way.
func (w *codeWriter) enough() {
	w.get()
	w.const64(0)
	w.out = append(w.out, opI64GeS)
}

// lacking appends the opposite question.
func (w *codeWriter) lacking() {
	w.get()
	w.const64(0)
	w.out = append(w.out, opI64LtS)
}

// check appends the question whether fuel is lacking, and for more.
func (w *codeWriter) check() {
	w.enough()
	w.out = append(w.out, opIf, emptyBlock, opElse)
	w.get()
	w.out = binary.AppendUvarint(append(w.out, opCall), uint64(w.meter.imported))
	w.set()
	w.out = append(w.out, opEnd)
}

// takeSize appends a charge by the i32 on the stack, which it leaves there.
func (w *codeWriter) takeSize(op byte, shift uint32) {
	size := uint64(w.local) + 1
	w.out = binary.AppendUvarint(append(w.out, opLocalSet), size)
	w.get()
	w.out = binary.AppendUvarint(append(w.out, opLocalGet), size)
	w.out = append(w.out, opI64ExtendU)
	w.const64(shift)
	w.out = append(w.out, op, opI64Sub)
	w.set()
	w.check()
	w.out = binary.AppendUvarint(append(w.out, opLocalGet), size)
}

// const64 appends an i64.const.
func (w *codeWriter) const64(v uint32) {
	for w.out = append(w.out, opI64Const); v >= 0x40; v >>= 7 {
		w.out = append(w.out, byte(v)|0x80)
	}
	w.out = append(w.out, byte(v))
}
