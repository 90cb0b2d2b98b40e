package file_test

import (
	"bytes"
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
)

// readAll reads every slot and every entry of the due-lists, as `authhost cache
// check` does right after the kill: there are those that were acknowledged, and
// each can be read.
func readAll(t *testing.T, d *file.Driver, slots []string, due map[string]bool) {
	t.Helper()
	found := map[string]bool{}
	for next, more := "", true; more; more = next != "" {
		page, following, err := d.List(t.Context(), next, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, slot := range page {
			if _, err := d.All(t.Context(), slot); err != nil {
				t.Error(err)
			}
			found[slot] = true
		}
		next = following
	}
	listed := map[string]bool{}
	for list := range cache.DueLists {
		for next, more := "", true; more; more = next != "" {
			page, following, err := d.ListDue(t.Context(), list, next)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				listed[m.Name] = true
			}
			next = following
		}
	}
	for member := range due {
		if !listed[member] {
			t.Errorf("%s was put on the list and is not listed", member)
		}
	}
	for _, slot := range slots {
		if slot != "sum" && !found[slot] { // which is a field of a slot's
			t.Errorf("%s was written and is not listed", slot)
		}
	}
}

// checkDue gives out all that was put: what was acknowledged is among it.
func checkDue(t *testing.T, d *file.Driver, acknowledged map[string]bool, now, until time.Time) {
	t.Helper()
	got, err := d.LeaseDue(t.Context(), 0, now, until, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, member := range got {
		there[member] = true
	}
	for member := range acknowledged {
		if !there[member] {
			t.Errorf("%s was put on the list and is not given out", member)
		}
	}
}

// mirror holds what slots held when they were last told of.
type mirror struct {
	mu     sync.Mutex
	states map[string][]byte
}

func (m *mirror) read(t *testing.T, d *file.Driver, slot string) {
	v, err := d.Get(context.Background(), slot, "n")
	if err != nil {
		t.Error(err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states == nil {
		m.states = map[string][]byte{}
	}
	m.states[slot] = v[0]
}

func (m *mirror) holds(t *testing.T, d *file.Driver, slot string) bool {
	v, err := d.Get(t.Context(), slot, "n")
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Equal(m.states[slot], v[0])
}
