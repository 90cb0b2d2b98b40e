package plugin

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"github.com/authhost/authhost/abi"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// The engine ends a guest at a checkpoint when the module that was called from
// Go is closed. But for every call into a module that was compiled with
// checkpoints it also starts a goroutine that waits for the context, which
// costs twenty times the call itself. So hooks are called through an entry: a
// module of its own beside each instance that imports the hooks and calls
// them, compiled without checkpoints. Closing the entry ends the guest.
//
// Whether a module has checkpoints is a property of the runtime that compiles
// it, so there is a second runtime, in which nothing is ever instantiated. An
// instance may be made of a module that another runtime with the same cache
// compiled as long as both number its function types alike: the entry is the
// first module that either of them sees. Should a version of the engine break
// this, linking fails when the plugin is loaded.

// entryGuest is the name by which an entry imports its guest.
const entryGuest = "guest"

// native says whether guests are compiled. The interpreter looks for the
// closed module elsewhere: there hooks are called directly.
var native = (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64") &&
	slices.Contains([]string{"linux", "darwin", "freebsd", "netbsd", "windows"}, runtime.GOOS)

// engineConfig returns the engine for guests.
func engineConfig() wazero.RuntimeConfig {
	if native {
		return wazero.NewRuntimeConfigCompiler()
	}
	return wazero.NewRuntimeConfigInterpreter()
}

// entry is the compiled entry that all instances of a plugin use.
type entry struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

// seedTypes has a runtime number the types of entries first.
func seedTypes(ctx context.Context, cache *Cache, rt wazero.Runtime) error {
	m, err := cache.compile(ctx, rt, entryModule(nil))
	if err != nil {
		return err
	}
	return m.Close(ctx)
}

// compileEntry compiles the entry for guests that have these hooks.
func compileEntry(ctx context.Context, cache *Cache, hooks []abi.Hook) (*entry, error) {
	e := &entry{runtime: wazero.NewRuntimeWithConfig(ctx, engineConfig().WithCompilationCache(cache.code))}
	var err error
	if e.compiled, err = cache.compile(ctx, e.runtime, entryModule(hooks)); err != nil {
		return nil, errors.Join(err, e.runtime.Close(ctx))
	}
	return e, nil
}

// instantiate makes the entry of one guest, in the guest's runtime.
func (e *entry) instantiate(ctx context.Context, rt wazero.Runtime, guest api.Module) (api.Module, error) {
	ctx = experimental.WithImportResolver(ctx, func(name string) api.Module {
		if name == entryGuest {
			return guest
		}
		return nil
	})
	return rt.InstantiateModule(ctx, e.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

func (e *entry) close(ctx context.Context) error {
	return errors.Join(e.compiled.Close(ctx), e.runtime.Close(ctx))
}

// entryModule encodes an entry: one type, (i32) -> i64; an import and an
// export of it for each hook; and functions that pass the one on to the other.
// Every number in it is below 128, so that each is one byte.
func entryModule(hooks []abi.Hook) []byte {
	var imports, types, exports, code []byte
	for i, h := range hooks {
		name := append([]byte{byte(len(h.String()))}, h.String()...)
		imports = append(imports, byte(len(entryGuest)))
		imports = append(imports, entryGuest...)
		imports = append(append(imports, name...), 0, 0)
		types = append(types, 0)
		exports = append(append(exports, name...), 0, byte(len(hooks)+i))
		code = append(code, 6, 0, 0x20, 0, 0x10, byte(i), 0x0b) // local.get 0, call i
	}
	out := append(slices.Clone(preamble), sectionType, 6, 1, 0x60, 1, byte(i32), 1, byte(i64))
	section := func(id byte, items []byte) {
		out = append(out, id, byte(1+len(items)), byte(len(hooks)))
		out = append(out, items...)
	}
	if len(hooks) > 0 {
		section(sectionImport, imports)
		section(sectionFunction, types)
		section(sectionExport, exports)
		section(sectionCode, code)
	}
	return out
}
