package file

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// journal is where changes are told: numbered files of lines, one for each
// change, to which every process appends while it holds the directory's lock.
// A file that is full is followed by the next; old ones go. What is lost here
// in a power cut nobody was left to hear.
type journal struct {
	dir  string
	turn turn
	last uint64 // file that was appended to last; whoever has the turn may touch it
}

const (
	journalFull = 1 << 20 // bytes from which on a file is full
	journalKept = 4       // files
)

func (j *journal) path(n uint64) string { return filepath.Join(j.dir, strconv.FormatUint(n, 10)) }

// newest is the number of the file that is appended to, 0 if there is none.
func (j *journal) newest() (newest uint64, err error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	return newest, nil
}

// append adds a line. The journal is locked.
func (j *journal) append(slot string) error {
	for {
		f, err := os.OpenFile(j.path(j.last), os.O_WRONLY|os.O_APPEND, 0)
		if errors.Is(err, fs.ErrNotExist) {
			if j.last, err = j.newest(); err == nil && j.last == 0 {
				err = j.follow()
			}
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		info, err := f.Stat()
		full := err == nil && info.Size() >= journalFull
		if err == nil && !full {
			// The first newline ends what a killed process left unfinished.
			_, err = f.WriteString("\n" + base64.RawStdEncoding.EncodeToString([]byte(slot)) + "\n")
		}
		if closed := f.Close(); err == nil { // from which on other hosts see it
			err = closed
		}
		if err != nil || !full {
			return err
		}
		if err := j.follow(); err != nil {
			return err
		}
	}
}

// follow begins the next file, unless somebody has, and removes an old one.
func (j *journal) follow() error {
	j.last++
	f, err := os.OpenFile(j.path(j.last), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if j.last > journalKept {
		if err := os.Remove(j.path(j.last - journalKept)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.Close()
			return err
		}
	}
	return f.Close()
}

// tell tells of a change that was made, whatever has become of the caller's
// patience.
func (d *Driver) tell(l *lock, slot string) error {
	j, err := d.lock(context.Background(), d.journal.turn, d.journal.dir)
	if err != nil {
		return fmt.Errorf("lock of the journal: %w", err)
	}
	err = d.journal.append(slot)
	j.unlock()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return l.f.Truncate(0)
}

// intend notes in the shard's lock which slot is about to be changed: if its
// process is killed before it could tell, whoever locks the shard next does.
func (l *lock) intend(slot string) error {
	_, err := l.f.WriteAt([]byte(slot), 0)
	return err
}

// lockShard locks a shard, and tells what was left untold.
func (d *Driver) lockShard(ctx context.Context, shard byte) (*lock, error) {
	l, err := d.lock(ctx, d.turns[shard], d.dir(shard))
	if err != nil {
		return nil, err
	}
	info, err := l.f.Stat()
	if err == nil && info.Size() > 0 {
		var slot []byte
		if slot, err = io.ReadAll(l.f); err == nil {
			err = d.tell(l, string(slot))
		}
	}
	if err != nil {
		l.unlock()
		return nil, err
	}
	return l, nil
}
