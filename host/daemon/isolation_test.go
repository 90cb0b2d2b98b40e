package daemon

import (
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// Under isolation: request a plugin that counts its calls never counts beyond
// one.
func TestIsolationOfTheConfiguration(t *testing.T) {
	counter := string(Module{MinPages: 1, Globals: 1, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(1024<<32 | 4096)},
		{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64}, // 1 allows, 2 denies
			Body: Join(Op(0x23, 0), Const32(1), Op(I32Add, 0x24, 0, 0x23, 0, ExtendU))},
	}}.Encode())
	d, _ := open(t, "cache: {driver: memory}\nplugins:\n  - {name: none, module: a.wasm, limits: {instances: 1}}\n  - {name: request, module: a.wasm, isolation: request, limits: {instances: 1}}\n",
		map[string]string{"a.wasm": counter})
	for name, want := range map[string]host.Effect{"none": host.Deny, "request": host.Allow} {
		p := d.current.plugins[name].Version.Host().Authorizer
		c := &host.Call{Request: &host.Request{Method: "GET", Path: "/", RawPath: "/"}}
		for n := range 2 {
			o, err := p.Authorize(t.Context(), c)
			if n == 1 && (err != nil || o.Effect != want) {
				t.Errorf("isolation %s: got %+v, %v, want %s", name, o, err, want)
			}
		}
	}
}
