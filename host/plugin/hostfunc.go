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

// exportHostFunctions puts module authhost, and what metered guests import,
// into a runtime. The functions find their instance in the context, so that
// they hold no state of their own.
func exportHostFunctions(ctx context.Context, rt wazero.Runtime) error {
	if err := exportRefill(ctx, rt); err != nil {
		return err
	}
	_, err := rt.NewHostModuleBuilder(abi.ImportModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(get), getType.params, getType.results).Export(abi.ImportGet).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(log), logType.params, logType.results).Export(abi.ImportLog).
		Instantiate(ctx)
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

// log(level, ptr, len i32) writes a line to the host's log.
func log(ctx context.Context, m api.Module, stack []uint64) {
	i := entered(ctx)
	line, ok := m.Memory().Read(uint32(stack[1]), uint32(stack[2]))
	if !ok {
		panic(fault("log: the line is not within memory"))
	}
	i.tank.charge(min(len(line), maxLine))
	i.plugin.guestLine(level(uint32(stack[0])), line)
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
