package plugin

import "math"

const (
	// unchecked is how many units a guest may take before a charge looks
	// whether any are left.
	unchecked = 1 << 14
	// afterwards is how many it may take once a function has returned that
	// looked when it was entered: each of those that a recursion comes back
	// through may take them.
	afterwards = 256
)

// A callKind says whether a function looked that was called and has returned.
type callKind uint8

const (
	shallow   callKind = iota // it does not look, nor does any that it calls
	looked                    // it looked when it was entered
	mayReturn                 // it, or one that it called, may have
)

// A scope is a block whose end look has not reached yet.
type scope struct {
	op   byte
	join int // the least room with which code jumps to its end
	cond int // the room before an if
}

// look has charges look for what is left often enough: on each way through the
// function, from one that looks to the next, no more than unchecked units are
// taken, and no more than afterwards since a call that looked; besides what the
// last short function took, for it is looked after that and not before.
func (p *planner) look() {
	if entry := &p.edits[0]; !p.loop && !p.brief {
		entry.kind = checked
	}
	const unreached = math.MaxInt
	room := unchecked // units that may be taken before one must look
	p.scopes = append(p.scopes, scope{join: unreached})
	for i := range p.edits {
		e := &p.edits[i]
		top := &p.scopes[len(p.scopes)-1]
		switch e.kind {
		case charge:
			if room -= int(e.value); room < 0 {
				e.kind, room = checked, unchecked
			}
		case checked, chargeUp, chargeDown, openLoop, chargeLoop:
			room = unchecked
		case returned:
			room -= int(e.value)
			switch e.how {
			case looked:
				room = afterwards
			case mayReturn:
				room = min(room, afterwards)
			}
			if e.kind, e.value = void, 0; room < 0 {
				e.kind, room = checked, unchecked
			}
		case opened:
			p.scopes = append(p.scopes, scope{op: byte(e.value), join: unreached, cond: room})
			e.kind = void
		case turned:
			top.op, top.join, room = opElse, min(top.join, room), top.cond
			e.kind = void
		case closed:
			if top.op == opIf {
				room = min(room, top.cond)
			}
			room = min(room, top.join)
			p.scopes = p.scopes[:len(p.scopes)-1]
			e.kind = void
		case jumped:
			to := &p.scopes[e.value]
			to.join = min(to.join, room)
			e.kind = void
		case jumpedAhead:
			to := &p.scopes[e.value]
			to.join = min(to.join, room-int(p.edits[p.head].value))
			e.kind = void
		case stopped:
			room = unreached
			e.kind = void
		}
	}
}
