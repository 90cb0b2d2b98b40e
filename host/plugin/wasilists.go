package plugin

import (
	"context"
	"encoding/binary"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// exportLists puts those functions of WASI that are handed a list in place of
// the engine's, which walk it however long it is and whatever fuel is left.
func exportLists(b wazero.HostModuleBuilder) {
	four, one := []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}
	for name, f := range map[string]api.GoModuleFunc{"fd_write": fdWrite, "fd_read": fdRead, "poll_oneoff": pollOneoff} {
		b.NewFunctionBuilder().WithGoModuleFunction(f, four, one).Export(name)
	}
}

// Results of WASI functions.
const (
	wasiOK      = 0
	wasiFault   = 21 // an address that is not within memory
	wasiInvalid = 28
)

// Sizes of what WASI functions are handed and leave, in bytes.
const (
	vectorSize       = 8
	subscriptionSize = 48
	eventSize        = 32
)

// items reads a list of n items, and takes fuel for walking it.
func items(i *instance, memory api.Memory, at, n, size uint32) ([]byte, bool) {
	length := uint64(n) * uint64(size)
	if length > uint64(memory.Size()) {
		return nil, false
	}
	i.tank.charge(int(length))
	return memory.Read(at, uint32(length))
}

// fd_write(fd, iovs, iovs_len, nwritten_ptr i32) -> errno.
func fdWrite(ctx context.Context, m api.Module, stack []uint64) {
	stack[0] = entered(ctx).write(m.Memory(), uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3]))
}

func (i *instance) write(memory api.Memory, fd, at, n, written uint32) uint64 {
	if fd != 1 && fd != 2 {
		return wasiBadFile
	}
	list, ok := items(i, memory, at, n, vectorSize)
	if !ok {
		return wasiFault
	}
	sum := uint32(0)
	for ; len(list) > 0; list = list[vectorSize:] {
		text, ok := memory.Read(binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:]))
		if !ok {
			return wasiFault
		}
		_, _ = i.printed[fd-1].Write(text) // never fails
		sum += uint32(len(text))
	}
	if !memory.WriteUint32Le(written, sum) {
		return wasiFault
	}
	return wasiOK
}

// fd_read(fd, iovs, iovs_len, nread_ptr i32) -> errno. There is nothing to read.
func fdRead(ctx context.Context, m api.Module, stack []uint64) {
	entered(ctx)
	switch fd, read := uint32(stack[0]), uint32(stack[3]); {
	case fd != 0:
		stack[0] = wasiBadFile
	case !m.Memory().WriteUint32Le(read, 0):
		stack[0] = wasiFault
	default:
		stack[0] = wasiOK
	}
}

// poll_oneoff(in, out, nsubscriptions, nevents_ptr i32) -> errno. Every timeout
// has passed at once, and no descriptor can be waited for.
func pollOneoff(ctx context.Context, m api.Module, stack []uint64) {
	stack[0] = entered(ctx).poll(m.Memory(), uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3]))
}

func (i *instance) poll(memory api.Memory, in, out, n, events uint32) uint64 {
	if n == 0 {
		return wasiInvalid
	}
	asked, ok := items(i, memory, in, n, subscriptionSize)
	if !ok {
		return wasiFault
	}
	answers, ok := items(i, memory, out, n, eventSize)
	if !ok || !memory.WriteUint32Le(events, n) {
		return wasiFault
	}
	for ; len(asked) > 0; asked, answers = asked[subscriptionSize:], answers[eventSize:] {
		var event [eventSize]byte
		copy(event[:8], asked) // userdata
		const kind = 8
		event[10] = asked[kind]
		if asked[kind] != 0 { // no clock
			event[8] = wasiBadFile
		}
		copy(answers, event[:])
	}
	return wasiOK
}
