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
