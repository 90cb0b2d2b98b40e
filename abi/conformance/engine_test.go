package conformance_test

import (
	"context"
	"encoding/binary"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

type importsKey struct{}

func imports(ctx context.Context) *Imports { return ctx.Value(importsKey{}).(*Imports) }

// read returns what an address and a length point at.
func read(m api.Module, at, length uint32) []byte {
	b, ok := m.Memory().Read(at, length)
	if !ok {
		panic("what is given is not in memory")
	}
	return b
}

type saysKey struct{}

// says are names of which a host gives another length than there is.
type says map[string]func(capacity uint32) int32

// give writes a value as get does.
func give(ctx context.Context, m api.Module, name string, value []byte, ok bool, at, capacity uint32) int32 {
	room := read(m, at, capacity)
	if said, _ := ctx.Value(saysKey{}).(says); said[name] != nil {
		return said[name](capacity)
	}
	if !ok {
		return abi.Absent
	}
	if len(value) <= len(room) {
		copy(room, value)
	}
	return int32(len(value))
}

func term(m api.Module, at uint32, length int32) Term {
	if length < 0 {
		return Term{Length: length}
	}
	return Term{Bytes: Bytes(read(m, at, uint32(length)))}
}

// hostModule is the module authhost of an engine that has nothing of this host:
// all that a runner needs.
func hostModule(ctx context.Context, rt wazero.Runtime) error {
	b := rt.NewHostModuleBuilder("authhost")
	for name, f := range map[string]any{
		"get": func(ctx context.Context, m api.Module, kind, name, nameLength, index, at, capacity uint32) int32 {
			text := string(read(m, name, nameLength))
			value, ok := imports(ctx).Get(kind, text, index)
			return give(ctx, m, text, value, ok, at, capacity)
		},
		"log": func(ctx context.Context, m api.Module, level, at, length uint32) {
			imports(ctx).Log(level, read(m, at, length))
		},
		"metric": func(ctx context.Context, m api.Module, name, nameLength uint32, delta int64) {
			imports(ctx).Metric(string(read(m, name, nameLength)), delta)
		},
		"session_get": func(ctx context.Context, m api.Module, name, nameLength, at, capacity uint32) int32 {
			text := string(read(m, name, nameLength))
			value, ok := imports(ctx).SessionGet(text)
			return give(ctx, m, text, value, ok, at, capacity)
		},
		"session_set": func(ctx context.Context, m api.Module, name, nameLength, old uint32, oldLength int32, next uint32, nextLength int32) int32 {
			return imports(ctx).SessionSet(string(read(m, name, nameLength)), term(m, old, oldLength), term(m, next, nextLength))
		},
		"kv_get": func(ctx context.Context, m api.Module, key, keyLength, at, capacity uint32) int32 {
			text := string(read(m, key, keyLength))
			value, ok := imports(ctx).KVGet(text)
			return give(ctx, m, text, value, ok, at, capacity)
		},
		"kv_set": func(ctx context.Context, m api.Module, key, keyLength, old uint32, oldLength int32, next uint32, nextLength int32, ttl int64) int32 {
			return imports(ctx).KVSet(string(read(m, key, keyLength)), term(m, old, oldLength), term(m, next, nextLength), ttl)
		},
		"kv_add": func(ctx context.Context, m api.Module, key, keyLength uint32, delta, ttl int64, sumAt uint32) int32 {
			into := read(m, sumAt, 8)
			sum, result := imports(ctx).KVAdd(string(read(m, key, keyLength)), delta, ttl)
			if result != abi.SetDone {
				sum = 0xdead // what is there counts for nothing
			}
			binary.LittleEndian.PutUint64(into, uint64(sum))
			return result
		},
		"fetch": func() {},
	} {
		b.NewFunctionBuilder().WithFunc(f).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}
