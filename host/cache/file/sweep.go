package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// sweeper is where the sweep stands: it goes round the shards, a few files at
// a time, and takes up where it left off.
type sweeper struct {
	mu    sync.Mutex
	shard byte
	dir   *os.File // being read; nil between two shards
}

// turnWithin is how long the sweeper waits for a shard that is in use.
const turnWithin = 20 * time.Millisecond

// Run sweeps until ctx ends, every SweepInterval. Any number of processes may
// sweep one store.
func (d *Driver) Run(ctx context.Context) error {
	defer func() {
		d.sweep.mu.Lock()
		defer d.sweep.mu.Unlock()
		d.sweep.leave()
	}()
	tick := time.NewTicker(d.o.SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		removed, err := d.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			d.o.Logger.LogAttrs(ctx, slog.LevelError, "cache sweep", slog.Int("removed", removed), slog.Any("error", err))
		}
	}
}

// Sweep makes one pass: it looks at SweepRows files at most and stops after
// SweepTime, removes slots that have expired and files that a killed process
// left half-written, and says how many. What it cannot read it leaves alone
// and reports.
func (d *Driver) Sweep(ctx context.Context) (removed int, err error) {
	s := &d.sweep
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	began := time.Now() // how long this takes is no matter of the slots' clock
	for rows := 0; rows < d.o.SweepRows && time.Since(began) < d.o.SweepTime && ctx.Err() == nil; {
		names, done, err := s.next(d, min(64, d.o.SweepRows-rows))
		if err != nil {
			problems = append(problems, err)
		}
		rows += len(names)
		n, err := d.sweepFiles(ctx, s.shard, names)
		removed += n
		if err != nil {
			problems = append(problems, err)
		}
		if done {
			s.leave()
			if s.shard++; s.shard == 0 { // once round
				break
			}
		}
	}
	return removed, errors.Join(problems...)
}

// next lists up to n more files of the current shard; done says that there are
// none left.
func (s *sweeper) next(d *Driver, n int) (names []string, done bool, err error) {
	if s.dir == nil {
		s.dir, err = os.Open(d.dir(s.shard))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, true, nil
		}
		if err != nil {
			return nil, true, err
		}
	}
	names, err = s.dir.Readdirnames(n)
	if errors.Is(err, io.EOF) {
		return names, true, nil
	}
	return names, err != nil, err
}

func (s *sweeper) leave() {
	if s.dir != nil {
		s.dir.Close()
		s.dir = nil
	}
}

// sweepFiles removes what is dead among some files of one shard. Only when
// something looks dead does it take the shard's lock and look again: nobody
// writes then, so a half-written file is nobody's.
func (d *Driver) sweepFiles(ctx context.Context, shard byte, names []string) (removed int, err error) {
	var dead []string
	var problems []error
	for _, name := range names {
		ok, err := d.dead(shard, name)
		if err != nil {
			problems = append(problems, err)
		}
		if ok {
			dead = append(dead, name)
		}
	}
	if len(dead) == 0 {
		return 0, errors.Join(problems...)
	}
	waiting, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	l, err := d.lockShard(waiting, shard)
	if err != nil {
		return 0, errors.Join(problems...) // busy: the next round will do
	}
	defer l.unlock()
	for _, name := range dead {
		if ok, _ := d.dead(shard, name); !ok {
			continue
		}
		if err := os.Remove(filepath.Join(d.dir(shard), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(problems...)
}

// dead says whether a file holds an expired slot or was left half-written.
func (d *Driver) dead(shard byte, name string) (bool, error) {
	if strings.HasPrefix(name, newPrefix) {
		return true, nil
	}
	if name == lockFile {
		return false, nil
	}
	r, err := d.read(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		if _, own := d.place(string(r.Slot)); own != name {
			err = errOtherSlot
		}
	}
	if err != nil {
		return false, fmt.Errorf("slot %s: %w", name, err)
	}
	return r.Expires <= d.o.Now().UnixMilli(), nil
}
