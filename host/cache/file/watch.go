package file

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// poll is how often a watch looks at the journal: one stat, if nothing was
	// changed.
	poll = 25 * time.Millisecond
	// settle is how often it looks for changes whose process was killed before
	// it told of them: one stat a shard.
	settle = time.Second
)

var errInterrupted = errors.New("the journal is not the one that was read")

// Watch implements cache.Driver, by reading the journal. It is interrupted when
// the journal was put away or has gone on for too long without being read.
func (d *Driver) Watch(ctx context.Context, ready func(), changed func(slot string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := d.journal.read(ctx, d)
	if err != nil {
		return fmt.Errorf("cache file: watch: %w", err)
	}
	defer func() { r.f.Close() }()
	ready()
	look, unfinished := time.NewTicker(poll), time.NewTicker(settle)
	defer look.Stop()
	defer unfinished.Stop()
	var before [shards]bool
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			if err := r.all(changed); err != nil {
				return fmt.Errorf("cache file: watch: %w", err)
			}
		case <-unfinished.C:
			d.settle(ctx, &before)
		}
	}
}

// reader is how far a watch has read the journal.
type reader struct {
	j      *journal
	n      uint64
	f      *os.File
	offset int64
}

// read begins to read at the journal's end.
func (j *journal) read(ctx context.Context, d *Driver) (*reader, error) {
	l, err := d.lock(ctx, j.turn, j.dir)
	if err != nil {
		return nil, err
	}
	defer l.unlock()
	r := &reader{j: j}
	if r.n, err = j.newest(); err != nil {
		return nil, err
	}
	if r.n == 0 {
		j.last = 0
		if err := j.follow(); err != nil {
			return nil, err
		}
		r.n = j.last
	}
	if r.f, err = os.Open(j.path(r.n)); err != nil {
		return nil, err
	}
	info, err := r.f.Stat()
	if err != nil {
		r.f.Close()
		return nil, err
	}
	r.offset = info.Size()
	return r, nil
}

// all tells what was appended since it was called before.
func (r *reader) all(changed func(slot string)) error {
	for {
		size, err := r.size()
		if err != nil {
			return err
		}
		if err := r.lines(size, changed); err != nil {
			return err
		}
		if size < journalFull {
			return nil
		}
		more, err := r.next()
		if err != nil || !more {
			return err
		}
	}
}

// size is how long the file is now, provided that it is still the one that the
// others append to.
func (r *reader) size() (int64, error) {
	now, err := os.Stat(r.j.path(r.n))
	if err != nil {
		return 0, err
	}
	then, err := r.f.Stat()
	if err != nil {
		return 0, err
	}
	if !os.SameFile(now, then) || now.Size() < r.offset {
		return 0, errInterrupted
	}
	return now.Size(), nil
}

// lines tells what whole lines there are up to size.
func (r *reader) lines(size int64, changed func(slot string)) error {
	if size == r.offset {
		return nil
	}
	b := make([]byte, size-r.offset)
	if _, err := r.f.ReadAt(b, r.offset); err != nil {
		return err
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	r.offset += int64(end)
	for line := range bytes.Lines(b[:end]) {
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) == 0 {
			continue
		}
		slot, err := base64.RawStdEncoding.AppendDecode(nil, line)
		if err != nil {
			return fmt.Errorf("a line of the journal is torn: %w", err)
		}
		changed(string(slot))
	}
	return nil
}

// next goes on to the file after one that is full, if there is one.
func (r *reader) next() (more bool, err error) {
	f, err := os.Open(r.j.path(r.n + 1))
	if errors.Is(err, fs.ErrNotExist) {
		newest, err := r.j.newest()
		if err == nil && newest != r.n && newest != r.n+1 {
			err = errInterrupted
		}
		return false, err
	}
	if err != nil {
		return false, err
	}
	r.f.Close()
	r.f, r.n, r.offset = f, r.n+1, 0
	return true, nil
}

// settle has told what a killed process could not. before holds which shards
// had something to tell the last time: what comes and goes is being told.
func (d *Driver) settle(ctx context.Context, before *[shards]bool) {
	for shard := range before {
		info, err := os.Stat(filepath.Join(d.dir(byte(shard)), lockFile))
		untold := err == nil && info.Size() > 0
		if untold && before[shard] {
			waiting, cancel := context.WithTimeout(ctx, turnWithin)
			if l, err := d.lockShard(waiting, byte(shard)); err == nil {
				l.unlock()
			}
			cancel()
		}
		before[shard] = untold
	}
}
