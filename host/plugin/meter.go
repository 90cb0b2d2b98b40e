package plugin

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Names that a metered module has and a guest may not.
const (
	meterModule = "authhost_meter"
	refillName  = "refill"
	fuelExport  = "authhost_meter_fuel"
)

// A meter rewrites one module so that its code takes fuel as it runs.
//
// It adds a counter, the last global, exported as fuelExport; the import of a
// host function that is handed the counter once it is below zero, and returns
// what it is to be; and a function that calls that. The import goes before
// the module's own functions, so the indices of those move up by one; nothing
// else moves.
type meter struct {
	types    uint32
	imported uint32          // functions
	globals  uint32          // imported ones included
	params   []uint32        // of each type, how many
	typeOf   []uint32        // of each function of the module itself
	exported map[uint32]bool // functions that the host may call
	leaves   []uint32        // of each function of the module itself, what it costs if it is a leaf, else 0
	graph    callGraph
	code     uint32 // bodies read so far
	planner  planner
}

// layout is the order in which a module has its sections. The custom one that
// guard left is last.
var layout = []byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport,
	sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData, sectionCustom,
}

// metered returns a module that does the same and counts what it takes. The
// module has passed guard and is valid; for one that is not, the result is an
// error or of no use.
func metered(module []byte) ([]byte, error) {
	var sections [sectionDataCount + 1][]byte
	r := reader{module[len(preamble):]}
	for len(r.b) > 0 {
		id, err := r.byte()
		if err != nil || int(id) >= len(sections) {
			return nil, errForm
		}
		if sections[id], err = r.block(); err != nil {
			return nil, err
		}
	}
	m := meter{exported: map[uint32]bool{}}
	m.planner.meter = &m
	out := make([]byte, 0, len(module)+len(module)/2+256)
	out = append(out, preamble...)
	for _, id := range layout {
		body, err := m.section(id, sections[id])
		if err != nil {
			return nil, fmt.Errorf("metering section %d: %w", id, err)
		}
		if len(body) > 0 {
			out = binary.AppendUvarint(append(out, id), uint64(len(body)))
			out = append(out, body...)
		}
	}
	return out, nil
}

// section returns a section as it will be. Before it there may have been none.
func (m *meter) section(id byte, body []byte) ([]byte, error) {
	var added []byte
	switch id {
	case sectionType:
		return m.list(body, m.typeItem, "\x60\x01\x7e\x01\x7e") // (i64) -> (i64)
	case sectionImport:
		added = append(text(added, meterModule), text(nil, refillName)...)
		added = binary.AppendUvarint(append(added, 0), uint64(m.types))
		return m.list(body, m.importItem, string(added))
	case sectionGlobal:
		return m.list(body, m.globalItem, string([]byte{byte(i64), 1, opI64Const, 0, opEnd}))
	case sectionExport:
		added = binary.AppendUvarint(append(text(added, fuelExport), 3), uint64(m.globals))
		return m.list(body, m.exportItem, string(added))
	}
	if body == nil {
		return nil, nil
	}
	switch id {
	case sectionFunction:
		return m.list(body, m.functionItem)
	case sectionStart:
		return m.index(nil, &reader{body})
	case sectionElement:
		return m.list(body, m.elementItem)
	case sectionCode:
		if err := m.survey(body); err != nil {
			return nil, err
		}
		return m.list(body, m.codeItem)
	case sectionCustom:
		return m.names(body)
	}
	return body, nil
}

