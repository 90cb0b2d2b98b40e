package file_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
)

// watching runs a watch until the test ends.
func watching(t *testing.T, d cache.Driver, changed func(slot string)) (ended chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	ended = make(chan error, 1)
	go func() {
		defer close(done)
		ended <- d.Watch(ctx, func() { close(ready) }, changed)
	}()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("Watch = %v", err)
	}
	return ended
}

// gather keeps what a watch tells.
type gather struct {
	mu   sync.Mutex
	told map[string]int
}

func (g *gather) changed(slot string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told == nil {
		g.told = map[string]int{}
	}
	g.told[slot]++
}

func (g *gather) count(slot string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.told[slot]
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func mustEnd(t *testing.T, ended chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an interrupted Watch returns no error")
		}
	case <-time.After(time.Minute):
		t.Error("an interrupted Watch goes on")
	}
}

// The journal goes on in a new file before one grows large, nobody misses a
// line of it, and old files go.
func TestJournalIsBounded(t *testing.T) {
	dir := t.TempDir()
	writers := []*file.Driver{open(t, file.Options{Dir: dir}), open(t, file.Options{Dir: dir})}
	var g gather
	ended := watching(t, open(t, file.Options{Dir: dir}), g.changed)
	const changes = 120
	key := func(i int) string { return fmt.Sprint(i, " ", strings.Repeat("long ", 12000)) }
	var wg sync.WaitGroup
	for w, d := range writers {
		wg.Go(func() {
			for i := w; i < changes; i += len(writers) {
				put(t, d, key(i), "1", time.Now().Add(time.Hour))
			}
		})
	}
	wg.Wait()
	for i := range changes {
		eventually(t, fmt.Sprint("change ", i, " is told"), func() bool { return g.count(key(i)) > 0 })
	}
	files, err := os.ReadDir(filepath.Join(dir, "journal"))
	if err != nil || len(files) != 4+1 {
		t.Errorf("the journal is %v, %v, want 4 files and a lock", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() > 1<<20+81000 {
			t.Errorf("%s has %d bytes, %v", f.Name(), info.Size(), err)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("Watch = %v", err)
	default:
	}
}

// A watch that was not let to read for so long that what it has not read is
// gone says so.
func TestWatchLeftBehind(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir})
	block, blocked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	ended := watching(t, open(t, file.Options{Dir: dir}), func(string) { once.Do(func() { close(blocked); <-block }) })
	put(t, d, "slot", "1", time.Now().Add(time.Hour))
	<-blocked
	for i := range 6 {
		if err := os.WriteFile(filepath.Join(dir, "journal", fmt.Sprint(i+1)), make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		put(t, d, "slot", "1", time.Now().Add(time.Hour))
	}
	close(block)
	mustEnd(t, ended)
}

func TestWatchOfAStoreThatGoes(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"everything": func(dir string) error { return os.RemoveAll(dir) },
		"journal":    func(dir string) error { return os.RemoveAll(filepath.Join(dir, "journal")) },
		"cut short":  func(dir string) error { return os.Truncate(filepath.Join(dir, "journal", "1"), 3) },
		"torn line": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "journal", "1"), []byte("\nYQ\nYQ\nYQ\nYQ\nYQ\nYQ\n!\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			d := open(t, file.Options{Dir: dir})
			put(t, d, "slot", "1", time.Now().Add(time.Hour))
			ended := watching(t, d, func(string) {})
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			mustEnd(t, ended)
			if name != "everything" { // the journal is begun anew
				var g gather
				watching(t, d, g.changed)
				put(t, d, "slot", "2", time.Now().Add(time.Hour))
				eventually(t, "a change is told", func() bool { return g.count("slot") > 0 })
			}
		})
	}
}

// A change that takes long to write is told when it can be read, not when it
// is begun.
func TestToldOnceItCanBeRead(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir})
	large := strings.Repeat("large", 2<<20)
	lengths := make(chan int, 10)
	watching(t, open(t, file.Options{Dir: dir}), func(slot string) {
		v, err := d.Get(context.Background(), slot, "a")
		if err != nil {
			t.Error(err)
		}
		lengths <- len(v[0])
	})
	put(t, d, "slot", large, time.Now().Add(time.Hour))
	if n := <-lengths; n != len(large) {
		t.Errorf("told when %d bytes of %d could be read", n, len(large))
	}
}

// A process that is killed between its change and the journal leaves a note in
// the shard's lock. Who locks the shard next tells, and a watch waits for
// nobody to do so.
func TestChangeOfAKilledProcessIsTold(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir})
	put(t, d, "slot", "1", time.Now().Add(time.Hour))
	lock := filepath.Join(filepath.Dir(pathOf(dir, "slot")), "lock")
	left := func() {
		t.Helper()
		if err := os.WriteFile(lock, []byte("slot"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var g gather
	watching(t, open(t, file.Options{Dir: dir}), g.changed)
	left()
	eventually(t, "the watch tells by itself", func() bool { return g.count("slot") == 1 })
	left()
	refused := cache.Change{If: []cache.Field{{Name: "a"}}, Delete: []string{"a"}}
	if applied, err := d.Change(t.Context(), "slot", refused); err != nil || applied {
		t.Fatalf("Change = %v, %v", applied, err)
	}
	eventually(t, "the next one tells", func() bool { return g.count("slot") == 2 })
	if info, err := os.Stat(lock); err != nil || info.Size() != 0 {
		t.Errorf("the note is still there: %d, %v", info.Size(), err)
	}

	// A line that was left unfinished spoils none after it.
	f, err := os.OpenFile(filepath.Join(dir, "journal", "1"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\nc2x"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var late gather
	watching(t, open(t, file.Options{Dir: dir}), late.changed)
	put(t, d, "slot", "2", time.Now().Add(time.Hour))
	eventually(t, "a change is told", func() bool { return g.count("slot") == 3 && late.count("slot") == 1 })
}

// While a change cannot be told, it is no change that was made: nobody is told
// that it was, and it is told once that is possible.
func TestJournalThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir, LockTimeout: 50 * time.Millisecond})
	put(t, d, "slot", "1", time.Now().Add(time.Hour))
	var g gather
	watching(t, open(t, file.Options{Dir: dir}), g.changed)
	release := holdLock(t, filepath.Join(dir, "journal", "lock"))
	c := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte("2")}}, Expires: time.Now().Add(time.Hour)}
	if applied, err := d.Change(t.Context(), "slot", c); err == nil || applied {
		t.Errorf("Change = %v without error", applied)
	}
	release()
	eventually(t, "it is told", func() bool { return g.count("slot") > 0 })
}
