package plugin

import (
	"encoding/binary"
	"testing"
)

const exactExport = "exact"

// exactly returns the module with a counter of what its instructions cost, as
// each is run: what a meter must charge at least. It is as simple as it is
// slow, so that it can be seen to be right.
func exactly(t testing.TB, module []byte) []byte {
	t.Helper()
	var sections [sectionDataCount + 1][]byte
	for r := (reader{module[len(preamble):]}); len(r.b) > 0; {
		id, err := r.byte()
		if err != nil {
			t.Fatal(err)
		}
		if sections[id], err = r.block(); err != nil {
			t.Fatal(err)
		}
	}
	extend := func(id byte, item func(*reader) error, more []byte) {
		r, n := reader{sections[id]}, uint32(0)
		if sections[id] != nil {
			n, _ = r.u32()
		}
		before := r.b
		for range n {
			if err := item(&r); err != nil {
				t.Fatal(err)
			}
		}
		out := append(binary.AppendUvarint(nil, uint64(n)+1), before...)
		sections[id] = append(out, more...)
	}
	m := meter{}
	if b := sections[sectionImport]; b != nil {
		if _, err := m.list(b, m.importItem); err != nil {
			t.Fatal(err)
		}
	}
	globals := m.globals // imported ones, so far
	extend(sectionGlobal, func(r *reader) error { globals++; return r.global() }, []byte{byte(i64), 1, opI64Const, 0, opEnd})
	extend(sectionExport, (*reader).exportItem, binary.AppendUvarint(append(text(nil, exactExport), 3), uint64(globals)))
	if b := sections[sectionCode]; b != nil {
		r := reader{b}
		n, _ := r.u32()
		out := binary.AppendUvarint(nil, uint64(n))
		for range n {
			body, _ := r.block()
			in := reader{body}
			locals, _, err := in.locals()
			if err != nil {
				t.Fatal(err)
			}
			counted := append([]byte(nil), body[:len(body)-len(in.b)]...)
			count := func(units uint32) {
				w := codeWriter{meter: &meter{globals: globals}}
				w.counter(opGlobalGet)
				w.const64(units)
				w.out = append(w.out, 0x7c) // i64.add
				w.counter(opGlobalSet)
				counted = append(counted, w.out...)
			}
			count(entryCost + locals/8)
			for len(in.b) > 0 {
				before := in.b
				op, _, err := in.next(nil)
				if err != nil {
					t.Fatal(err)
				}
				if op.cost > 0 {
					count(uint32(op.cost))
				}
				counted = append(counted, before[:len(before)-len(in.b)]...)
			}
			out = append(binary.AppendUvarint(out, uint64(len(counted))), counted...)
		}
		sections[sectionCode] = out
	}
	out := append([]byte(nil), preamble...)
	for _, id := range layout {
		if sections[id] != nil {
			out = append(binary.AppendUvarint(append(out, id), uint64(len(sections[id]))), sections[id]...)
		}
	}
	return out
}
