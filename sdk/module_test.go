package sdk_test

import (
	"encoding/binary"
	"fmt"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// module is what a WebAssembly file declares: names and types.
type module struct{ imports, exports map[string]string }

// sections of a module that are looked at, by their numbers.
const (
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionExport   = 7
)

// readModule reads the declarations of a module; what it does not expect of a
// Go plugin fails the test.
func readModule(t *testing.T, b []byte) module {
	t.Helper()
	r := reader{t, b}
	if string(r.bytes(8)) != "\x00asm\x01\x00\x00\x00" {
		t.Fatal("not a WebAssembly module")
	}
	m := module{map[string]string{}, map[string]string{}}
	var types, funcs []string
	for len(r.b) > 0 {
		id := r.bytes(1)[0]
		s := reader{t, r.bytes(r.uint())}
		switch id {
		case sectionType:
			for range s.uint() {
				if form := s.bytes(1)[0]; form != 0x60 {
					t.Fatalf("type of form %#x", form)
				}
				types = append(types, fmt.Sprintf("func (%s) -> (%s)", s.values(), s.values()))
			}
		case sectionImport:
			for range s.uint() {
				name := s.name() + "." + s.name()
				if kind := s.bytes(1)[0]; kind != 0 {
					t.Fatalf("import %s of kind %d", name, kind)
				}
				typ := types[s.uint()]
				funcs = append(funcs, typ)
				m.imports[name] = typ
			}
		case sectionFunction:
			for range s.uint() {
				funcs = append(funcs, types[s.uint()])
			}
		case sectionExport:
			for range s.uint() {
				name, kind, index := s.name(), s.bytes(1)[0], s.uint()
				switch kind {
				case 0:
					m.exports[name] = funcs[index]
				case 2:
					m.exports[name] = "memory"
				default:
					t.Fatalf("export %s of kind %d", name, kind)
				}
			}
		}
	}
	return m
}

// reader reads the binary format, failing the test at its end.
type reader struct {
	t *testing.T
	b []byte
}

func (r *reader) bytes(n int) []byte {
	r.t.Helper()
	if n > len(r.b) {
		r.t.Fatal("the module is cut short")
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint() int {
	r.t.Helper()
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<32-1 {
		r.t.Fatal("not a 32-bit number")
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) name() string { return string(r.bytes(r.uint())) }

func (r *reader) values() string {
	var names []string
	for _, v := range r.bytes(r.uint()) {
		name := map[byte]string{0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64"}[v]
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func importsOf(t *testing.T, path, text string) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}
