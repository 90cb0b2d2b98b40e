package plugin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Bounds on a module, so that neither decoding nor compiling nor the tables of
// an instance take more of the host than its size suggests.
const (
	maxFunctions = 1 << 17
	maxBody      = 512 << 10 // bytes of one function
	maxLocals    = 50_000    // of one function
	maxTable     = 1 << 17   // entries of one table
	maxItemName  = 1024      // bytes of the name of an import or export
	maxFuncName  = 512       // bytes, as traces show it
)

const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
)

// maxItems bounds the items of each section that is a list.
var maxItems = [...]uint32{
	sectionType: 1 << 16, sectionImport: 256, sectionFunction: maxFunctions, sectionTable: 16, sectionMemory: 1,
	sectionGlobal: 1 << 16, sectionExport: 1 << 12, sectionElement: 1 << 16, sectionCode: maxFunctions, sectionData: 1 << 16,
}

var (
	preamble = []byte("\x00asm\x01\x00\x00\x00")

	errCutShort = errors.New("not a WebAssembly module: cut short")
)

// guard bounds a module and returns it with two changes that its code cannot
// tell: a maximum on every table, since tables are not part of the memory that
// the engine limits; and no custom sections but the functions' names. No index
// moves, so what was invalid stays invalid.
func guard(module []byte) ([]byte, error) {
	if !bytes.HasPrefix(module, preamble) {
		return nil, errors.New("not a WebAssembly module: wrong first bytes")
	}
	out := make([]byte, 0, len(module)+len(module)/16)
	out = append(out, preamble...)
	r := reader{module[len(preamble):]}
	var names []byte
	var scale scale
	for len(r.b) > 0 {
		id, err := r.byte()
		if err != nil {
			return nil, err
		}
		body, err := r.block()
		if err != nil {
			return nil, err
		}
		if id == sectionCustom {
			title := reader{body}
			if name, err := title.block(); err != nil || !utf8.Valid(name) {
				return nil, errors.New("not a WebAssembly module: a section without a name")
			}
			names = guardNames(body, names)
			continue
		}
		if body, err = guardSection(id, body); err != nil {
			return nil, err
		}
		switch id {
		case sectionType:
			err = scale.types(body)
		case sectionCode:
			err = scale.code(body)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(body)))
		out = append(out, body...)
	}
	return append(out, names...), nil
}

func guardSection(id byte, body []byte) ([]byte, error) {
	if int(id) >= len(maxItems) || maxItems[id] == 0 {
		return body, nil
	}
	r := reader{body}
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	if n > maxItems[id] || uint64(n) > uint64(len(body)) {
		return nil, fmt.Errorf("section %d has %d items, %d are allowed", id, n, min(uint64(maxItems[id]), uint64(len(body))))
	}
	if id != sectionTable {
		return body, walkSection(id, n, r)
	}
	out := binary.AppendUvarint(make([]byte, 0, len(body)+4*int(n)+8), uint64(n))
	for i := range n {
		if out, err = guardTable(out, &r); err != nil {
			return nil, fmt.Errorf("section %d, item %d: %w", id, i, err)
		}
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("section %d has %d bytes too many", id, len(r.b))
	}
	return out, nil
}

// guardTable copies a table type and gives it a maximum.
func guardTable(out []byte, r *reader) ([]byte, error) {
	kind, err := r.byte()
	if err != nil {
		return nil, err
	}
	flag, err := r.byte()
	if err != nil {
		return nil, err
	}
	if (kind != 0x70 && kind != 0x6f) || flag > 1 {
		return nil, fmt.Errorf("table of type %#x, limits %#x", kind, flag)
	}
	least, err := r.u32()
	if err != nil {
		return nil, err
	}
	most := uint32(maxTable)
	if flag == 1 {
		if most, err = r.u32(); err != nil {
			return nil, err
		}
	}
	if least > most || least > maxTable {
		return nil, fmt.Errorf("table of %d to %d entries, %d are allowed", least, most, maxTable)
	}
	out = binary.AppendUvarint(append(out, kind, 1), uint64(least))
	return binary.AppendUvarint(out, uint64(min(most, maxTable))), nil
}

// functionBody passes over a function within the bounds.
func (r *reader) functionBody() error {
	body, err := r.block()
	if err != nil {
		return err
	}
	if len(body) > maxBody {
		return fmt.Errorf("a function of %d bytes, %d are allowed", len(body), maxBody)
	}
	in := reader{body}
	if _, _, err := in.locals(); err != nil {
		return err
	}
	if code := in.b; len(code) == 0 || code[len(code)-1] != opEnd {
		return errors.New("a function without an end")
	}
	return nil
}

// guardNames returns a custom section that holds the functions' names alone,
// if that is what body has and nothing is odd about it; else what was found
// before. The engine shows the names in traces.
func guardNames(body, before []byte) []byte {
	r := reader{body}
	if title, err := r.block(); err != nil || string(title) != "name" || before != nil {
		return before
	}
	for len(r.b) > 0 {
		id, err := r.byte()
		if err != nil {
			return nil
		}
		part, err := r.block()
		if err != nil {
			return nil
		}
		if id != 1 || !soundNames(part) {
			continue
		}
		section := binary.AppendUvarint([]byte("\x04name\x01"), uint64(len(part)))
		section = append(section, part...)
		return append(binary.AppendUvarint([]byte{sectionCustom}, uint64(len(section))), section...)
	}
	return nil
}

// soundNames says whether b is a map from function indices to short names.
func soundNames(b []byte) bool {
	r := reader{b}
	n, err := r.u32()
	if err != nil || n > maxFunctions {
		return false
	}
	for range n {
		if _, err := r.u32(); err != nil {
			return false
		}
		if name, err := r.block(); err != nil || len(name) > maxFuncName || !utf8.Valid(name) {
			return false
		}
	}
	return len(r.b) == 0
}

// reader reads the primitives of the WebAssembly binary format.
type reader struct{ b []byte }

func (r *reader) byte() (byte, error) {
	if len(r.b) == 0 {
		return 0, errCutShort
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c, nil
}

// u32 reads an unsigned LEB128 number of at most 32 bits and five bytes.
func (r *reader) u32() (uint32, error) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c, err := r.byte()
		if err != nil {
			return 0, err
		}
		if shift == 28 && c > 0x0f {
			break
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v, nil
		}
	}
	return 0, errors.New("not a WebAssembly module: a number of more than 32 bits")
}

// block reads a length and that many bytes.
func (r *reader) block() ([]byte, error) {
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	if uint64(n) > uint64(len(r.b)) {
		return nil, errCutShort
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b, nil
}

// locals passes over a function's declaration of locals, and returns how many
// there are and in how many groups they are declared.
func (r *reader) locals() (sum, groups uint32, err error) {
	if groups, err = r.u32(); err != nil {
		return 0, 0, err
	}
	all := uint64(0)
	for range groups {
		n, err := r.u32()
		if err != nil {
			return 0, 0, err
		}
		kind, err := r.byte()
		if err != nil {
			return 0, 0, err
		}
		if kind < 0x6f || kind > 0x7f { // the number, vector and plain reference types
			return 0, 0, fmt.Errorf("a local of type %#x", kind)
		}
		if all += uint64(n); all > maxLocals {
			return 0, 0, fmt.Errorf("more than %d locals", maxLocals)
		}
	}
	return uint32(all), groups, nil
}
