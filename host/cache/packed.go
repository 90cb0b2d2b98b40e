package cache

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Packed is a slot's fields as drivers that keep a slot in one piece write
// them: name, value, name, value …, in the order of the names.
type Packed [][]byte

// Pack packs fields. It copies no value.
func Pack(fields map[string][]byte) Packed {
	p := make(Packed, 0, 2*len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		p = append(p, []byte(name), fields[name])
	}
	return p
}

// Check says what is wrong with fields that were read: a slot has some, and
// they are pairs without null.
func (p Packed) Check() error {
	if len(p) == 0 || len(p)%2 != 0 {
		return errors.New("the slot is damaged: its fields are not pairs")
	}
	for i, b := range p {
		if b == nil { // never an absent value
			return fmt.Errorf("the slot is damaged: item %d is null", i)
		}
	}
	return nil
}

// Get returns the value of a field, nil if it is absent.
func (p Packed) Get(name string) []byte {
	for i := 0; i < len(p); i += 2 {
		if string(p[i]) == name {
			return p[i+1]
		}
	}
	return nil
}

// All returns every field. It copies no value.
func (p Packed) All() map[string][]byte {
	m := make(map[string][]byte, len(p)/2)
	for i := 0; i < len(p); i += 2 {
		m[string(p[i])] = p[i+1]
	}
	return m
}
