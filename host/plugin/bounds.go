package plugin

import (
	"errors"
	"fmt"
)

// The engine's decoder makes room for as many items as a list says it has
// before it reads one, so that five bytes can ask for gigabytes. Here every
// list inside the items of a section is walked first; what is well-formed the
// engine decides.

var errForm = errors.New("not a form of WebAssembly 2.0")

// walk is how one item of each section is passed over. Tables are rewritten,
// see guard.go; the other sections hold no lists of lists.
var walk = map[byte]func(*reader) error{
	sectionType:    (*reader).functionType,
	sectionImport:  (*reader).importItem,
	sectionExport:  (*reader).exportItem,
	sectionGlobal:  (*reader).global,
	sectionElement: (*reader).element,
	sectionCode:    (*reader).functionBody,
	sectionData:    (*reader).data,
}

func walkSection(id byte, n uint32, r reader) error {
	item, ok := walk[id]
	if !ok {
		return nil
	}
	for i := range n {
		if err := item(&r); err != nil {
			return fmt.Errorf("section %d, item %d: %w", id, i, err)
		}
	}
	if len(r.b) > 0 {
		return fmt.Errorf("section %d has %d bytes too many", id, len(r.b))
	}
	return nil
}

// all runs steps until one fails.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) skipByte() error  { _, err := r.byte(); return err }
func (r *reader) skipU32() error   { _, err := r.u32(); return err }
func (r *reader) skipBlock() error { _, err := r.block(); return err }

func (r *reader) skip(n int) error {
	if len(r.b) < n {
		return errCutShort
	}
	r.b = r.b[n:]
	return nil
}

// skipLEB passes over a number of at most ten bytes.
func (r *reader) skipLEB() error {
	for range 10 {
		if c, err := r.byte(); err != nil || c < 0x80 {
			return err
		}
	}
	return errForm
}

func (r *reader) functionType() error {
	if c, err := r.byte(); err != nil || c != 0x60 {
		return errors.Join(err, errForm)
	}
	return all(r.skipBlock, r.skipBlock) // value types are one byte each
}

func (r *reader) limits() error {
	flag, err := r.byte()
	if err != nil || flag > 1 {
		return errors.Join(err, errForm)
	}
	if flag == 1 {
		err = r.skipU32()
	}
	return errors.Join(err, r.skipU32())
}

// name passes over a name, which errors may show.
func (r *reader) name() error {
	b, err := r.block()
	if len(b) > maxItemName {
		return fmt.Errorf("a name of %d bytes, %d are allowed", len(b), maxItemName)
	}
	return err
}

func (r *reader) importItem() error { return all(r.name, r.importTail) }

// importTail passes over an import's name and type.
func (r *reader) importTail() error {
	if err := r.name(); err != nil {
		return err
	}
	switch kind, err := r.byte(); {
	case err != nil:
		return err
	case kind == 0:
		return r.skipU32()
	case kind == 1:
		return all(r.skipByte, r.limits)
	case kind == 2:
		return r.limits()
	case kind == 3:
		return r.skip(2)
	}
	return errForm
}

func (r *reader) exportItem() error { return all(r.name, r.skipByte, r.skipU32) }

func (r *reader) global() error { return all(r.skipByte, r.skipByte, r.constant) }

// constant passes over a constant expression.
func (r *reader) constant() error {
	for len(r.b) > 0 {
		end := r.b[0] == opEnd
		if err := r.constantStep(); err != nil || end {
			return err
		}
	}
	return errCutShort
}

// constantStep passes over one instruction of a constant expression.
func (r *reader) constantStep() error {
	switch op, err := r.byte(); {
	case err != nil:
		return err
	case op == opEnd:
		return nil
	case op == 0x41, op == opI64Const:
		return r.skipLEB()
	case op == 0x43: // f32.const
		return r.skip(4)
	case op == 0x44: // f64.const
		return r.skip(8)
	case op == opGlobalGet, op == opRefFunc:
		return r.skipU32()
	case op == 0xd0: // ref.null
		return r.skipByte()
	case op == opVector: // v128.const
		return all(r.skipU32, func() error { return r.skip(16) })
	}
	return errForm
}

// list passes over a list of items of at least a byte each.
func (r *reader) list(item func() error) error {
	n, err := r.u32()
	if err != nil {
		return err
	}
	if uint64(n) > uint64(len(r.b)) {
		return errCutShort
	}
	for range n {
		if err := item(); err != nil {
			return err
		}
	}
	return nil
}

// element passes over an element segment. Bit 0 of its flags: not active;
// bit 1: a table is named (or declared, not active); bit 2: expressions
// instead of function indices.
func (r *reader) element() error {
	flags, err := r.u32()
	if err != nil || flags > 7 {
		return errors.Join(err, errForm)
	}
	if flags&1 == 0 {
		if flags&2 != 0 {
			err = r.skipU32()
		}
		err = errors.Join(err, r.constant())
	}
	if err == nil && flags&3 != 0 {
		err = r.skipByte() // the kind of element
	}
	if err != nil {
		return err
	}
	if flags&4 != 0 {
		return r.list(r.constant)
	}
	return r.list(r.skipU32)
}

func (r *reader) data() error {
	flags, err := r.u32()
	if err != nil || flags > 2 {
		return errors.Join(err, errForm)
	}
	if flags == 2 {
		err = r.skipU32()
	}
	if err == nil && flags != 1 {
		err = r.constant()
	}
	return errors.Join(err, r.skipBlock())
}
