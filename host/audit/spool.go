package audit

import (
	"context"
	"io"
	"sync"
	"time"
)

// maxSpool bounds, in bytes, what a Spool holds before who writes must wait.
const maxSpool = 1 << 20

// gather is how long a line waits for others.
const gather = time.Millisecond

// Spool is a writer for a log's lines that a request does not wait for. While
// Run runs, it hands on with one write what comes within a millisecond; before
// and after, each line at once. No line is dropped, and their order is kept.
// When the process is killed, the lines of the last millisecond are lost, as
// those of the requests under way are.
//
// All methods may be called by several goroutines at once.
type Spool struct {
	to    io.Writer
	added chan struct{} // holds one while there is something to hand on

	handing sync.Mutex // held while lines are handed on; taken before mu
	spare   []byte

	mu      sync.Mutex
	lines   []byte
	running bool
}

// NewSpool returns a Spool in front of a writer.
func NewSpool(to io.Writer) *Spool {
	return &Spool{to: to, added: make(chan struct{}, 1)}
}

// Write implements io.Writer. It never fails: nobody can be told that the log
// cannot be written.
func (s *Spool) Write(line []byte) (int, error) {
	s.mu.Lock()
	s.lines = append(s.lines, line...)
	wait := !s.running || len(s.lines) >= maxSpool
	s.mu.Unlock()
	if wait {
		s.handOn()
		return len(line), nil
	}
	select {
	case s.added <- struct{}{}:
	default:
	}
	return len(line), nil
}

// Run hands lines on until ctx ends and then what is left. It is called once.
func (s *Spool) Run(ctx context.Context) {
	s.run(true)
	for {
		select {
		case <-ctx.Done():
			s.run(false)
			s.handOn()
			return
		case <-s.added:
			time.Sleep(gather)
			s.handOn()
		}
	}
}

func (s *Spool) run(on bool) {
	s.mu.Lock()
	s.running = on
	s.mu.Unlock()
}

func (s *Spool) handOn() {
	s.handing.Lock()
	defer s.handing.Unlock()
	s.mu.Lock()
	lines := s.lines
	s.lines = s.spare[:0]
	s.mu.Unlock()
	if s.spare = lines; len(lines) > 0 {
		_, _ = s.to.Write(lines) // the log is where a failure would be told
	}
}
