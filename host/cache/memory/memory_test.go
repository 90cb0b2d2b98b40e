package memory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/memory"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

func TestConformance(t *testing.T) {
	cachetest.Run(t, func(t *testing.T) cachetest.Store {
		clock := cachetest.NewClock(start)
		d := memory.New(clock.Now)
		return cachetest.Store{A: d, B: d, Now: clock.Now, Pass: clock.Pass}
	})
}

// What has expired does not stay for ever, even if nobody asks for it again.
func TestExpiredSlotsAreDropped(t *testing.T) {
	clock := cachetest.NewClock(start)
	d := memory.New(clock.Now)
	for i := range 1000 {
		c := cache.Change{Put: []cache.Field{{Name: "a"}}, Expires: clock.Now().Add(time.Minute)}
		if _, err := d.Change(t.Context(), fmt.Sprint(i), c); err != nil {
			t.Fatal(err)
		}
		clock.Pass(time.Second)
	}
	if n := d.Len(); n > 500 {
		t.Errorf("%d slots are kept where 60 live", n)
	}
}
