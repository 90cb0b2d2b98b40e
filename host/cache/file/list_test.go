package file_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache/file"
)

// A slot that cannot be read is told of, by name, and hides no other.
func TestListOfDamagedSlots(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir})
	var want []string
	for i := range 40 {
		slot := fmt.Sprint("slot ", i)
		put(t, d, slot, "1", time.Now().Add(time.Hour))
		switch i {
		case 7:
			if err := os.Truncate(pathOf(dir, slot), 40); err != nil {
				t.Fatal(err)
			}
		case 9:
			if err := os.Rename(pathOf(dir, slot), pathOf(dir, "slot 7")+"x"); err != nil { // no slot's name
				t.Fatal(err)
			}
		case 11:
			if err := os.Rename(pathOf(dir, "slot 10"), pathOf(dir, slot)); err != nil { // another's
				t.Fatal(err)
			}
		default:
			want = append(want, slot)
		}
	}
	want = slices.DeleteFunc(want, func(s string) bool { return s == "slot 10" })
	var got []string
	failures, next := 0, ""
	for range 100 {
		slots, following, err := d.List(t.Context(), next, 3)
		if err != nil {
			failures++
		}
		got = append(got, slots...)
		if next = following; next == "" {
			break
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || failures < 1 || failures > 2 {
		t.Errorf("listed with %d errors: %q, want %q", failures, got, want)
	}
}
