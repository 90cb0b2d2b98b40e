package plugin

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Every mutable global but the counter is exported, in its order, whatever
// else the module exports.
func TestExposed(t *testing.T) {
	set := wasmtest.Join(wasmtest.Const32(5), wasmtest.Op(opGlobalSet, 0), wasmtest.Const32(6), wasmtest.Op(opGlobalSet, 2))
	module, err := meterValid(wasmtest.Module{Globals: 3, Funcs: []wasmtest.Func{{Export: "f", Body: set}}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	module, count, fixed, err := exposed(module)
	if err != nil || count != 3 || fixed != "" {
		t.Fatalf("%d globals, %q, %v", count, fixed, err)
	}
	ctx, rt, _ := rawRuntime(t, wazero.NewRuntimeConfig())
	m, err := rt.Instantiate(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ExportedFunction("f").Call(ctx); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, name := range []string{"_0", "_1", "_2"} {
		got = append(got, m.ExportedGlobal(strings.TrimSuffix(globalExport, "_")+name).(api.MutableGlobal).Get())
	}
	if !slices.Equal(got, []uint64{5, 0, 6}) || m.ExportedGlobal(globalExport+"3") != nil {
		t.Errorf("got %v", got)
	}
	if m.ExportedGlobal(fuelExport) == nil || m.ExportedMemory("memory") == nil {
		t.Error("an export is gone")
	}
}

// A global of 128 bits, or one that refers to something, is not put back, as
// the engine shows 64 bits of it.
func TestExposedTypes(t *testing.T) {
	for name, c := range map[string]struct {
		global []byte
		want   string
	}{
		"i64":        {[]byte{0x7e, 1, opI64Const, 0, opEnd}, ""},
		"f64":        {append([]byte{0x7c, 1, 0x44}, append(make([]byte, 8), opEnd)...), ""},
		"constant":   {append([]byte{0x7b, 0, opVector, 0x0c}, append(make([]byte, 16), opEnd)...), ""},
		"v128":       {append([]byte{0x7b, 1, opVector, 0x0c}, append(make([]byte, 16), opEnd)...), "global 0"},
		"a function": {[]byte{0x70, 1, 0xd0, 0x70, opEnd}, "global 0"},
		"a host's":   {[]byte{0x6f, 1, 0xd0, 0x6f, opEnd}, "global 0"},
	} {
		module := append(bytes.Clone(preamble), sectionGlobal, byte(len(c.global)+1), 1)
		metered, err := meterValid(append(module, c.global...))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, _, fixed, err := exposed(metered); err != nil || (fixed == "") != (c.want == "") || !strings.HasPrefix(fixed, c.want) {
			t.Errorf("%s: %q, %v", name, fixed, err)
		}
	}
}
