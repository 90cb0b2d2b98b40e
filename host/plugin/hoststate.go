package plugin

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/tetratelabs/wazero/api"
)

const (
	// maxCacheTime is how long all calls of the cache may take in one call of a
	// hook: an instance that waits for a cache is nobody else's meanwhile.
	maxCacheTime = 500 * time.Millisecond
	// stateCost is charged for a call of the cache, besides its size: as much as
	// a quarter of a millisecond's work, so that the limit on a plugin's time
	// bounds what one request asks of the cache.
	stateCost = int(250*time.Microsecond) * UnitsPerNanosecond
)

// away is why a call of the cache has no answer. It ends the guest, of whom it
// says nothing.
type away struct{ cause error }

func (a *away) Error() string { return a.cause.Error() }
func (a *away) Unwrap() error { return a.cause }

// guestMemory reads what a guest points at; what is not within its memory ends
// it.
type guestMemory struct {
	api.Memory
	function string
}

func (m guestMemory) part(what string, address, length uint64) []byte {
	b, ok := m.Read(uint32(address), uint32(length))
	if !ok {
		panic(fault(m.function + ": " + what + " is not within memory"))
	}
	return b
}

// name reads a key or an attribute's name.
func (m guestMemory) name(what string, address, length uint64) string {
	b := m.part("the "+what, address, length)
	if len(b) == 0 || len(b) > abi.MaxKey {
		panic(fault(m.function + ": the " + what + " is not of 1 to 256 bytes"))
	}
	return string(b)
}

// value reads a copy of a value; nil if its length says that there is none.
func (m guestMemory) value(what string, address, length uint64) []byte {
	if int32(uint32(length)) == abi.LengthNone {
		return nil
	}
	b := m.part("the "+what+" value", address, length)
	if len(b) > abi.MaxKeyValue {
		panic(fault(m.function + ": the " + what + " value has more than 4096 bytes"))
	}
	return append([]byte{}, b...)
}

// entersState begins a call of the cache, with some bytes to send.
func entersState(ctx context.Context, m api.Module, function string) (*instance, guestMemory) {
	i := entered(ctx)
	if i.call == nil {
		panic(fault(function + ": there is no request to be called for"))
	}
	i.tank.charge(stateCost)
	return i, guestMemory{m.Memory(), function}
}

// remote calls the cache within the time that is left for that, and counts what
// came of it by the word that do returns.
func (i *instance) remote(state, op string, do func(ctx context.Context) (result string, err error)) {
	ctx, cancel := context.WithTimeout(context.Background(), maxCacheTime-i.waited)
	defer cancel()
	start := time.Now()
	result, err := do(ctx)
	i.waited += time.Since(start)
	if err != nil {
		result = "failed"
	}
	if c := i.plugin.opts.Counts; c != nil {
		c.PluginState(i.plugin.opts.Name, state, op, result)
	}
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*host.Error](err); ok && e.Kind == host.Refused {
		panic(fault(state + "_" + op + ": " + e.Error()))
	}
	panic(&away{err})
}

// refused says whether an operation was understood and not done.
func refusedAs(err error, kind host.Kind) bool {
	e, ok := errors.AsType[*host.Error](err)
	return ok && e.Kind == kind
}

// hand gives a value to the guest as get does.
func (i *instance) hand(into, v []byte, there bool) uint64 {
	if !there {
		return status(abi.Absent)
	}
	if len(v) <= len(into) {
		copy(into, v)
	}
	i.tank.charge(len(v))
	return uint64(len(v))
}

func status(n int32) uint64 { return uint64(uint32(n)) }

// kvGet(key_ptr, key_len, ptr, cap i32) -> i32
func kvGet(ctx context.Context, m api.Module, stack []uint64) {
	i, memory := entersState(ctx, m, abi.ImportKVGet)
	key := memory.name("key", stack[0], stack[1])
	into := memory.part("the room for the value", stack[2], stack[3])
	i.remote("kv", "get", func(ctx context.Context) (string, error) {
		v, ok, err := i.plugin.opts.KV.Get(ctx, key)
		if err != nil {
			return "", err
		}
		stack[0] = i.hand(into, v, ok)
		return presence(ok), nil
	})
}

func presence(there bool) string {
	if there {
		return "ok"
	}
	return "absent"
}

