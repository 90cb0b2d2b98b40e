package cachetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

func list(t *testing.T, s Store) {
	wantSlots(t, s.A)
	slots := []string{"a", "A", "a/b", "../a", "a\x00b", ".", "{a}", "}{", "{}", "*", "a\n", "\xff\xfe", "due:{01}", "changed", strings.Repeat("k", 5000)}
	for i := range 60 {
		slots = append(slots, fmt.Sprint("slot ", i))
	}
	for i, slot := range slots {
		if i%2 == 0 {
			put(t, s, s.A, slot, map[string][]byte{"x": {}})
		} else {
			mustAdd(t, s.B, slot, "n", 1, 1, s.Now().Add(time.Hour))
		}
	}
	putDue(t, s.A, 1, "no slot", moment(0))
	wantSlots(t, s.B, slots...)
	for _, slot := range slots[:30] {
		change(t, s.A, slot, cache.Change{Delete: []string{"x", "n"}}, true)
	}
	wantSlots(t, s.B, slots[30:]...)
	if got, _, err := s.A.List(t.Context(), "\xff no page \x00", 10); err == nil && len(got) > 0 && !slices.Contains(slots, got[0]) {
		t.Errorf("List from nowhere = %q", got)
	}
}

func listExpiry(t *testing.T, s Store) {
	for i := range 20 {
		mustAdd(t, s.A, fmt.Sprint("short ", i), "n", 1, 1, s.Now().Add(step))
	}
	put(t, s, s.A, "long", map[string][]byte{"x": {}})
	s.Pass(step + step/2)
	wantSlots(t, s.B, "long")
}

// hammerList lists while slots come and go: those that stay are all there.
func hammerList(t *testing.T, s Store) {
	var lasting []string
	for i := range 40 {
		lasting = append(lasting, fmt.Sprint("lasting ", i))
		put(t, s, s.A, lasting[i], map[string][]byte{"a": {}})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer func() { close(stop); wg.Wait() }()
	for g := range hammers / 2 {
		d := s.handle(g)
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				slot := fmt.Sprint("passing ", g, " ", i%50)
				put(t, s, d, slot, map[string][]byte{"a": {}})
				if i%100 >= 50 { // first many come, then they go
					change(t, d, slot, cache.Change{Delete: []string{"a"}}, true)
				}
			}
		})
	}
	for _, most := range []int{3, 7, 20, 1000} {
		listed := map[string]bool{}
		for _, slot := range pages(t, s, most) {
			listed[slot] = true
		}
		for _, slot := range lasting {
			if !listed[slot] {
				t.Errorf("by pages of %d, %q is not listed", most, slot)
			}
		}
	}
}

// pages lists every slot, through one handle after the other.
func pages(t *testing.T, s Store, most int) (slots []string) {
	t.Helper()
	next := ""
	for page := 0; ; page++ {
		got, following, err := s.handle(page).List(t.Context(), next, most)
		if err != nil {
			t.Fatalf("List from %q: %v", next, err)
		}
		if len(got) > most {
			t.Errorf("List of %d at most = %d", most, len(got))
		}
		slots = append(slots, got...)
		if following == "" {
			return slots
		}
		if page > 20000 {
			t.Fatal("the list does not end")
		}
		next = following
	}
}

func wantSlots(t *testing.T, d cache.Driver, want ...string) {
	t.Helper()
	slices.Sort(want)
	for _, most := range []int{1, 7, 1000} {
		got := pages(t, Store{A: d, B: d}, most)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("by pages of %d, %d slots are listed: %.300q, want %d: %.300q", most, len(got), got, len(want), want)
		}
	}
}
