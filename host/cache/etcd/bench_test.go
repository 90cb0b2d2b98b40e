package etcd_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/etcd"
)

func BenchmarkGet(b *testing.B) {
	for _, sessions := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(sessions, " sessions"), func(b *testing.B) {
			d := connect(b, etcd.Options{Endpoints: []string{serve(b).addr}})
			c := cache.Change{Put: []cache.Field{{Name: "h", Value: make([]byte, 40)}}, Expires: time.Now().Add(time.Hour)}
			for i := range sessions {
				c.Put = append(c.Put, cache.Field{Name: fmt.Sprint("s:", i), Value: make([]byte, 300)})
			}
			if _, err := d.Change(b.Context(), "user", c); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Get(b.Context(), "user", "h", "s:0"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChange(b *testing.B) {
	d := connect(b, etcd.Options{Endpoints: []string{serve(b).addr}})
	c := cache.Change{Put: []cache.Field{{Name: "s:0", Value: make([]byte, 300)}}, Expires: time.Now().Add(time.Hour)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Change(b.Context(), "user", c); err != nil {
			b.Fatal(err)
		}
	}
}
