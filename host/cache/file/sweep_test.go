package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/file"
)

// holdLock locks a file as another process would: by an open file of its own.
func holdLock(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func() { f.Close() }
}

// The sweeper goes by the stored deadline, whatever the file system says.
func TestSweep(t *testing.T) {
	clock, dir := cachetest.NewClock(start), t.TempDir()
	d := open(t, file.Options{Dir: dir, Now: clock.Now, SweepRows: 10, SweepTime: time.Hour})
	const dead, live = 40, 25
	for i := range dead {
		put(t, d, fmt.Sprint("dead ", i), "x", clock.Now().Add(time.Minute))
		fresh := time.Now().Add(24 * time.Hour)
		if err := os.Chtimes(pathOf(dir, fmt.Sprint("dead ", i)), fresh, fresh); err != nil {
			t.Fatal(err)
		}
	}
	for i := range live {
		put(t, d, fmt.Sprint("live ", i), "x", clock.Now().Add(time.Hour))
		stale := time.Unix(0, 0)
		if err := os.Chtimes(pathOf(dir, fmt.Sprint("live ", i)), stale, stale); err != nil {
			t.Fatal(err)
		}
	}
	leftover := filepath.Join(filepath.Dir(pathOf(dir, "live 0")), "new-dead")
	if err := os.WriteFile(leftover, []byte("authhost slo"), 0o600); err != nil {
		t.Fatal(err)
	}
	sweepRound := func() (total int) {
		for range 100 {
			n, err := d.Sweep(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n > 10 {
				t.Fatalf("one pass removed %d, more than the 10 it may look at", n)
			}
			total += n
		}
		return total
	}
	if n := sweepRound(); n != 1 {
		t.Errorf("before anything expired, %d files were removed, want the leftover alone", n)
	}
	clock.Pass(time.Minute)
	if n := sweepRound(); n != dead {
		t.Errorf("%d files were removed, want %d", n, dead)
	}
	if names := filesBelow(t, dir); len(names) != live {
		t.Errorf("%d files are left, want %d", len(names), live)
	}
	for i := range live {
		if v, err := d.Get(t.Context(), fmt.Sprint("live ", i), "a"); err != nil || string(v[0]) != "x" {
			t.Errorf("live %d = %q, %v", i, v, err)
		}
	}
}

// What somebody is writing at the moment is not the sweeper's to remove.
func TestSweepLeavesABusyShard(t *testing.T) {
	clock, dir := cachetest.NewClock(start), t.TempDir()
	d := open(t, file.Options{Dir: dir, Now: clock.Now})
	put(t, d, "slot", "x", clock.Now().Add(time.Hour))
	shard := filepath.Dir(pathOf(dir, "slot"))
	writing := filepath.Join(shard, "new-1")
	if err := os.WriteFile(writing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	release := holdLock(t, filepath.Join(shard, "lock"))
	if n, err := d.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep of a busy shard = %d, %v", n, err)
	}
	if _, err := os.Stat(writing); err != nil {
		t.Errorf("what is being written was removed: %v", err)
	}
	release()
	removed := 0
	for deadline := time.Now().Add(time.Minute); removed == 0 && time.Now().Before(deadline); {
		n, err := d.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		removed += n
	}
	if names := filesBelow(t, dir); len(names) != 1 || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "new-") }) {
		t.Errorf("files %q are left, want the slot", names)
	}
}

// A slot may be made anew between the sweeper's first look and its having the
// lock: what it removes is what it finds dead then.
func TestSweepLooksAgain(t *testing.T) {
	var looks atomic.Int32
	d := open(t, file.Options{Dir: t.TempDir(), SweepTime: time.Hour, Now: func() time.Time {
		if looks.Add(1) == 1 {
			return start.Add(time.Hour) // the slot has expired
		}
		return start // it has not
	}})
	put(t, d, "slot", "x", start.Add(time.Minute))
	looks.Store(0)
	if n, err := d.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep = %d, %v", n, err)
	}
	if looks.Load() != 2 {
		t.Errorf("%d looks", looks.Load())
	}
	if v, err := d.Get(t.Context(), "slot", "a"); err != nil || string(v[0]) != "x" {
		t.Errorf("Get = %q, %v", v, err)
	}
}

func TestRunSweepsUntilItsContextEnds(t *testing.T) {
	clock, dir := cachetest.NewClock(start), t.TempDir()
	d := open(t, file.Options{Dir: dir, Now: clock.Now, SweepInterval: time.Millisecond})
	put(t, d, "slot", "x", clock.Now().Add(time.Minute))
	clock.Pass(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for len(filesBelow(t, dir)) > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if len(filesBelow(t, dir)) > 0 {
		t.Error("the expired slot was not removed")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}
