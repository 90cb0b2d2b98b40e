package plugin

import (
	"context"
	"log/slog"
	"math"

	"github.com/authhost/authhost/abi"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// maxEntries bounds the calls of host functions in one call of a hook.
const maxEntries = 100_000

// entriesALook is after how many of them the clock is looked at: they may be
// slow for what they take of fuel.
const entriesALook = 256

// fault is a guest's misuse of a host function. A host function panics with
// it, which ends the guest; the engine returns it as the call's error.
type fault string

func (f fault) Error() string { return string(f) }

// grant is the capability that a host function needs.
type grant string

const (
	free         grant = ""
	grantKV      grant = "kv"
	grantSession grant = "session"
	grantHTTP    grant = "http"
)

// in says whether a plugin has it.
func (g grant) in(o *Options) bool {
	switch g {
	case grantKV:
		return o.KV != nil
	case grantSession:
		return o.Sessions != nil
	case grantHTTP:
		return o.HTTP != nil
	}
	return true
}

// function is one function of module authhost.
type function struct {
	grant grant
	call  api.GoModuleFunc
	signature
}

func takes(params ...api.ValueType) signature { return signature{params: params} }

func (s signature) returns(results ...api.ValueType) signature {
	s.results = results
	return s
}

var functions = map[string]function{
	abi.ImportGet:        {free, get, takes(i32, i32, i32, i32, i32, i32).returns(i32)},
	abi.ImportLog:        {free, log, takes(i32, i32, i32)},
	abi.ImportMetric:     {free, metric, takes(i32, i32, i64)},
	abi.ImportSessionGet: {grantSession, sessionGet, takes(i32, i32, i32, i32).returns(i32)},
	abi.ImportSessionSet: {grantSession, sessionSet, takes(i32, i32, i32, i32, i32, i32).returns(i32)},
	abi.ImportKVGet:      {grantKV, kvGet, takes(i32, i32, i32, i32).returns(i32)},
	abi.ImportKVSet:      {grantKV, kvSet, takes(i32, i32, i32, i32, i32, i32, i64).returns(i32)},
	abi.ImportFetch:      {grantHTTP, fetch, nothing},
	abi.ImportKVAdd:      {grantKV, kvAdd, takes(i32, i32, i64, i64, i32).returns(i32)},
}

// exportHostFunctions puts module authhost, and what metered guests import,
// into a runtime. The functions find their instance in the context, so that
// they hold no state of their own.
func exportHostFunctions(ctx context.Context, rt wazero.Runtime) error {
	if err := exportRefill(ctx, rt); err != nil {
		return err
	}
	b := rt.NewHostModuleBuilder(abi.ImportModule)
	for name, f := range functions {
		b.NewFunctionBuilder().WithGoModuleFunction(f.call, f.params, f.results).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

func exportRefill(ctx context.Context, rt wazero.Runtime) error {
	_, err := rt.NewHostModuleBuilder(meterModule).
		NewFunctionBuilder().WithGoFunction(api.GoFunc(refill), refillType.params, refillType.results).Export(refillName).
		Instantiate(ctx)
	return err
}

// entered returns the instance that a host function was called by.
func entered(ctx context.Context) *instance {
	i := ctx.Value(instanceKey{}).(*instance)
	if i.killed.Load() {
		panic(errKilled)
	}
	if i.entries++; i.entries > maxEntries {
		panic(fault("host functions were called too often in one call"))
	}
	if i.entries%entriesALook == 0 {
		i.tank.look()
	}
	return i
}

// get(kind, name_ptr, name_len, index, ptr, cap i32) -> i32 returns the full
// length of a value and copies it if cap suffices.
func get(ctx context.Context, m api.Module, stack []uint64) {
	i := entered(ctx)
	memory := m.Memory()
	name, ok := memory.Read(uint32(stack[1]), uint32(stack[2]))
	if !ok {
		panic(fault("get: the name is not within memory"))
	}
	into, ok := memory.Read(uint32(stack[4]), uint32(stack[5]))
	if !ok {
		panic(fault("get: the room for the value is not within memory"))
	}
	if len(name) > maxName {
		name = name[:maxName+1] // too long for anything, and no reason to copy it all
	}
	i.tank.charge(scanCost * len(name))
	v, ok := i.lookup(abi.Kind(uint32(stack[0])), string(name), uint32(stack[3]))
	if !ok || len(v) > math.MaxInt32 {
		n := int32(abi.Absent)
		stack[0] = uint64(uint32(n))
		return
	}
	if len(v) <= len(into) {
		copy(into, v)
	}
	i.tank.charge(len(v))
	stack[0] = uint64(len(v))
}

// fetch() does nothing: that it is imported says what a plugin is going to do.
func fetch(ctx context.Context, _ api.Module, _ []uint64) { entered(ctx) }

// log(level, ptr, len i32) writes a line to the host's log.
func log(ctx context.Context, m api.Module, stack []uint64) {
	i := entered(ctx)
	line, ok := m.Memory().Read(uint32(stack[1]), uint32(stack[2]))
	if !ok {
		panic(fault("log: the line is not within memory"))
	}
	i.tank.charge(min(len(line), maxLine))
	i.guestLine(level(uint32(stack[0])), line)
}

func level(l uint32) slog.Level {
	switch l {
	case abi.LogDebug:
		return slog.LevelDebug
	case abi.LogInfo:
		return slog.LevelInfo
	case abi.LogWarn:
		return slog.LevelWarn
	}
	return slog.LevelError
}
