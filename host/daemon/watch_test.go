package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// settle polls often enough for any change to be noticed, with the clock past
// the racy window where asked.
func settle(w *watcher) []string {
	var all []string
	for range 4 {
		all = append(all, w.poll()...)
	}
	return all
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatcherReportsContentOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w := watcher{now: time.Now}
	w.watch([]string{path})
	if got := settle(&w); got != nil {
		t.Fatalf("a missing file was reported: %v", got)
	}
	write(t, path, "one")
	if got := settle(&w); !slices.Equal(got, []string{path}) {
		t.Fatalf("new: %v", got)
	}
	write(t, path, "one")
	if got := settle(&w); got != nil {
		t.Fatalf("same content: %v", got)
	}
	write(t, path, "two")
	if got := settle(&w); !slices.Equal(got, []string{path}) {
		t.Fatalf("changed: %v", got)
	}
	w.applied(path, []byte("three"))
	write(t, path, "three")
	if got := settle(&w); got != nil {
		t.Fatalf("content that was applied already: %v", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := settle(&w); got != nil {
		t.Fatalf("removed: %v", got)
	}
	for _, content := range []string{"", "three"} {
		w.applied(path, nil) // somebody saw that it is not there
		write(t, path, content)
		if got := settle(&w); !slices.Equal(got, []string{path}) {
			t.Fatalf("%q is there again: %v", content, got)
		}
	}
}

func TestWatcherWaitsUntilAFileStandsStill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w := watcher{now: time.Now}
	w.watch([]string{path})
	for i := range 5 {
		write(t, path, "half-written"[:i+4])
		if got := w.poll(); got != nil {
			t.Fatalf("reported while it grows: %v", got)
		}
	}
	if got := w.poll(); !slices.Equal(got, []string{path}) {
		t.Fatalf("at rest: %v", got)
	}
}

// Two contents of one length within one tick of the file system's clock look
// the same to stat.
func TestWatcherReadsAFreshFileAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	now := time.Now()
	w := watcher{now: func() time.Time { return now }}
	w.watch([]string{path})
	write(t, path, "aaa")
	stamp := now.Add(-time.Millisecond)
	if err := os.Chtimes(path, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if got := settle(&w); len(got) != 1 {
		t.Fatalf("new: %v", got)
	}
	write(t, path, "bbb")
	if err := os.Chtimes(path, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if got := settle(&w); len(got) != 1 {
		t.Fatalf("rewritten within a tick: %v", got)
	}
	now = now.Add(racy)
	settle(&w)
	if w.files[path].pending {
		t.Error("an old file is still read at every poll")
	}
}

func TestWatcherFollowsASymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "f"), version)
	}
	swap := func(version string) {
		t.Helper()
		if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("v1")
	if err := os.Symlink(filepath.Join("..data", "f"), filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	w := watcher{now: time.Now}
	w.watch([]string{filepath.Join(dir, "f")})
	if got := settle(&w); len(got) != 1 {
		t.Fatalf("first: %v", got)
	}
	swap("v2")
	if got := settle(&w); len(got) != 1 {
		t.Fatalf("swapped: %v", got)
	}
}
