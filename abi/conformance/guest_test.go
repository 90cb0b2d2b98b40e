package conformance_test

import (
	"context"
	"fmt"
	"testing"

	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// engineGuest is a guest on an engine as it is, with nothing of this host: all
// that another host needs to bring.
type engineGuest struct {
	module         api.Module
	buffer, length uint32
}

type importsKey struct{}

func (g *engineGuest) Call(ctx context.Context, hook string, frame []byte, imports *Imports) (uint64, []byte, error) {
	f := g.module.ExportedFunction(hook)
	if f == nil {
		return 0, nil, fmt.Errorf("no export %s", hook)
	}
	if uint32(len(frame)) > g.length || !g.module.Memory().Write(g.buffer, frame) {
		return 0, nil, fmt.Errorf("a frame of %d bytes has no room", len(frame))
	}
	results, err := f.Call(context.WithValue(ctx, importsKey{}, imports), uint64(len(frame)))
	if err != nil {
		return 0, nil, err
	}
	answer, ok := g.module.Memory().Read(g.buffer, min(uint32(results[0]>>32), g.length))
	if !ok {
		return 0, nil, fmt.Errorf("the answer is not in memory")
	}
	return results[0], append([]byte(nil), answer...), nil
}

// engine compiles a module and returns what makes its instances.
func engine(t *testing.T, module []byte) func(context.Context) (Guest, error) {
	t.Helper()
	ctx := t.Context()
	rt := wazero.NewRuntime(ctx)
	t.Cleanup(func() { rt.Close(context.Background()) })
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		t.Fatal(err)
	}
	_, err := rt.NewHostModuleBuilder("authhost").
		NewFunctionBuilder().WithFunc(func(ctx context.Context, m api.Module, kind, name, nameLength, index, at, capacity uint32) int32 {
		n, ok := m.Memory().Read(name, nameLength)
		if !ok {
			panic("the name is not in memory")
		}
		value, ok := ctx.Value(importsKey{}).(*Imports).Get(kind, string(n), index)
		if !ok {
			return -1
		}
		room, ok := m.Memory().Read(at, capacity)
		if !ok {
			panic("the room is not in memory")
		}
		if len(value) <= len(room) {
			copy(room, value)
		}
		return int32(len(value))
	}).Export("get").
		NewFunctionBuilder().WithFunc(func(ctx context.Context, m api.Module, level, at, length uint32) {
		line, ok := m.Memory().Read(at, length)
		if !ok {
			panic("the line is not in memory")
		}
		ctx.Value(importsKey{}).(*Imports).Log(level, line)
	}).Export("log").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := rt.CompileModule(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (Guest, error) {
		m, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
		if err != nil {
			return nil, err
		}
		r, err := m.ExportedFunction("authhost_buffer").Call(ctx)
		if err != nil {
			return nil, err
		}
		return &engineGuest{m, uint32(r[0] >> 32), uint32(r[0])}, nil
	}
}

func TestSDKsConform(t *testing.T) {
	for _, l := range wasmtest.Languages {
		t.Run(l.Name, func(t *testing.T) {
			t.Parallel()
			if err := Run(t.Context(), engine(t, wasmtest.SDKGuest(t, "../..", l, "testdata/echo"))); err != nil {
				t.Error(err)
			}
		})
	}
}
