package session

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"
)

// memo remembers what records decode to: a session in use is read with every
// request and changes twice an hour. It is bounded, each record displacing
// another at most, and no answer of the cache is left out: one is only decoded
// once. What it returns is shared and never changed. The zero value is not
// usable; all methods may be called by several goroutines at once.
type memo[T any] struct {
	seed maphash.Seed
	kept [memoSize]atomic.Pointer[decoded[T]]
}

const memoSize = 2048

type decoded[T any] struct {
	raw   []byte
	value *T
}

func newMemo[T any]() *memo[T] { return &memo[T]{seed: maphash.MakeSeed()} }

// decode is what decode(b) returns. b is not changed afterwards.
func (m *memo[T]) decode(b []byte, decode func([]byte) (*T, error)) (*T, error) {
	at := &m.kept[maphash.Bytes(m.seed, b)%memoSize]
	if d := at.Load(); d != nil && bytes.Equal(d.raw, b) && b != nil {
		return d.value, nil
	}
	value, err := decode(b)
	if err == nil && value != nil {
		at.Store(&decoded[T]{b, value})
	}
	return value, err
}
