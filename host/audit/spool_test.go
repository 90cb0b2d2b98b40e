package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host/audit"
)

// sink is a writer that counts writes and can be made to block.
type sink struct {
	mu     sync.Mutex
	gate   sync.Mutex // held: writes block
	lines  bytes.Buffer
	writes int
}

func (s *sink) Write(p []byte) (int, error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.lines.Write(p)
}

func (s *sink) text() (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines.String(), s.writes
}

func TestSpoolBeforeAndAfterRun(t *testing.T) {
	var out sink
	spool := audit.NewSpool(&out)
	fmt.Fprintln(spool, "early")
	if text, _ := out.text(); text != "early\n" {
		t.Errorf("before Run: %q", text)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { spool.Run(ctx); close(done) }()
	fmt.Fprintln(spool, "during")
	stop()
	<-done
	fmt.Fprintln(spool, "late")
	if text, _ := out.text(); text != "early\nduring\nlate\n" {
		t.Errorf("in the end: %q", text)
	}
}

func TestSpoolKeepsEveryLineInOrder(t *testing.T) {
	const writers, each = 8, 500
	var out sink
	spool := audit.NewSpool(&out)
	ctx, stop := context.WithCancel(t.Context())
	var run, all sync.WaitGroup
	run.Go(func() { spool.Run(ctx) })
	for w := range writers {
		all.Go(func() {
			for i := range each {
				fmt.Fprintf(spool, "%d %d\n", w, i)
			}
		})
	}
	all.Wait()
	stop()
	run.Wait()
	text, _ := out.text()
	var next [writers]int
	for line := range strings.Lines(text) {
		var w, i int
		if _, err := fmt.Sscanf(line, "%d %d\n", &w, &i); err != nil || next[w] != i {
			t.Fatalf("line %q, expected number %d: %v", line, next[w], err)
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("writer %d: %d lines of %d", w, n, each)
		}
	}
}

// A slow writer is handed what came meanwhile in one piece, and what it is
// behind by is bounded.
func TestSpoolGathersAndWaits(t *testing.T) {
	const lines, bound = 4096, 1024
	var out sink
	spool := audit.NewSpool(&out)
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { spool.Run(ctx) })
	early := 0
	for { // until a line is not handed on at once
		fmt.Fprintln(spool, "early")
		early++
		if _, writes := out.text(); writes < early {
			break
		}
	}
	before, writesBefore := out.text()
	out.gate.Lock()

	line := strings.Repeat("x", 1023) + "\n"
	var written atomic.Int64
	run.Go(func() {
		for range lines {
			fmt.Fprint(spool, line)
			written.Add(1)
		}
	})
	for deadline := time.Now().Add(time.Minute); written.Load() < bound-1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%d lines were taken while none could be handed on, expected %d", written.Load(), bound-1)
			break
		}
	}
	time.Sleep(20 * time.Millisecond)
	if n := written.Load(); n > 2*bound {
		t.Errorf("%d lines were taken while none could be handed on, expected about %d", n, bound)
	}
	out.gate.Unlock()
	for written.Load() < lines {
		time.Sleep(time.Millisecond)
	}
	stop()
	run.Wait()
	text, writes := out.text()
	if got, want := len(text)-len(before), lines*len(line); got < want || got > want+len("early\n") {
		t.Errorf("%d bytes, expected %d", got, want)
	}
	if writes-writesBefore > lines/4 {
		t.Errorf("%d writes for %d lines", writes-writesBefore, lines)
	}
}
