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

// lock keeps every other goroutine and process from changing a shard until
// unlock is called. It waits no longer than the context or LockTimeout allow:
// a process that was stopped while it held a lock must not stop the others for
// ever.
func (d *Driver) lock(ctx context.Context, shard byte) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.LockTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	turn := d.locks[shard]
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waited in vain for this process: %w", ctx.Err())
	}
	f, err := d.openLock(shard)
	if err != nil {
		<-turn
		return nil, err
	}
	release := func() {
		f.Close() // which unlocks
		<-turn
	}
	err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return release, nil
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		release()
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
			release()
			return nil, err
		}
		return release, nil
	case <-ctx.Done():
		go func() {
			<-locked
			release()
		}()
		return nil, fmt.Errorf("waited in vain for another process: %w", ctx.Err())
	}
}

// openLock opens a shard's lock file, and makes the shard if this is its first
// change.
func (d *Driver) openLock(shard byte) (*os.File, error) {
	dir := d.dir(shard)
	open := func() (*os.File, error) {
		// Open for writing because NFS locks nothing else exclusively.
		return os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	}
	f, err := open()
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := syncDir(d.root); err != nil {
		return nil, err
	}
	return open()
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
