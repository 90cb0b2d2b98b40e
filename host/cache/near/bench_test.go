package near_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/near"
)

// still is a driver that answers at once.
type still struct {
	cache.Driver
	values [][]byte
}

func (s *still) Get(context.Context, string, ...string) ([][]byte, error) { return s.values, nil }

func (s *still) Change(context.Context, string, cache.Change) (bool, error) { return true, nil }

// A session is asked for as the session room does: the header, and its own.
const user, header = "usr_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "h"

func session(i int) string { return fmt.Sprintf("s:ses_%026d", i) }

func benched(b *testing.B) *near.Cache {
	return open(b, near.Options{MaxStaleness: time.Hour, Driver: &still{values: [][]byte{make([]byte, 40), make([]byte, 300)}}})
}

func BenchmarkWarm(b *testing.B) {
	c, name := benched(b), session(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(b.Context(), user, header, name); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWarmOfMany(b *testing.B) {
	c := benched(b)
	names := make([]string, 50_000)
	for i := range names {
		names[i] = session(i)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i = (i + 7919) % len(names) {
			if _, err := c.Get(b.Context(), user, header, names[i]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCold(b *testing.B) {
	c, name := benched(b), session(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Change(b.Context(), user, cache.Change{}); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Get(b.Context(), user, header, name); err != nil {
			b.Fatal(err)
		}
	}
}
