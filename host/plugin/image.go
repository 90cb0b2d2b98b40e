package plugin

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/tetratelabs/wazero/api"
)

// An image is all that a guest can tell of its state: what its first instance
// was once it had been configured. With Options.Isolated every call begins
// with it. There is one for all instances of a plugin, so that a guest cannot
// even tell which of them it is, nor that one was made anew because of what
// another call did.
type image struct {
	memory         []byte
	globals        []uint64
	buffer, length uint32
	nano           int64
}

// take makes the image of an instance.
func (i *instance) take() *image {
	view, _ := i.memory.Read(0, i.memory.Size())
	m := &image{memory: bytes.Clone(view), buffer: i.buffer, length: i.length, nano: i.nano}
	for _, g := range i.globals {
		m.globals = append(m.globals, g.Get())
	}
	i.plugin.ledger.held.Add(int64(cap(m.memory)))
	return m
}

// become makes an instance that was only instantiated what the image shows.
func (i *instance) become(m *image) error {
	if missing := len(m.memory) - int(i.memory.Size()); missing > 0 {
		i.memory.Grow(uint32(missing / pageSize))
	}
	i.buffer, i.length = m.buffer, m.length
	if !i.restore(m) {
		return fmt.Errorf("isolation: the memory has %d bytes at the start, that of the first instance had %d", i.memory.Size(), len(m.memory))
	}
	return nil
}

// restore undoes whatever calls have changed. It says whether it could: memory
// does not shrink.
func (i *instance) restore(m *image) bool {
	view, _ := i.memory.Read(0, i.memory.Size())
	if len(view) != len(m.memory) {
		return false
	}
	copy(view, m.memory)
	for n, g := range i.globals {
		g.Set(m.globals[n])
	}
	i.nano = m.nano
	return true
}

// exposedGlobals finds what [exposed] has exported.
func (i *instance) exposedGlobals() {
	for n := range i.plugin.globals {
		i.globals = append(i.globals, i.module.ExportedGlobal(globalExport+strconv.Itoa(n)).(api.MutableGlobal))
	}
}
