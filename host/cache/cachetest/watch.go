package cachetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// patience is how long the suite waits for what must come, in a driver's own
// time.
const patience = time.Minute

// observer is one running Watch.
type observer struct {
	mu    sync.Mutex
	told  map[string]int
	ended chan error
	stop  context.CancelFunc
}

// observe starts a watch and waits until it is ready. also is called with each
// slot that is told of.
func observe(t *testing.T, d cache.Driver, also func(slot string)) *observer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &observer{told: map[string]int{}, ended: make(chan error, 1), stop: cancel}
	ready := make(chan struct{})
	go func() {
		o.ended <- d.Watch(ctx, func() { close(ready) }, func(slot string) {
			o.mu.Lock()
			o.told[slot]++
			o.mu.Unlock()
			if also != nil {
				also(slot)
			}
		})
	}()
	t.Cleanup(func() { // before the driver is closed
		cancel()
		select {
		case <-o.ended:
		case <-time.After(patience):
			t.Error("Watch does not end with its context")
		}
	})
	select {
	case <-ready:
	case err := <-o.ended:
		o.ended <- err
		t.Fatalf("Watch ended before it was ready: %v", err)
	case <-time.After(patience):
		t.Fatal("Watch was never ready")
	}
	return o
}

func (o *observer) count(slot string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told[slot]
}

// mustTell makes a change, and waits until it is told of.
func (o *observer) mustTell(t *testing.T, slot, what string, do func()) {
	t.Helper()
	before := o.count(slot)
	do()
	eventually(t, what+" is told", func() bool { return o.count(slot) > before })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func watch(t *testing.T, s Store) {
	put(t, s, s.A, "slot", map[string][]byte{"a": []byte("1")})
	put(t, s, s.A, "quiet", map[string][]byte{"a": []byte("1")})
	soon := s.Now().Add(time.Hour)
	o := observe(t, s.B, nil)
	for name, d := range map[string]cache.Driver{"another handle": s.A, "its own handle": s.B} {
		o.mustTell(t, "slot", "a put by "+name, func() { put(t, s, d, "slot", map[string][]byte{"a": []byte("2")}) })
		o.mustTell(t, "slot", "an addition by "+name, func() {
			if _, err := d.Add(t.Context(), "slot", "n", 1, soon); err != nil {
				t.Fatal(err)
			}
		})
		o.mustTell(t, "slot", "a delete by "+name, func() { change(t, d, "slot", cache.Change{Delete: []string{"a"}}, true) })
		o.mustTell(t, "slot", "the last delete by "+name, func() { change(t, d, "slot", cache.Change{Delete: []string{"n"}}, true) })
	}
	for _, slot := range []string{"a", "../a", "a\x00\n", "{a}", "\xff\xfe", "}{", string(make([]byte, 5000))} {
		o.mustTell(t, slot, fmt.Sprintf("slot %.20q", slot), func() { put(t, s, s.A, slot, map[string][]byte{"a": {}}) })
	}
	// Reads, and what was refused, change nothing. A change from before the
	// watch may still be told.
	const times = 30
	for range times {
		get(t, s.A, "quiet", "a")
		change(t, s.A, "quiet", cache.Change{If: []cache.Field{{Name: "a"}}, Delete: []string{"a"}}, false)
	}
	o.mustTell(t, "last", "the last change", func() { put(t, s, s.A, "last", map[string][]byte{"a": {}}) })
	if n := o.count("quiet"); n > times/2 {
		t.Errorf("a slot that nobody changed was told of %d times", n)
	}
}

func watchEnds(t *testing.T, s Store) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.A.Watch(ended, func() {}, func(string) {}); err == nil {
		t.Error("Watch under a context that has ended returns without error")
	}
	one, other := observe(t, s.A, nil), observe(t, s.A, nil)
	one.stop()
	select {
	case err := <-one.ended:
		if err == nil {
			t.Error("Watch returned without error")
		}
		one.ended <- err
	case <-time.After(patience):
		t.Fatal("Watch does not end with its context")
	}
	other.mustTell(t, "slot", "a change", func() { put(t, s, s.B, "slot", map[string][]byte{"a": {}}) })
	if one.count("slot") != 0 {
		t.Error("a watch that has ended still tells")
	}
}

// watchInterrupted proves that a watch which was cut off says so instead of
// going on by itself, and that another one can be begun.
func watchInterrupted(t *testing.T, s Store) {
	if s.Interrupt == nil {
		return
	}
	o := observe(t, s.B, nil)
	o.mustTell(t, "slot", "a change", func() { put(t, s, s.A, "slot", map[string][]byte{"a": {}}) })
	s.Interrupt()
	select {
	case err := <-o.ended:
		if err == nil {
			t.Error("an interrupted Watch returned without error")
		}
		o.ended <- err
	case <-time.After(patience):
		t.Fatal("an interrupted Watch goes on")
	}
	o = observe(t, s.B, nil)
	o.mustTell(t, "slot", "a change after the interruption", func() { put(t, s, s.A, "slot", map[string][]byte{"a": {}}) })
}
