package plugin

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/tetratelabs/wazero/api"
)

// exposed returns a metered module that exports its mutable globals as well,
// as globalExport and a number from 0 on, so that the host can put them back;
// how many there are; and what in the module it could not put back, or "".
//
// What a guest can change is its memory, its globals, its tables and which of
// its segments are dropped. The engine hands out no table and no segment, so a
// module that has an instruction to change one cannot be put back; nor can
// one with a mutable global of another type than a number.
func exposed(module []byte) (out []byte, count int, fixed string, err error) {
	s := survey{}
	out = append(make([]byte, 0, len(module)+256), preamble...)
	r := reader{module[len(preamble):]}
	for len(r.b) > 0 {
		id, err := r.byte()
		if err != nil {
			return nil, 0, "", err
		}
		body, err := r.block()
		if err != nil {
			return nil, 0, "", err
		}
		if body, err = s.section(id, body); err != nil {
			return nil, 0, "", fmt.Errorf("exposing section %d: %w", id, err)
		}
		out = binary.AppendUvarint(append(out, id), uint64(len(body)))
		out = append(out, body...)
	}
	return out, s.count, s.fixed, nil
}

// globalExport begins the names under which globals are exposed.
const globalExport = meterModule + "_global_"

type survey struct {
	functions uint32
	globals   uint32   // read so far
	mutable   []uint32 // their indices
	count     int
	fixed     string
}

func (s *survey) section(id byte, body []byte) ([]byte, error) {
	r := reader{body}
	var err error
	switch id {
	case sectionImport:
		err = r.list(func() error { return s.importItem(&r) })
	case sectionGlobal:
		err = r.list(func() error { return s.global(&r) })
	case sectionExport:
		return s.exports(&r)
	case sectionCode:
		err = r.list(func() error { return s.body(&r) })
	}
	return body, err
}

// importItem counts a function; of globals there is none that is granted.
func (s *survey) importItem(r *reader) error {
	after := *r
	if err := all(after.skipBlock, after.skipBlock); err != nil {
		return err
	}
	switch kind, err := after.byte(); {
	case err != nil:
		return err
	case kind == 0:
		s.functions++
	case kind == 3:
		s.globals++
	}
	return r.importItem()
}

func (s *survey) global(r *reader) error {
	at := *r
	kind, err := at.byte()
	if err != nil {
		return err
	}
	changes, err := at.byte()
	if err != nil {
		return err
	}
	if changes != 0 {
		s.mutable = append(s.mutable, s.globals)
		switch kind {
		case api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64:
		default:
			s.fixed = "global " + strconv.Itoa(int(s.globals)) + ", which is no number"
		}
	}
	s.globals++
	return r.global()
}

// exports copies the exports and adds the mutable globals, but for the one
// that counts fuel.
func (s *survey) exports(r *reader) ([]byte, error) {
	items := *r
	if _, err := items.u32(); err != nil {
		return nil, err
	}
	n, fuel := uint32(0), s.globals
	err := r.list(func() error {
		n++
		name, err := r.block()
		if err != nil {
			return err
		}
		if err := r.skipByte(); err != nil {
			return err
		}
		index, err := r.u32()
		if string(name) == fuelExport {
			fuel = index
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var added []byte
	for _, g := range s.mutable {
		if g != fuel {
			added = append(text(added, globalExport+strconv.Itoa(s.count)), 3)
			added = binary.AppendUvarint(added, uint64(g))
			s.count++
		}
	}
	out := binary.AppendUvarint(nil, uint64(n)+uint64(s.count))
	return append(append(out, items.b...), added...), nil
}

// fixedBy are the instructions, after opMisc, whose effect is not undone.
var fixedBy = map[byte]string{
	0x09: "data.drop", miscTableInit: "table.init", 0x0d: "elem.drop", miscTableCopy: "table.copy",
	miscTableGrow: "table.grow", miscTableFill: "table.fill",
}

const opTableSet = 0x26

func (s *survey) body(r *reader) error {
	body, err := r.block()
	if err != nil {
		return err
	}
	in := reader{body}
	if _, _, err := in.locals(); err != nil {
		return err
	}
	for len(in.b) > 0 {
		next, _, err := in.next(nil)
		if err != nil {
			return err
		}
		what := ""
		switch next.op {
		case opTableSet:
			what = "table.set"
		case opMisc:
			what = fixedBy[next.sub]
		}
		if what != "" && s.fixed == "" {
			s.fixed = fmt.Sprintf("what %s in function %d does", what, s.functions)
		}
	}
	s.functions++
	return nil
}
