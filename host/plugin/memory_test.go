package plugin

import "testing"

// A memory that grows by a page at a time holds no more than its limit, is
// seldom copied, and keeps what is in it.
func TestLinear(t *testing.T) {
	const most = 100 * pageSize
	var l ledger
	m := &linear{ledger: &l}
	m.Allocate(0, most)
	copies, before := 0, m.Reallocate(pageSize)
	before[7] = 7
	for size := uint64(2 * pageSize); size <= most; size += pageSize {
		now := m.Reallocate(size)
		if uint64(len(now)) != size || now[7] != 7 || now[size-1] != 0 {
			t.Fatalf("%d bytes of %d, or not what was in them", len(now), size)
		}
		if &now[0] != &before[0] {
			copies++
		}
		if before = now; l.held.Load() > most || l.held.Load() < int64(size) {
			t.Fatalf("%d bytes are held for %d of %d", l.held.Load(), size, most)
		}
	}
	if copies > 25 {
		t.Errorf("it was copied %d times", copies)
	}
	if m.Reallocate(most+pageSize) != nil || l.held.Load() != most {
		t.Errorf("past its limit %d bytes are held", l.held.Load())
	}
	for range 2 {
		if m.Free(); l.held.Load() != 0 {
			t.Errorf("%d bytes are held by nobody", l.held.Load())
		}
	}
}