// kvSet(key_ptr, key_len, old_ptr, old_len, new_ptr, new_len i32, ttl i64) -> i32
func kvSet(ctx context.Context, m api.Module, stack []uint64) {
	i, memory := entersState(ctx, m, abi.ImportKVSet)
	key := memory.name("key", stack[0], stack[1])
	var old []byte
	force := int32(uint32(stack[3])) == abi.LengthAny
	if !force {
		old = memory.value("old", stack[2], stack[3])
	}
	next := memory.value("new", stack[4], stack[5])
	var ttl time.Duration
	if next != nil {
		ttl = lifetime(abi.ImportKVSet, stack[6])
	}
	i.tank.charge(len(key) + len(old) + len(next))
	i.remote("kv", "set", func(ctx context.Context) (string, error) {
		done, err := i.plugin.opts.KV.Set(ctx, key, old, next, force, ttl)
		switch {
		case refusedAs(err, host.Refused):
			stack[0] = status(abi.SetFull)
			return "full", nil
		case err != nil:
			return "", err
		case !done:
			stack[0] = status(abi.SetOther)
			return "other", nil
		}
		stack[0] = status(abi.SetDone)
		return "ok", nil
	})
}

// kvAdd(key_ptr, key_len i32, delta, ttl i64, sum_ptr i32) -> i32
func kvAdd(ctx context.Context, m api.Module, stack []uint64) {
	i, memory := entersState(ctx, m, abi.ImportKVAdd)
	key := memory.name("key", stack[0], stack[1])
	delta, ttl := int64(stack[2]), lifetime(abi.ImportKVAdd, stack[3])
	into := memory.part("the room for the sum", stack[4], 8)
	i.tank.charge(len(key))
	i.remote("kv", "add", func(ctx context.Context) (string, error) {
		sum, ok, err := i.plugin.opts.KV.Add(ctx, key, delta, ttl)
		switch {
		case refusedAs(err, host.Refused):
			stack[0] = status(abi.SetFull)
			return "full", nil
		case err != nil:
			return "", err
		case !ok:
			stack[0] = status(abi.SetOther)
			return "other", nil
		}
		binary.LittleEndian.PutUint64(into, uint64(sum))
		stack[0] = status(abi.SetDone)
		return "ok", nil
	})
}

func lifetime(function string, ttl uint64) time.Duration {
	if ttl < 1 || ttl > abi.MaxTTL {
		panic(fault(function + ": the time to live is not of 1 ms to 31 days"))
	}
	return time.Duration(ttl) * time.Millisecond
}

// inSession returns the session that the request came in, if it came in one.
func (i *instance) inSession() (id *host.Identity, ok bool) {
	id = i.call.Identity
	return id, id != nil && id.SessionID != ""
}

// sessionGet(name_ptr, name_len, ptr, cap i32) -> i32
func sessionGet(ctx context.Context, m api.Module, stack []uint64) {
	i, memory := entersState(ctx, m, abi.ImportSessionGet)
	name := memory.name("name", stack[0], stack[1])
	into := memory.part("the room for the value", stack[2], stack[3])
	id, ok := i.inSession()
	if ok && i.session == nil {
		i.remote("session", "get", func(ctx context.Context) (string, error) {
			all, err := i.plugin.opts.Sessions.Attributes(ctx, id.Realm, id.UserID, id.SessionID)
			if refusedAs(err, host.NotFound) {
				return "absent", nil
			}
			if i.session = all; err == nil && all == nil {
				i.session = map[string]string{}
			}
			return "ok", err
		})
	}
	v, ok := i.session[name]
	stack[0] = i.hand(into, []byte(v), ok)
}

var errOther = errors.New("it was another value")

// sessionSet(name_ptr, name_len, old_ptr, old_len, new_ptr, new_len i32) -> i32
func sessionSet(ctx context.Context, m api.Module, stack []uint64) {
	i, memory := entersState(ctx, m, abi.ImportSessionSet)
	name := memory.name("name", stack[0], stack[1])
	old, next := memory.value("old", stack[2], stack[3]), memory.value("new", stack[4], stack[5])
	i.tank.charge(len(name) + len(old) + len(next))
	id, ok := i.inSession()
	if !ok {
		stack[0] = status(abi.Absent)
		return
	}
	i.session = nil
	i.remote("session", "set", func(ctx context.Context) (string, error) {
		err := i.plugin.opts.Sessions.ChangeAttributes(ctx, id.Realm, id.UserID, id.SessionID, func(all map[string]string) error {
			if v, there := all[name]; there != (old != nil) || v != string(old) {
				return errOther
			}
			if delete(all, name); next != nil {
				all[name] = string(next)
			}
			return nil
		})
		switch {
		case errors.Is(err, errOther):
			stack[0] = status(abi.SetOther)
			return "other", nil
		case refusedAs(err, host.NotFound):
			stack[0] = status(abi.Absent)
			return "absent", nil
		}
		stack[0] = status(abi.SetDone)
		return "ok", err
	})
}
