package plugin

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
)

// What guard lets through and the engine then takes, the engine would have
// taken as it was: guard makes nothing valid.
func FuzzGuard(f *testing.F) {
	sound := wasmtest.Module{
		Imports: []wasmtest.Import{{Module: "authhost", Name: "log", Params: []byte{wasmtest.I32, wasmtest.I32, wasmtest.I32}}},
		Funcs: []wasmtest.Func{
			{Export: abi.Marker},
			{Export: "on_authorize", Params: []byte{wasmtest.I32}, Results: []byte{wasmtest.I64}, Locals: []byte{wasmtest.I64},
				Body: wasmtest.Join(wasmtest.Call(1), wasmtest.Forever(), wasmtest.Const64(1))},
		},
		Table: []byte{0x70, 0, 2}, Elements: []int{1, 2}, Globals: 2, Data: map[uint32]string{8: "text"}, HasStart: true, Start: 1,
	}
	f.Add(sound.Encode())
	sound.Table = []byte{0x70, 1, 2, 3}
	f.Add(sound.Encode())
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x0a\x05\x01\x03\x00\x10\x0b"))
	config := wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(16).WithDebugInfoEnabled(false)
	compiles := func(t *testing.T, module []byte) bool {
		rt := wazero.NewRuntimeWithConfig(t.Context(), config)
		defer rt.Close(t.Context())
		_, err := compileModule(t.Context(), rt, module)
		return err == nil
	}
	f.Fuzz(func(t *testing.T, module []byte) {
		guarded, err := guard(module)
		if err != nil {
			return
		}
		if compiles(t, guarded) {
			if !compiles(t, withoutCustom(module)) {
				t.Errorf("guard made a module valid: %x", module)
			}
			if again, err := guard(guarded); err != nil || len(again) < len(guarded) {
				t.Errorf("guarded once more: %d bytes, %v", len(again), err)
			}
		}
	})
}

// withoutCustom leaves out custom sections, which guard does not keep.
func withoutCustom(module []byte) []byte {
	out := bytes.Clone(module[:len(preamble)])
	r := reader{module[len(preamble):]}
	for len(r.b) > 0 {
		rest := r.b
		id, _ := r.byte()
		if _, err := r.block(); err != nil {
			return module
		}
		if id != sectionCustom {
			out = append(out, rest[:len(rest)-len(r.b)]...)
		}
	}
	return out
}

// Whatever a client sends and a guest asks for, get never shows a credential.
func FuzzGet(f *testing.F) {
	f.Add("kc_auth=SECRET; theme=dark", "a=1&%62=2", "X-Team: red", uint32(2), "theme", uint32(0))
	f.Add("kc_auth =SECRET;kc_auth=\"SECRET\"", "_token=SECRET", "Authorization: Bearer SECRET", uint32(1), "authorization", uint32(1))
	f.Add("=;;=", "&&=&%", ":", uint32(4), "/a/0/~1", uint32(0))
	const secret = "SECRET"
	f.Fuzz(func(t *testing.T, cookies, query, line string, kind uint32, name string, index uint32) {
		key, value, _ := strings.Cut(line, ":")
		h := http.Header{"Cookie": {cookies}, "Authorization": {"Bearer " + secret}}
		h.Add(key, value)
		i := &instance{plugin: &Plugin{}, hook: abi.OnAuthorize, call: &host.Call{
			Request: &host.Request{Method: "GET", Path: "/", RawPath: "/", Header: h}, Query: strings.ReplaceAll(query, secret, ""),
			Identity: &host.Identity{UserID: "usr_x", Claims: map[string]any{"a": []any{"b", map[string]any{"/": 1.5}}}},
			Found: []host.Credential{
				{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: secret},
				{Source: host.FromCookie, Name: "kc_auth", Kind: host.JWT, Value: secret},
			},
		}}
		i.tank.fill(time.Hour)
		if b, ok := i.lookup(abi.Kind(kind), name, index); ok && bytes.Contains(b, []byte(secret)) {
			t.Errorf("get(%d, %q, %d) shows %q", kind, name, index, b)
		}
	})
}
