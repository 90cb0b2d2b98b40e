package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

// Who asks while the server is busy goes with the others, is given what is
// its own, and may leave without them.
func TestReadsGoTogether(t *testing.T) {
	const callers = 200
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	for i := range callers {
		put := cache.Change{Put: []cache.Field{{Name: "n", Value: []byte(strconv.Itoa(i))}}, Expires: time.Now().Add(time.Hour)}
		if _, err := d.Change(t.Context(), fmt.Sprint("slot ", i), put); err != nil {
			t.Fatal(err)
		}
	}
	before := reads(t, s)
	s.Signal(syscall.SIGSTOP)
	var all, begun sync.WaitGroup
	begun.Add(callers)
	for i := range callers {
		all.Go(func() {
			begun.Done()
			got, err := d.Get(t.Context(), fmt.Sprint("slot ", i), "n", "absent")
			if err != nil || string(got[0]) != strconv.Itoa(i) || got[1] != nil {
				t.Errorf("slot %d: %q, %v", i, got, err)
			}
		})
	}
	begun.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := d.Get(ctx, "slot 0", "n"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("whose time is over is told %v", err)
	}
	s.Signal(syscall.SIGCONT)
	all.Wait()
	if n := reads(t, s) - before; n > callers/4 {
		t.Errorf("the server read %d times from its clients for %d callers", n, callers)
	}
}

// Once the server is back and has answered one caller, it answers all: those
// who go together have no connections of their own that learn of it later.
func TestBackForAllAtOnce(t *testing.T) {
	s := redistest.Serve(t)
	d := connect(t, redis.Options{Addrs: []string{s.Addr}, CallTimeout: patient})
	crowd := func() (failed int, last error) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if _, err := d.Get(t.Context(), fmt.Sprint("slot ", i), "n"); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed, last = failed+1, err
				}
			})
		}
		all.Wait()
		return failed, last
	}
	if n, err := crowd(); n > 0 {
		t.Fatalf("%d of 50 reads failed, such as %v", n, err)
	}
	for range 2 {
		s.Kill()
		// What callers learn alone and what they learn together is half the
		// library's second between two tries apart.
		for range 40 {
			if _, err := d.Get(t.Context(), "slot 0", "n"); err == nil {
				t.Error("a read was answered while the server was away")
			}
		}
		time.Sleep(500 * time.Millisecond)
		for range 20 {
			if n, _ := crowd(); n != 50 {
				t.Errorf("%d of 50 reads failed while the server was away", n)
			}
		}
		s.Start()
		s.Wait()
		redistest.Until(t, "the first answer", func(context.Context) bool {
			n, _ := crowd()
			return n < 50
		})
		if n, err := crowd(); n > 0 {
			t.Errorf("%d of 50 reads failed after the first was answered, such as %v", n, err)
		}
	}
}

// reads is how often the server has read from a connection.
func reads(t *testing.T, s *redistest.Server) int {
	t.Helper()
	for line := range strings.Lines(s.Do("INFO", "stats")) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "total_reads_processed:"); ok {
			v, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatal("INFO does not tell total_reads_processed")
	return 0
}
