package plugin

import "slices"

// A dispatcher is the loop by which a Go function gets from one of its basic
// blocks to another: it begins with a jump, by a local, to the end of one of
// the blocks that follow.
//
//	loop block … block local.get br_table end code end code … end
//
// Most jumps to it lead to code further down, each piece of which is come to
// but once that way. Only those that may lead back can go round for ever, so
// only they look for fuel. A zero dispatcher is of no use, see reset.
type dispatcher struct {
	loop int   // where it is in the code, or never
	back []int // where the jumps are that may lead back
	on   []int // where the others are
	to   []int // the block to whose end each of those leads, 0 the outermost

	blocks int      // how many it begins with
	local  uint32   // by which it jumps
	table  []uint32 // where to
	labels []uint32 // of the instruction read last
}

// reset finds the dispatcher of a function: its first loop, or none.
func (d *dispatcher) reset(code []byte) {
	d.loop, d.back, d.on, d.to, d.blocks = never, d.back[:0], d.on[:0], d.to[:0], 0
	r := reader{code}
	loop, ok := d.head(&r, len(code))
	if ok && d.jumps(&r, code) {
		d.loop = loop
	}
}

// head passes over the head of the function's first loop, which is in no
// other, and says whether it is one of a dispatcher.
func (d *dispatcher) head(r *reader, length int) (loop int, ok bool) {
	for len(r.b) > 0 {
		at := length - len(r.b)
		in, err := d.next(r)
		switch {
		case err != nil:
			return 0, false
		case in.op == opLoop:
			if length-len(r.b)-at != 2 || in.index != emptyBlock {
				return 0, false
			}
			for in, err = d.next(r); err == nil && in.op == opBlock && in.index == emptyBlock; in, err = d.next(r) {
				d.blocks++
			}
			if err != nil || in.op != opLocalGet {
				return 0, false
			}
			d.local = in.index
			in, err = d.next(r)
			d.table = append(d.table[:0], d.labels...)
			return at, err == nil && in.op == opBrTable && int(slices.Max(d.table)) < d.blocks
		}
	}
	return 0, false
}

// jumps passes over the rest of the loop and finds the jumps to its head. It
// returns false if one is of another kind than those of a Go function.
func (d *dispatcher) jumps(r *reader, code []byte) bool {
	nested, open := 0, d.blocks // blocks within the one that ends next, and that many of the first ones
	constant, target := -1, -1  // what the instruction before pushed, or put into the local
	for len(r.b) > 0 {
		at := len(code) - len(r.b)
		in, err := d.next(r)
		if err != nil {
			return false
		}
		pushed, put := -1, -1
		head := uint32(nested + open) // as a label
		switch in.op {
		case opI32Const:
			if code[len(code)-len(r.b)-1]&0x40 == 0 { // not negative
				pushed = int(in.index)
			}
		case opLocalSet:
			if in.index == d.local {
				put = constant
			}
		case opBlock, opLoop, opIf:
			nested++
		case opEnd:
			switch {
			case nested > 0:
				nested--
			case open > 0:
				open--
			default:
				return true
			}
		case opBr:
			if in.index != head {
				break
			}
			if to, ok := d.ahead(target, open); ok {
				d.on, d.to = append(d.on, at), append(d.to, to)
			} else {
				d.back = append(d.back, at)
			}
		case opBrIf, opBrTable:
			if in.op == opBrIf && in.index == head || in.op == opBrTable && slices.Contains(d.labels, head) {
				return false
			}
		}
		constant, target = pushed, put
	}
	return false
}

// ahead returns the block to whose end the dispatcher jumps by a value of its
// local (-1: unknown), and whether that is still open.
func (d *dispatcher) ahead(value, open int) (block int, ok bool) {
	if value < 0 {
		return 0, false
	}
	block = d.blocks - 1 - int(d.table[min(value, len(d.table)-1)])
	return block, block < open
}

// leads returns the block to whose end a jump leads that is not one back.
func (d *dispatcher) leads(at int) (block int, ok bool) {
	n, ok := slices.BinarySearch(d.on, at)
	if !ok {
		return 0, false
	}
	return d.to[n], true
}

func (d *dispatcher) next(r *reader) (in instruction, err error) {
	in, d.labels, err = r.next(d.labels[:0])
	return in, err
}
