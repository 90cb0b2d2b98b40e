package plugin

import (
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// A ledger counts the bytes that the linear memories of a plugin take, and its
// image, if it has one. It counts what is held, not what guests were given:
// the engine's own memories grow as slices do, past the limit by a quarter.
type ledger struct{ held atomic.Int64 }

// linear is the memory of one instance. The engine bounds its size, linear
// what is kept in reserve for it to grow into.
type linear struct {
	ledger *ledger
	bytes  []byte
	most   uint64
}

// Allocate is called by the engine once for an instance.
func (l *linear) Allocate(_, most uint64) experimental.LinearMemory {
	l.most = most
	return l
}

// Reallocate returns the memory with another size.
func (l *linear) Reallocate(size uint64) []byte {
	if size > l.most {
		return nil
	}
	if had := uint64(cap(l.bytes)); size > had {
		// A guest that grows by a page at a time is not copied each time.
		room := min(max(size, had+had/4), l.most)
		grown := make([]byte, size, room)
		copy(grown, l.bytes)
		l.bytes = grown
		l.ledger.held.Add(int64(room - had))
	}
	l.bytes = l.bytes[:size]
	return l.bytes
}

// Free gives the memory up. It may be called again.
func (l *linear) Free() {
	l.ledger.held.Add(-int64(cap(l.bytes)))
	l.bytes = nil
}
