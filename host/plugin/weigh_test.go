package plugin

import (
	"testing"

	"github.com/authhost/authhost/host/plugin/wasmtest"
)

// Real modules are far from the bounds on what compiling may take.
func TestWeightOfRealModules(t *testing.T) {
	for name, module := range map[string][]byte{
		"Go": wasmtest.BuildGo(t, ".", "testdata/chores"), "Rust": wasmtest.BuildRust(t, "testdata/rust/chores.rs"), "LLVM": llvmGuest(t),
	} {
		s, most := scale{}, burden{}
		for r := (reader{module[len(preamble):]}); len(r.b) > 0; {
			id, _ := r.byte()
			section, _ := r.block()
			switch id {
			case sectionType:
				if err := s.types(section); err != nil {
					t.Fatal(err)
				}
			case sectionCode:
				in := reader{section}
				n, _ := in.u32()
				for range n {
					body, _ := in.block()
					f := burden{scale: &s}
					if err := f.function(body); err != nil {
						t.Fatal(err)
					}
					if s.sum += f.work(); f.work() > most.work() {
						most = f
					}
				}
			}
		}
		t.Logf("%s, %d bytes: %d units of %d, one function at most %d of %d", name, len(module), s.sum, maxAll, most.work(), maxWork)
		if s.sum > maxAll/3 || most.work() > maxWork/3 || most.size > maxSize/3 {
			t.Errorf("%s: %d units in all, a function of %d units and size %d", name, s.sum, most.work(), most.size)
		}
	}
}
