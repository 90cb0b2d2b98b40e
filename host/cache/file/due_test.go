package file_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache/file"
)

// dueName is what a member's file is called: nothing of the member in clear.
var dueName = regexp.MustCompile(`^[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{64}$`)

// dueFiles lists the files of all due-lists but their locks.
func dueFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "due", "*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func wantLease(t *testing.T, d *file.Driver, now, until time.Time, want ...string) {
	t.Helper()
	got, err := d.LeaseDue(t.Context(), 0, now, until, 100)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("LeaseDue = %q, %v, want %q", got, err, want)
	}
}

func putDue(t *testing.T, d *file.Driver, member string, at time.Time) {
	t.Helper()
	if err := d.PutDue(t.Context(), 0, member, at); err != nil {
		t.Fatal(err)
	}
}

// What changes is one member's file, whatever else is on the list, and a list
// on which nothing is due yet is not even read.
func TestDueTouchesOneMember(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir})
	for i := range 100 {
		putDue(t, d, fmt.Sprint(i), start.Add(time.Hour))
	}
	wantLease(t, d, start, start.Add(time.Minute))
	before := dueFiles(t, dir)
	putDue(t, d, "50", start)
	wantLease(t, d, start, start.Add(time.Minute), "50")
	changed := 0
	for _, path := range dueFiles(t, dir) {
		if !slices.Contains(before, path) {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d files were changed for one member", changed)
	}

	// Nobody may read what is not due: with the members gone, an idle list says
	// the same, and one that is due finds nothing.
	for _, path := range dueFiles(t, dir) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := filepath.Glob(filepath.Join(dir, "due", "00", "?"))
	if err != nil || len(parts) != 16 {
		t.Fatalf("a list of %d parts, %v", len(parts), err)
	}
	for _, part := range parts {
		if err := os.Rename(part, part+" away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(part, nil, 0o600); err != nil { // reading it as a directory fails
			t.Fatal(err)
		}
	}
	wantLease(t, d, start, start.Add(time.Minute))
	if got, err := d.LeaseDue(t.Context(), 0, start.Add(time.Minute), start.Add(time.Hour), 1); err == nil {
		t.Errorf("LeaseDue = %q of a list that cannot be read", got)
	}
}

// What a list's lock says of its members is believed only if it is whole.
func TestDueAfterACrash(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir})
	lock := filepath.Join(dir, "due", "00", "lock")
	for i, content := range []string{"", "00000", "ffffffffffffffff\n", "7fffffffffffffff", "garbage and no moment", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		member := fmt.Sprint(i)
		putDue(t, d, member, start)
		if err := os.WriteFile(lock, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		leftover := filepath.Join(dir, "due", "00", "0", "new-1")
		if err := os.MkdirAll(filepath.Dir(leftover), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(leftover, []byte("auth"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantLease(t, d, start, start.Add(time.Hour), member)
		if _, err := os.Stat(leftover); err == nil {
			t.Error("what a killed process left is still there")
		}
		if err := d.DropDue(t.Context(), 0, member, start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if left := dueFiles(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A member that cannot be read is never given out as something else; it keeps
// nobody from the others, and is told of.
func TestDamagedMember(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir})
	putDue(t, d, "member", start)
	path := dueFiles(t, dir)[0]
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	putDue(t, d, "other", start)
	bad := map[string][]byte{"longer": append(bytes.Clone(good), 0), "zeros": make([]byte, len(good))}
	for i := range good {
		bad[fmt.Sprintf("cut at %d", i)] = good[:i]
		flipped := bytes.Clone(good)
		flipped[i] ^= 1 << (i % 8)
		bad[fmt.Sprintf("flipped at %d", i)] = flipped
	}
	for _, p := range dueFiles(t, dir) {
		if p != path {
			if bad["another's"], err = os.ReadFile(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := start
	for name, content := range bad {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		until := now.Add(time.Minute)
		if got, err := d.LeaseDue(t.Context(), 0, now, until, 10); err != nil || !slices.Equal(got, []string{"other"}) {
			t.Errorf("%s: LeaseDue = %q, %v", name, got, err)
		}
		if got, err := d.LeaseDue(t.Context(), 0, now, until, 10); err == nil {
			t.Errorf("%s: LeaseDue = %q without error", name, got)
		}
		now = until
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	wantLease(t, d, now, now.Add(time.Minute), "member", "other")
}