func text(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// list copies a section's items, changed by item, and adds more.
func (m *meter) list(body []byte, item func([]byte, *reader) ([]byte, error), more ...string) ([]byte, error) {
	r, n := reader{body}, uint32(0)
	var err error
	if body != nil {
		if n, err = r.u32(); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(body)+len(body)/2+64)
	out = binary.AppendUvarint(out, uint64(n)+uint64(len(more)))
	for range n {
		if out, err = item(out, &r); err != nil {
			return nil, err
		}
	}
	for _, s := range more {
		out = append(out, s...)
	}
	return out, nil
}

// same copies what pass passes over.
func same(out []byte, r *reader, pass func() error) ([]byte, error) {
	before := r.b
	err := pass()
	return append(out, before[:len(before)-len(r.b)]...), err
}

// index copies a function's index.
func (m *meter) index(out []byte, r *reader) ([]byte, error) {
	f, err := r.u32()
	if f >= m.imported {
		f++
	}
	return binary.AppendUvarint(out, uint64(f)), err
}

func (m *meter) typeItem(out []byte, r *reader) ([]byte, error) {
	m.types++
	return same(out, r, func() error {
		if err := r.skipByte(); err != nil {
			return err
		}
		params, err := r.block()
		m.params = append(m.params, uint32(len(params)))
		if err != nil {
			return err
		}
		return r.skipBlock()
	})
}

func (m *meter) importItem(out []byte, r *reader) ([]byte, error) {
	return same(out, r, func() error {
		module, err := r.block()
		if err != nil {
			return err
		}
		if string(module) == meterModule {
			return fmt.Errorf("import %s is not granted", meterModule)
		}
		after := reader{r.b} // the name, then the kind
		if err := r.importTail(); err != nil {
			return err
		}
		if err := after.skipBlock(); err != nil {
			return err
		}
		switch kind, err := after.byte(); {
		case err != nil:
			return err
		case kind == 0:
			m.imported++
		case kind == 3:
			m.globals++
		}
		return nil
	})
}

func (m *meter) functionItem(out []byte, r *reader) ([]byte, error) {
	return same(out, r, func() error {
		t, err := r.u32()
		if t >= m.types {
			return errForm
		}
		m.typeOf = append(m.typeOf, t)
		return err
	})
}

func (m *meter) globalItem(out []byte, r *reader) ([]byte, error) {
	m.globals++
	out, err := same(out, r, func() error { return r.skip(2) })
	if err != nil {
		return nil, err
	}
	return m.constant(out, r)
}

// constant copies a constant expression.
func (m *meter) constant(out []byte, r *reader) ([]byte, error) {
	for {
		if len(r.b) > 0 && r.b[0] == opRefFunc {
			out, _ = same(out, r, r.skipByte)
			var err error
			if out, err = m.index(out, r); err != nil {
				return nil, err
			}
			continue
		}
		before := len(r.b)
		var err error
		if out, err = same(out, r, r.constantStep); err != nil {
			return nil, err
		}
		if before-len(r.b) == 1 && out[len(out)-1] == opEnd {
			return out, nil
		}
	}
}

func (m *meter) exportItem(out []byte, r *reader) ([]byte, error) {
	name, err := r.block()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(string(name), meterModule) {
		return nil, fmt.Errorf("export %q is the host's", name)
	}
	kind, err := r.byte()
	if err != nil {
		return nil, err
	}
	out = binary.AppendUvarint(out, uint64(len(name)))
	out = append(append(out, name...), kind)
	if kind != 0 {
		return same(out, r, r.skipU32)
	}
	at := reader{r.b}
	f, _ := at.u32()
	m.exported[f] = true
	return m.index(out, r)
}

// elementItem copies an element segment, see [reader.element].
func (m *meter) elementItem(out []byte, r *reader) ([]byte, error) {
	flags, err := r.u32()
	if err != nil || flags > 7 {
		return nil, errForm
	}
	out = binary.AppendUvarint(out, uint64(flags))
	if flags&1 == 0 {
		if flags&2 != 0 {
			if out, err = same(out, r, r.skipU32); err != nil {
				return nil, err
			}
		}
		if out, err = m.constant(out, r); err != nil {
			return nil, err
		}
	}
	if flags&3 != 0 {
		if out, err = same(out, r, r.skipByte); err != nil {
			return nil, err
		}
	}
	item := m.index
	if flags&4 != 0 {
		item = m.constant
	}
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	out = binary.AppendUvarint(out, uint64(n))
	for range n {
		if out, err = item(out, r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// names copies the section of functions' names that guard left.
func (m *meter) names(body []byte) ([]byte, error) {
	const head = "\x04name\x01"
	if len(body) < len(head) {
		return nil, nil
	}
	r := reader{body[len(head):]}
	part, err := r.block()
	if err != nil {
		return nil, err
	}
	part, err = m.list(part, func(out []byte, r *reader) ([]byte, error) {
		out, err := m.index(out, r)
		if err != nil {
			return nil, err
		}
		return same(out, r, r.skipBlock)
	})
	return append(binary.AppendUvarint([]byte(head), uint64(len(part))), part...), err
}
