package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// turn is held by the goroutine of this process that has a directory's lock.
type turn chan struct{}

// lock is a directory's lock, held.
type lock struct {
	f    *os.File
	turn turn
}

func (l *lock) unlock() {
	l.f.Close() // which unlocks
	<-l.turn
}

// lock keeps every other goroutine and process from changing a directory until
// unlock is called. It waits no longer than the context or LockTimeout allow:
// a process that was stopped while it held a lock must not stop the others for
// ever.
func (d *Driver) lock(ctx context.Context, turn turn, dir string) (*lock, error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.LockTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waited in vain for this process: %w", ctx.Err())
	}
	f, err := openLock(dir)
	if err != nil {
		<-turn
		return nil, err
	}
	l := &lock{f: f, turn: turn}
	err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		l.unlock()
		return nil, err
	}
	// Held by another process. The kernel queues us, which no context can end,
	// so one goroutine waits there; while it does, it keeps this process's turn,
	// so that a lock never held up has one such goroutine and no more.
	locked := make(chan error, 1)
	go func() { locked <- flock(f, unix.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			l.unlock()
			return nil, err
		}
		return l, nil
	case <-ctx.Done():
		go func() {
			<-locked
			l.unlock()
		}()
		return nil, fmt.Errorf("waited in vain for another process: %w", ctx.Err())
	}
}

// openLock opens a directory's lock file, and makes the directory, though not
// the one above it, if this is its first change.
func openLock(dir string) (*os.File, error) {
	open := func() (*os.File, error) {
		// Open for writing because NFS locks nothing else exclusively.
		return os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	}
	f, err := open()
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := mkdir(dir); err != nil {
		return nil, err
	}
	return open()
}

// mkdir makes a directory that is there after a crash, unless it is there.
func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// flock is the system call, begun again when a signal interrupts it.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
