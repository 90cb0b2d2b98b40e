package plugin

import "slices"

// An immediate is a kind of operand that follows an opcode in the code.
type immediate uint8

const (
	unknown    immediate = iota // no opcode of WebAssembly 2.0
	bare                        // nothing
	oneLEB                      // one number
	twoLEB                      // two numbers
	twoBytes                    // two bytes
	fourBytes                   //
	eightBytes                  //
	labels                      // a list of numbers, and one more
	valueTypes                  // a list of bytes
	prefixed                    // another opcode
	oneLane                     // a byte
	laneAt                      // two numbers and a byte
	wholeV128                   // sixteen bytes
)

// The opcodes that the meter has to know one by one.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opI64LtS       = 0x53
	opI64GeS       = 0x59
	opI64Sub       = 0x7d
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd
)

// Opcodes after opMisc.
const (
	miscMemoryInit = 0x08
	miscMemoryCopy = 0x0a
	miscMemoryFill = 0x0b
	miscTableInit  = 0x0c
	miscTableCopy  = 0x0e
	miscTableGrow  = 0x0f
	miscTableFill  = 0x11
)

// operation is what the meter knows of an opcode: what follows it, and how
// many units of fuel it takes.
type operation struct {
	follows immediate
	cost    uint8
}

var (
	operations       = numericOperations(controlOperations())
	miscOperations   = bulkOperations()
	vectorOperations = simdOperations()
)

// span describes the opcodes from first to last.
func span(t *[256]operation, first, last byte, follows immediate, cost uint8) {
	for op := int(first); op <= int(last); op++ {
		t[op] = operation{follows, cost}
	}
}

// controlOperations are those that are no arithmetic. What compiles to nothing
// is free, so that it neither buys nor costs time.
func controlOperations() (t [256]operation) {
	span(&t, opUnreachable, opUnreachable, bare, 1)
	span(&t, opNop, opNop, bare, 0)
	span(&t, opBlock, opLoop, oneLEB, 0)
	span(&t, opIf, opIf, oneLEB, 1)
	span(&t, opElse, opElse, bare, 0)
	span(&t, opEnd, opEnd, bare, 0)
	span(&t, opBr, opBrIf, oneLEB, 1)
	span(&t, opBrTable, opBrTable, labels, 4)
	span(&t, opReturn, opReturn, bare, 1)
	span(&t, opCall, opCall, oneLEB, 2)
	span(&t, 0x11, 0x11, twoLEB, 8)     // call_indirect
	span(&t, 0x1a, 0x1a, bare, 0)       // drop
	span(&t, 0x1b, 0x1b, bare, 1)       // select
	span(&t, 0x1c, 0x1c, valueTypes, 1) // select of a type
	span(&t, opLocalGet, opGlobalSet, oneLEB, 1)
	span(&t, 0x25, 0x26, oneLEB, 4) // table.get, table.set
	span(&t, 0x28, 0x3e, twoLEB, 1) // loads and stores
	span(&t, 0x3f, 0x3f, oneLEB, 2) // memory.size
	span(&t, opMemoryGrow, opMemoryGrow, oneLEB, 255)
	span(&t, 0xd0, 0xd0, oneLEB, 1) // ref.null
	span(&t, 0xd1, 0xd1, bare, 1)   // ref.is_null
	span(&t, opRefFunc, opRefFunc, oneLEB, 8)
	span(&t, opMisc, opVector, prefixed, 0)
	return t
}

func numericOperations(t [256]operation) [256]operation {
	span(&t, opI32Const, opI64Const, oneLEB, 1)
	span(&t, 0x43, 0x43, fourBytes, 1)
	span(&t, 0x44, 0x44, eightBytes, 1)
	span(&t, 0x45, 0xc4, bare, 1)
	span(&t, 0x6d, 0x70, bare, 12) // division and remainder of i32
	span(&t, 0x7f, 0x82, bare, 20) // and of i64
	for _, op := range []byte{0x91, 0x95, 0x9f, 0xa3} {
		span(&t, op, op, bare, 8) // square root and division of floats
	}
	return t
}

