package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/authhost/authhost/abi"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	memoryExport     = "memory"
	initializeExport = "_initialize"
	wasiModule       = "wasi_snapshot_preview1"
)

// wasiFunctions is what a guest may import of WASI: what a Go guest needs. All
// of it is inert, see wasi.go.
var wasiFunctions = []string{
	"args_get", "args_sizes_get", "environ_get", "environ_sizes_get",
	"clock_time_get", "clock_res_get", "random_get", "sched_yield", "poll_oneoff", "proc_exit",
	"fd_write", "fd_read", "fd_close", "fd_fdstat_get", "fd_fdstat_set_flags",
	"fd_prestat_get", "fd_prestat_dir_name",
}

// signature is a function type.
type signature struct{ params, results []api.ValueType }

func (s signature) of(def api.FunctionDefinition) bool {
	return slices.Equal(s.params, def.ParamTypes()) && slices.Equal(s.results, def.ResultTypes())
}

// String writes the type as (i32 i32) -> i64.
func (s signature) String() string {
	names := func(types []api.ValueType) string {
		list := make([]string, len(types))
		for i, t := range types {
			list[i] = api.ValueTypeName(t)
		}
		return "(" + strings.Join(list, " ") + ")"
	}
	return names(s.params) + " -> " + names(s.results)
}

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

var (
	nothing    = signature{}
	bufferType = signature{nil, []api.ValueType{i64}}
	hookType   = signature{[]api.ValueType{i32}, []api.ValueType{i64}}
	refillType = signature{[]api.ValueType{i64}, []api.ValueType{i64}}
)

// hooks says which hooks this version asks.
var hooks = []abi.Hook{abi.Configure, abi.OnCredential, abi.OnAuthorize, abi.OnLogin, abi.OnLogout}

// check judges a compiled module by what it imports and exports, before
// anything of it runs, and returns the hooks that it has.
func check(m wazero.CompiledModule, o *Options) ([]abi.Hook, error) {
	exports := m.ExportedFunctions()
	if err := checkMarker(exports); err != nil {
		return nil, err
	}
	if err := checkImports(m, o); err != nil {
		return nil, err
	}
	if _, ok := m.ExportedMemories()[memoryExport]; !ok {
		return nil, fmt.Errorf("export %q, a memory, is missing", memoryExport)
	}
	if err := checkExport(exports, abi.BufferExport, bufferType, true); err != nil {
		return nil, err
	}
	if err := checkExport(exports, initializeExport, nothing, false); err != nil {
		return nil, err
	}
	return checkHooks(exports)
}

func checkMarker(exports map[string]api.FunctionDefinition) error {
	if _, ok := exports[abi.Marker]; ok {
		return checkExport(exports, abi.Marker, nothing, true)
	}
	for _, name := range slices.Sorted(maps.Keys(exports)) {
		if strings.HasPrefix(name, abi.MarkerPrefix) {
			return fmt.Errorf("the module speaks %s, this host speaks %s", name, abi.Marker)
		}
	}
	return fmt.Errorf("export %q is missing: this is not a plugin of authhost", abi.Marker)
}

func checkImports(m wazero.CompiledModule, o *Options) error {
	for _, def := range m.ImportedMemories() {
		module, name, _ := def.Import()
		return fmt.Errorf("import %s.%s: a memory cannot be imported", module, name)
	}
	for _, def := range m.ImportedFunctions() {
		module, name, _ := def.Import()
		f, known := functions[name]
		switch {
		case module == meterModule: // added, see meter.go
			continue
		case module == wasiModule && slices.Contains(wasiFunctions, name):
			continue // the engine compares its signature before anything runs
		case module != abi.ImportModule || !known:
			return fmt.Errorf("import %s.%s is not granted", module, name)
		case !f.grant.in(o):
			return fmt.Errorf("import %s.%s needs the capability %s, which the plugin is not granted", module, name, f.grant)
		case !f.of(def):
			return fmt.Errorf("import %s.%s has the type %s, want %s", module, name, signature{def.ParamTypes(), def.ResultTypes()}, f.signature)
		}
	}
	return nil
}

// fetches says whether a module declares that it has something fetched.
func fetches(m wazero.CompiledModule) bool {
	return slices.ContainsFunc(m.ImportedFunctions(), func(def api.FunctionDefinition) bool {
		module, name, _ := def.Import()
		return module == abi.ImportModule && name == abi.ImportFetch
	})
}

func checkExport(exports map[string]api.FunctionDefinition, name string, want signature, required bool) error {
	def, ok := exports[name]
	if !ok {
		if required {
			return fmt.Errorf("export %q, a function %s, is missing", name, want)
		}
		return nil
	}
	if !want.of(def) {
		return fmt.Errorf("export %q has the type %s, want %s", name, signature{def.ParamTypes(), def.ResultTypes()}, want)
	}
	return nil
}

func checkHooks(exports map[string]api.FunctionDefinition) ([]abi.Hook, error) {
	var found []abi.Hook
	asked := false
	for _, name := range slices.Sorted(maps.Keys(exports)) {
		hook, known := abi.HookByName(name)
		switch {
		case known && slices.Contains(hooks, hook):
			if err := checkExport(exports, name, hookType, true); err != nil {
				return nil, err
			}
			found = append(found, hook)
			asked = asked || hook != abi.Configure
		case known:
			return nil, fmt.Errorf("hook %s is not supported by this version of authhost", name)
		case strings.HasPrefix(name, abi.HookPrefix):
			return nil, fmt.Errorf("export %q is not a hook", name)
		}
	}
	if !asked {
		return nil, fmt.Errorf("the module exports no hook: on_authorize, on_credential, on_login or on_logout is needed")
	}
	return found, nil
}
