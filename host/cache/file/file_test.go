package file_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/file"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

func open(t testing.TB, o file.Options) *file.Driver {
	t.Helper()
	d, err := file.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t testing.TB, d cache.Driver, slot, value string, expires time.Time) {
	t.Helper()
	c := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte(value)}}, Expires: expires}
	if _, err := d.Change(t.Context(), slot, c); err != nil {
		t.Fatal(err)
	}
}

func pathOf(dir, slot string) string {
	sum := sha256.Sum256([]byte(slot))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(dir, "slots", name[:2], name)
}

// filesBelow lists every file of the slots that is not a lock or the format.
func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "slots"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "lock" && e.Name() != "format" {
			names = append(names, e.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// restoreJournal puts a copy in the place of the journal's first file, as who
// restores a directory does.
func restoreJournal(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "journal", "1")
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path+".copy", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".copy", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	cachetest.Run(t, func(t *testing.T) cachetest.Store {
		clock := cachetest.NewClock(start)
		dir := t.TempDir()
		o := file.Options{Dir: dir, Now: clock.Now, LockTimeout: time.Minute}
		return cachetest.Store{A: open(t, o), B: open(t, o),
			Now: clock.Now, Pass: clock.Pass, Interrupt: func() { restoreJournal(t, dir) }}
	})
}

// A presented id is never a file name: whatever it looks like, it is read and
// written inside the store, under a name made of hexadecimal digits.
func TestAttack33_key_as_file_name(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "cache")
	d := open(t, file.Options{Dir: dir})
	victim := filepath.Join(parent, "victim")
	if err := os.WriteFile(victim, []byte("victim"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, slot := range []string{"../../victim", victim, "../../../victim", "format", "../format", "lock", "00/lock", "a\x00b", strings.Repeat("../", 40) + "etc/passwd"} {
		if v, err := d.Get(t.Context(), slot, "a"); err != nil || v[0] != nil {
			t.Errorf("Get %.30q = %q, %v before it was made", slot, v, err)
		}
		put(t, d, slot, slot, time.Now().Add(time.Hour))
		if v, err := d.Get(t.Context(), slot, "a"); err != nil || string(v[0]) != slot {
			t.Errorf("Get %.30q = %q, %v", slot, v, err)
		}
		if _, err := d.Change(t.Context(), slot, cache.Change{Delete: []string{"a"}}); err != nil {
			t.Errorf("delete %.30q: %v", slot, err)
		}
		put(t, d, slot, slot, time.Now().Add(time.Hour))
		if err := d.PutDue(t.Context(), 0, slot, time.Now()); err != nil {
			t.Errorf("PutDue %.30q: %v", slot, err)
		}
		if _, _, err := d.List(t.Context(), slot, 1); err == nil && slot != "" {
			t.Errorf("List goes on from %.30q", slot)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "victim" {
		t.Errorf("a file outside the store is %q, %v", b, err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 2 {
		t.Errorf("beside the store: %v, %v", entries, err)
	}
	for _, name := range filesBelow(t, dir) {
		if _, err := hex.DecodeString(name); err != nil || len(name) != 64 {
			t.Errorf("file %q in the store", name)
		}
	}
	for _, path := range dueFiles(t, dir) {
		if !dueName.MatchString(filepath.Base(path)) {
			t.Errorf("file %q in a due-list", path)
		}
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	d := open(t, file.Options{Dir: dir})
	put(t, d, "slot", "secret", time.Now().Add(time.Hour))
	if err := d.PutDue(t.Context(), 0, "slot", time.Now()); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s is %o, want %o", path, info.Mode().Perm(), want)
		}
		seen++
		return nil
	})
	if err != nil || seen != 14 {
		t.Errorf("walked %d entries, %v, want 14: cache, slots, format, a shard, its lock, the slot, "+
			"journal, its lock, its file, due, a list, its lock, a part of it, a member", seen, err)
	}
}

// Every way of cutting a record short and every flipped bit is an error: never
// data, never absent, and never a reason to write over it.
func TestTornAndDamagedSlots(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir, SweepTime: time.Hour})
	put(t, d, "slot", "value", time.Now().Add(time.Hour))
	put(t, d, "other", "other value", time.Now().Add(time.Hour))
	path := pathOf(dir, "slot")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(pathOf(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{"another slot's file": other, "longer": append(bytes.Clone(good), 0), "zeros": make([]byte, len(good))}
	for i := range good {
		bad[fmt.Sprintf("cut at %d", i)] = good[:i]
		flipped := bytes.Clone(good)
		flipped[i] ^= 1 << (i % 8)
		bad[fmt.Sprintf("flipped at %d", i)] = flipped
	}
	for name, content := range bad {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := d.Get(t.Context(), "slot", "a"); err == nil {
			t.Errorf("%s: Get = %q", name, v)
		}
		if v, err := d.All(t.Context(), "slot"); err == nil {
			t.Errorf("%s: All = %q", name, v)
		}
		c := cache.Change{Put: []cache.Field{{Name: "b"}}, Expires: time.Now().Add(time.Hour)}
		if applied, err := d.Change(t.Context(), "slot", c); err == nil || applied {
			t.Errorf("%s: Change = %v without error", name, applied)
		}
		if n, err := d.Sweep(t.Context()); err == nil || n != 0 {
			t.Errorf("%s: a sweep reports nothing and removes %d", name, n)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// A volume that went away is not one on which nobody is logged in.
func TestStoreGone(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"everything": func(dir string) error { return os.RemoveAll(dir) },
		"content": func(dir string) error {
			return os.Rename(filepath.Join(dir, "slots"), filepath.Join(t.TempDir(), "slots"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			d := open(t, file.Options{Dir: dir})
			put(t, d, "slot", "value", time.Now().Add(time.Hour))
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			if v, err := d.Get(t.Context(), "slot", "a"); err == nil {
				t.Errorf("Get = %q without error", v)
			}
			if v, err := d.All(t.Context(), "never made"); err == nil {
				t.Errorf("All = %q without error", v)
			}
			c := cache.Change{Put: []cache.Field{{Name: "b"}}, Expires: time.Now().Add(time.Hour)}
			if applied, err := d.Change(t.Context(), "slot", c); err == nil || applied {
				t.Errorf("Change = %v without error", applied)
			}
			if n, err := d.Add(t.Context(), "slot", "n", 1, time.Now().Add(time.Hour)); err == nil {
				t.Errorf("Add = %d without error", n)
			}
			if slots, _, err := d.List(t.Context(), "", 10); err == nil {
				t.Errorf("List = %q without error", slots)
			}
			if d.Ping(t.Context()) == nil {
				t.Error("Ping without error")
			}
		})
	}
}

func TestOpenRefusesAnotherFormat(t *testing.T) {
	dir := t.TempDir()
	open(t, file.Options{Dir: dir})
	if err := os.WriteFile(filepath.Join(dir, "slots", "format"), []byte("authhost slot 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(file.Options{Dir: dir}); err == nil {
		t.Error("a store of an unknown format was opened")
	}
	if _, err := file.Open(file.Options{}); err == nil {
		t.Error("a store without a directory was opened")
	}
}

// A process that was stopped while it holds a shard's lock delays a change to
// a limit, and not reads.
func TestHeldLock(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir, LockTimeout: 50 * time.Millisecond})
	put(t, d, "slot", "1", time.Now().Add(time.Hour))
	release := holdLock(t, filepath.Join(filepath.Dir(pathOf(dir, "slot")), "lock"))
	c := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte("2")}}, Expires: time.Now().Add(time.Hour)}
	for range 3 {
		if applied, err := d.Change(t.Context(), "slot", c); err == nil || applied {
			t.Errorf("Change under a foreign lock = %v without error", applied)
		}
	}
	if v, err := d.Get(t.Context(), "slot", "a"); err != nil || string(v[0]) != "1" {
		t.Errorf("Get under a foreign lock = %q, %v", v, err)
	}
	release()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for { // the goroutine that queued for the lock gives it back first
		applied, err := d.Change(ctx, "slot", c)
		if err == nil && applied {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("Change after the lock was let go = %v, %v", applied, err)
		}
	}
}

// To ask whether conditions hold needs no lock, so that it neither waits for
// who changes the shard nor keeps them waiting; it writes nothing.
func TestConditionsTakeNoLock(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir, LockTimeout: 50 * time.Millisecond})
	put(t, d, "a", "1", time.Now().Add(time.Hour))
	before := filesBelow(t, dir)
	defer holdLock(t, filepath.Join(filepath.Dir(pathOf(dir, "a")), "lock"))()
	for _, c := range []struct {
		slot string
		is   cache.Field
		want bool
	}{
		{"a", cache.Field{Name: "a", Value: []byte("1")}, true},
		{"a", cache.Field{Name: "a", Value: []byte("2")}, false},
		{"a", cache.Field{Name: "b"}, true},
		{"a", cache.Field{Name: "a"}, false},
		{"absent", cache.Field{Name: "a"}, true},
		{"absent", cache.Field{Name: "a", Value: []byte{}}, false},
	} {
		if holds, err := d.Change(t.Context(), c.slot, cache.Change{If: []cache.Field{c.is}}); holds != c.want || err != nil {
			t.Errorf("%s: %q: %v, %v", c.slot, c.is, holds, err)
		}
	}
	if after := filesBelow(t, dir); !slices.Equal(before, after) {
		t.Errorf("files %q, were %q", after, before)
	}
	if _, err := d.Change(t.Context(), "a", cache.Change{Delete: []string{"a"}}); err == nil {
		t.Error("the lock was not held")
	}
	if err := os.WriteFile(pathOf(dir, "a"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Change(t.Context(), "a", cache.Change{If: []cache.Field{{Name: "b"}}}); err == nil {
		t.Error("a damaged slot is taken for one without the field")
	}
}
