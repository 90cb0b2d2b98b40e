package cachetest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/authhost/authhost/host/cache"
)

// mirror remembers what slots hold, reads anew what it is told was changed,
// and never looks by itself.
type mirror struct {
	mu     sync.Mutex
	dirty  map[string]bool
	wake   chan struct{}
	values map[string][]byte
}

func (m *mirror) changed(slot string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty[slot] = true
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// read reads what is dirty, in a round of its own so that a slot which is told
// of meanwhile is read again.
func (m *mirror) read(t *testing.T, d cache.Driver) {
	m.mu.Lock()
	dirty := m.dirty
	m.dirty = map[string]bool{}
	m.mu.Unlock()
	for slot := range dirty {
		v, err := d.Get(t.Context(), slot, "a")
		if err != nil {
			t.Errorf("Get: %v", err)
			return
		}
		m.mu.Lock()
		m.values[slot] = v[0]
		m.mu.Unlock()
	}
}

// hammerWatch changes slots from many goroutines while a mirror on each handle
// follows: in the end both hold what the slots do. A change that is told
// before it can be read, or not at all, leaves a mirror behind.
func hammerWatch(t *testing.T, s Store) {
	var slots []string
	for i := range 6 {
		slots = append(slots, fmt.Sprint("slot ", i))
	}
	stop := make(chan struct{})
	var mirrors [2]*mirror
	var readers, writers sync.WaitGroup
	defer func() { close(stop); readers.Wait() }()
	for i := range mirrors {
		m := &mirror{dirty: map[string]bool{}, wake: make(chan struct{}, 1), values: map[string][]byte{}}
		mirrors[i] = m
		observe(t, s.handle(i), m.changed)
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-m.wake:
					m.read(t, s.handle(i))
				}
			}
		})
	}
	for g := range hammers {
		d := s.handle(g)
		writers.Go(func() {
			for i := range blows {
				slot := slots[(g+i)%len(slots)]
				if i%5 == 4 {
					change(t, d, slot, cache.Change{Delete: []string{"a"}}, true)
				} else {
					put(t, s, d, slot, map[string][]byte{"a": fmt.Append(nil, g, " ", i)})
				}
			}
		})
	}
	writers.Wait()
	for i, m := range mirrors {
		for _, slot := range slots {
			holds := get(t, s.A, slot, "a")[0]
			eventually(t, fmt.Sprintf("mirror %d of %s holds %q", i, slot, holds), func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				got, known := m.values[slot]
				return known && bytes.Equal(got, holds) && (got == nil) == (holds == nil)
			})
		}
	}
}
