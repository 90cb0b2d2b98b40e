package plugin

import "fmt"

// What compiling takes grows faster than the code that is compiled: with the
// square of a function's branches, with the product of its branches and the
// values that are kept across them, with the depth of its loops. A few
// kilobytes can ask for hours and gigabytes, and a compiler that has begun
// cannot be stopped. So a module is weighed before it is validated, by a rough
// account of that work: RATIONALE.md has what real modules weigh, and what the
// worst that pass cost.
const (
	maxArity  = 1000    // parameters or results of one type
	maxSize   = 1 << 19 // instructions of one function, and values that they move
	maxWork   = 1 << 26 // units of one function, a few nanoseconds each
	maxAll    = 1 << 30 // units of a module
	valueWork = 100     // of a value that is kept across a branch
	sizeWork  = 50      // of an instruction
)

// scale weighs the functions of one module.
type scale struct {
	arity   uint64 // most parameters and results of a type
	results uint64 // most results of a type
	sum     uint64
}

// types notes how wide the types are, of a section that was walked.
func (s *scale) types(section []byte) error {
	r := reader{section}
	n, err := r.u32()
	for range n {
		var params, results []byte
		err = all(func() error { return err }, r.skipByte,
			func() (err error) { params, err = r.block(); return },
			func() (err error) { results, err = r.block(); return })
		if err != nil {
			return err
		}
		if most := max(len(params), len(results)); most > maxArity {
			return fmt.Errorf("a type of %d values, %d are allowed", most, maxArity)
		}
		s.arity = max(s.arity, uint64(len(params)+len(results)))
		s.results = max(s.results, uint64(len(results)))
	}
	return err
}

// code weighs all functions, of a section that was walked.
func (s *scale) code(section []byte) error {
	r := reader{section}
	n, err := r.u32()
	for f := range n {
		var body []byte
		if body, err = r.block(); err != nil {
			return err
		}
		l := burden{scale: s}
		if err := l.function(body); err != nil {
			return fmt.Errorf("section %d, item %d: %w", sectionCode, f, err)
		}
		if s.sum += l.work(); s.sum > maxAll {
			return fmt.Errorf("compiling takes too much: functions 0 to %d weigh %d units, %d are allowed", f, s.sum, maxAll)
		}
	}
	return err
}

// A burden is what weighs in one function.
type burden struct {
	scale    *scale
	size     uint64
	branches uint64 // places where code parts or meets
	values   uint64 // most that are kept across such a place
	heads    uint64 // those of them that are loops, the deep ones counted more
	loops    uint64 // around what is read
	blocks   []bool // around what is read, whether each is a loop
}

func (l *burden) work() uint64 {
	return l.branches*(l.branches+valueWork*l.values+l.values*l.values/16) + l.heads*l.values*l.values/4 + sizeWork*l.size
}

func (l *burden) function(body []byte) error {
	r := reader{body}
	locals, _, err := r.locals()
	if err != nil {
		return err
	}
	l.values = uint64(locals) + l.scale.results
	var labels []uint32
	for len(r.b) > 0 {
		typed := r.typedBlock()
		var in instruction
		if in, labels, err = r.next(labels[:0]); err != nil {
			return err
		}
		if l.step(in, uint64(len(labels)), typed); l.size > maxSize || l.branches > maxSize || l.work() > maxWork {
			return fmt.Errorf("compiling takes too much: the function has %d instructions, %d branches and %d values", l.size, l.branches, l.values)
		}
	}
	return nil
}

// typedBlock says whether the next instruction is a block with a type of its
// own, which may have parameters and several results.
func (r *reader) typedBlock() bool {
	return len(r.b) > 1 && r.b[0] >= opBlock && r.b[0] <= opIf && (r.b[1] < emptyBlock || r.b[1] >= 0x80)
}

func (l *burden) step(in instruction, labels uint64, typed bool) {
	l.size++
	if typed {
		l.size += l.scale.arity
		l.values = max(l.values, uint64(l.scale.arity))
	}
	switch in.op {
	case opBlock, opIf, opElse:
		l.branches++
	case opLoop: // two, once it is metered
		l.loops++
		l.heads += 1 + 2*l.loops
		l.branches += 1 + 2*l.loops
	case opBr, opBrIf:
		l.branches++
		l.size += l.scale.results
	case opBrTable:
		l.branches += labels / 4 // they lead to blocks that count by themselves
		l.size += labels * (1 + l.scale.results)
	case opCall:
		l.size += l.scale.arity
	case opCallIndirect:
		l.size += 16 + l.scale.arity
	case opMemoryGrow:
		l.branches += 2
	case opMisc:
		if in.sub >= miscMemoryInit {
			l.branches += 4
		}
	}
	switch in.op {
	case opBlock, opIf, opLoop:
		l.blocks = append(l.blocks, in.op == opLoop)
	case opEnd:
		if n := len(l.blocks); n > 0 {
			if l.blocks[n-1] {
				l.loops--
			}
			l.blocks = l.blocks[:n-1]
		}
	}
}
