package file_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
)

func BenchmarkGet(b *testing.B) {
	for _, sessions := range []int{1, 10} {
		b.Run(fmt.Sprint(sessions, " sessions"), func(b *testing.B) {
			d := open(b, file.Options{Dir: b.TempDir()})
			c := cache.Change{Put: []cache.Field{{Name: "h", Value: make([]byte, 25)}}, Expires: time.Now().Add(time.Hour)}
			for i := range sessions {
				c.Put = append(c.Put, cache.Field{Name: fmt.Sprint("session ", i), Value: bytes.Repeat([]byte{1}, 250)})
			}
			if _, err := d.Change(b.Context(), "slot", c); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if v, err := d.Get(b.Context(), "slot", "h", "session 0"); err != nil || v[1] == nil {
					b.Fatal(v, err)
				}
			}
		})
	}
}

func BenchmarkGetAbsent(b *testing.B) {
	d := open(b, file.Options{Dir: b.TempDir()})
	b.ReportAllocs()
	for b.Loop() {
		if v, err := d.Get(b.Context(), "slot", "h", "r:x"); err != nil || v[0] != nil {
			b.Fatal(v, err)
		}
	}
}

func BenchmarkChange(b *testing.B) {
	d := open(b, file.Options{Dir: b.TempDir()})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		put(b, d, fmt.Sprint(i%1000), "value", time.Now().Add(time.Hour))
	}
}

// A due-list of 100,000 users holds some 1,560 of them: putting one costs about
// what it does when the list is empty, and looking what is due a scan of names.
func BenchmarkDue(b *testing.B) {
	now, later := time.Now(), time.Now().Add(24*time.Hour)
	for _, members := range []int{1, 1560} {
		d := open(b, file.Options{Dir: b.TempDir()})
		fill := func(n int) {
			if err := d.PutDue(b.Context(), 0, fmt.Sprint("usr_", n), later); err != nil {
				b.Fatal(err)
			}
		}
		for n := range members {
			fill(n)
		}
		b.Run(fmt.Sprint("lease nothing of ", members), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := d.LeaseDue(b.Context(), 0, now, now.Add(time.Minute), 100); err != nil || len(got) > 0 {
					b.Fatal(got, err)
				}
			}
		})
		b.Run(fmt.Sprint("put one of ", members), func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				fill(n % members)
			}
		})
		b.Run(fmt.Sprint("put, lease and drop beside ", members), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := d.PutDue(b.Context(), 0, "usr_x", now); err != nil {
					b.Fatal(err)
				}
				if got, err := d.LeaseDue(b.Context(), 0, now, later, 1); err != nil || len(got) != 1 {
					b.Fatal(got, err)
				}
				if err := d.DropDue(b.Context(), 0, "usr_x", later); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