func bulkOperations() (t [256]operation) {
	span(&t, 0x00, 0x07, bare, 2) // saturating conversions
	span(&t, miscMemoryInit, miscMemoryInit, twoLEB, 16)
	span(&t, 0x09, 0x09, oneLEB, 4) // data.drop
	span(&t, miscMemoryCopy, miscMemoryCopy, twoLEB, 16)
	span(&t, miscMemoryFill, miscMemoryFill, oneLEB, 16)
	span(&t, miscTableInit, miscTableInit, twoLEB, 16)
	span(&t, 0x0d, 0x0d, oneLEB, 4) // elem.drop
	span(&t, miscTableCopy, miscTableCopy, twoLEB, 16)
	span(&t, miscTableGrow, miscTableGrow, oneLEB, 255)
	span(&t, 0x10, 0x10, oneLEB, 2) // table.size
	span(&t, miscTableFill, miscTableFill, oneLEB, 16)
	return t
}

// noVector are the opcodes below 0x100 that stand for no vector instruction.
var noVector = []byte{
	0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb,
	0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee,
}

func simdOperations() (t [256]operation) {
	span(&t, 0x00, 0x0b, twoLEB, 1) // loads, v128.store
	span(&t, 0x0c, 0x0c, wholeV128, 1)
	span(&t, 0x0d, 0x0d, wholeV128, 4) // i8x16.shuffle
	span(&t, 0x0e, 0x14, bare, 2)
	span(&t, 0x15, 0x22, oneLane, 2)
	span(&t, 0x23, 0x53, bare, 2)
	span(&t, 0x54, 0x5b, laneAt, 2)
	span(&t, 0x5c, 0x5d, twoLEB, 2)
	span(&t, 0x5e, 0xff, bare, 4)
	for op := range t {
		if slices.Contains(noVector, byte(op)) {
			t[op] = operation{}
		}
	}
	for _, op := range []byte{0xe3, 0xe7, 0xef, 0xf3} {
		span(&t, op, op, bare, 16) // square root and division
	}
	return t
}

// instruction is one of a function's, as the meter needs it.
type instruction struct {
	op    byte // the first byte
	sub   byte // the second opcode, after a prefix
	cost  uint8
	index uint32 // the first number that follows, if it is one
}

// next reads an instruction, whose numbers a validator has found sound. The
// labels of a br_table are appended to those it returns.
func (r *reader) next(targets []uint32) (in instruction, _ []uint32, err error) {
	if in.op, err = r.byte(); err != nil {
		return in, targets, err
	}
	known := operations[in.op]
	if known.follows == prefixed {
		if known, err = r.prefixed(&in); err != nil {
			return in, targets, err
		}
	}
	in.cost = known.cost
	switch known.follows {
	case bare:
	case oneLEB:
		in.index, err = r.number()
	case twoLEB:
		in.index, err = r.number()
		if err == nil {
			_, err = r.number()
		}
	case fourBytes:
		err = r.skip(4)
	case eightBytes:
		err = r.skip(8)
	case labels:
		targets, err = r.labels(targets)
	case valueTypes:
		err = r.skipBlock()
	case oneLane:
		err = r.skip(1)
	case laneAt:
		err = all(r.skipLEB, r.skipLEB, r.skipByte)
	case wholeV128:
		err = r.skip(16)
	default:
		err = errForm
	}
	return in, targets, err
}

// prefixed reads the second opcode. That of a vector instruction is taken only
// in the form in which the engine reads it: it looks at the first byte alone,
// and takes a second one, 0x01, for a nop.
func (r *reader) prefixed(in *instruction) (known operation, err error) {
	if in.op == opMisc {
		sub, err := r.u32()
		if err != nil || sub > 0xff {
			return known, errForm
		}
		in.sub = byte(sub)
		return miscOperations[in.sub], nil
	}
	if in.sub, err = r.byte(); err != nil {
		return known, err
	}
	if in.sub >= 0x80 {
		if c, err := r.byte(); err != nil || c != 0x01 {
			return operation{}, errForm
		}
	}
	return vectorOperations[in.sub], nil
}

// number reads the low 32 bits of a number of at most ten bytes.
func (r *reader) number() (uint32, error) {
	var v uint64
	for n, c := range r.b {
		if n == 10 {
			break
		}
		v |= uint64(c&0x7f) << min(7*n, 63)
		if c < 0x80 {
			r.b = r.b[n+1:]
			return uint32(v), nil
		}
	}
	return 0, errForm
}

func (r *reader) labels(targets []uint32) ([]uint32, error) {
	n, err := r.u32()
	if err != nil {
		return targets, err
	}
	if uint64(n) >= uint64(len(r.b)) {
		return targets, errCutShort
	}
	for range n + 1 {
		l, err := r.number()
		if err != nil {
			return targets, err
		}
		targets = append(targets, l)
	}
	return targets, nil
}
