// Package wasmtest assembles small WebAssembly modules for tests, valid ones
// and others: it writes what it is told and checks nothing. No binary other
// than a test imports it.
package wasmtest

import "encoding/binary"

// Value types.
const (
	I32 byte = 0x7f
	I64 byte = 0x7e
)

// Module is a module to be encoded. Function indices count imports first.
type Module struct {
	Imports  []Import
	Funcs    []Func
	Table    []byte // a table type; nil: no table
	MinPages uint32 // of the memory, exported as "memory"
	MaxPages uint32 // 0: no maximum
	NoMemory bool
	Globals  int // mutable i32 globals, zero at first
	Start    int // index of the start function, if HasStart
	HasStart bool
	Data     map[uint32]string // by address
	Elements []int             // function indices, from entry 0 of the table
	Passive  string            // a data segment for memory.init, the first; "": none
	Custom   map[string]string // custom sections, at the end
}

// Import is an imported function, or what Kind and Desc say if Desc is set.
type Import struct {
	Module, Name    string
	Params, Results []byte
	Kind            byte   // 1 table, 2 memory, 3 global
	Desc            []byte // its description
}

// Func is a function. Body holds instructions without the final end.
type Func struct {
	Export          string // "" for none
	Params, Results []byte
	Locals          []byte // value types
	Body            []byte
}

// Encode returns the module in the binary format.
func (m Module) Encode() []byte {
	var types, imports, funcs, exports, code [][]byte
	typeOf := func(params, results []byte) int {
		types = append(types, Join([]byte{0x60}, vec(params), vec(results)))
		return len(types) - 1
	}
	imported := 0
	for _, i := range m.Imports {
		head := Join(name(i.Module), name(i.Name))
		if i.Desc != nil {
			imports = append(imports, Join(head, []byte{i.Kind}, i.Desc))
			continue
		}
		imported++
		imports = append(imports, Join(head, []byte{0}, U32(typeOf(i.Params, i.Results))))
	}
	for n, f := range m.Funcs {
		funcs = append(funcs, U32(typeOf(f.Params, f.Results)))
		if f.Export != "" {
			exports = append(exports, Join(name(f.Export), []byte{0}, U32(imported+n)))
		}
		locals := [][]byte{}
		for _, l := range f.Locals {
			locals = append(locals, []byte{1, l})
		}
		code = append(code, vec(Join(list(locals), f.Body, []byte{0x0b})))
	}
	if !m.NoMemory {
		exports = append(exports, Join(name("memory"), []byte{2, 0}))
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, types)...)
	out = append(out, section(2, imports)...)
	out = append(out, section(3, funcs)...)
	if m.Table != nil {
		out = append(out, section(4, [][]byte{m.Table})...)
	}
	if !m.NoMemory {
		limits := Join([]byte{0}, U32(int(max(1, m.MinPages))))
		if m.MaxPages > 0 {
			limits = Join([]byte{1}, U32(int(max(1, m.MinPages))), U32(int(m.MaxPages)))
		}
		out = append(out, section(5, [][]byte{limits})...)
	}
	var globals [][]byte
	for range m.Globals {
		globals = append(globals, []byte{I32, 1, 0x41, 0, 0x0b})
	}
	out = append(out, section(6, globals)...)
	out = append(out, section(7, exports)...)
	if m.HasStart {
		out = append(out, Join([]byte{8}, vec(U32(m.Start)))...)
	}
	if m.Elements != nil {
		var indices [][]byte
		for _, e := range m.Elements {
			indices = append(indices, U32(e))
		}
		out = append(out, section(9, [][]byte{Join([]byte{0, 0x41, 0, 0x0b}, list(indices))})...)
	}
	var data [][]byte
	if m.Passive != "" {
		data = append(data, Join([]byte{1}, name(m.Passive)))
		out = append(out, Join([]byte{12}, vec(U32(1+len(m.Data))))...) // their count
	}
	out = append(out, section(10, code)...)
	for at, s := range m.Data {
		data = append(data, Join([]byte{0}, Const32(int32(at)), []byte{0x0b}, name(s)))
	}
	out = append(out, section(11, data)...)
	for n, s := range m.Custom {
		out = append(out, Join([]byte{0}, vec(Join(name(n), []byte(s))))...)
	}
	return out
}

func section(id byte, items [][]byte) []byte {
	if len(items) == 0 {
		return nil
	}
	return Join([]byte{id}, vec(list(items)))
}

func list(items [][]byte) []byte { return Join(U32(len(items)), Join(items...)) }
func vec(b []byte) []byte        { return Join(U32(len(b)), b) }
func name(s string) []byte       { return vec([]byte(s)) }

// Join concatenates instructions.
func Join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// U32 encodes an unsigned number.
func U32(n int) []byte { return binary.AppendUvarint(nil, uint64(uint32(n))) }

// Const32 pushes an i32.
func Const32(v int32) []byte { return append([]byte{0x41}, signed(int64(v))...) }

// Const64 pushes an i64.
func Const64(v int64) []byte { return append([]byte{0x42}, signed(v)...) }

func signed(v int64) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// Call calls the function of that index.
func Call(index int) []byte { return append([]byte{0x10}, U32(index)...) }

// Local pushes a local.
func Local(index int) []byte { return append([]byte{0x20}, U32(index)...) }

// Set pops a local.
func Set(index int) []byte { return append([]byte{0x21}, U32(index)...) }

// Forever is an endless loop around body.
func Forever(body ...[]byte) []byte {
	return Join([]byte{0x03, 0x40}, Join(body...), []byte{0x0c, 0, 0x0b})
}

// Op is an instruction given by its bytes.
func Op(b ...byte) []byte { return b }

// Instructions without operands.
const (
	Unreachable = 0x00
	Drop        = 0x1a
	Return      = 0x0f
	I32Add      = 0x6a
	I32Sub      = 0x6b
	I64Add      = 0x7c
	I64Or       = 0x84
	I64Shl      = 0x86
	ExtendU     = 0xad // i64.extend_i32_u
)
