package session_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
	"github.com/authhost/authhost/host/session"
)

const (
	few            = 10_000 // sessions of the store that others are measured by
	perUser        = 5
	scaleRounds    = 9
	scaleCallers   = 16 // at once, so that no one waits for a sleeping core to wake
	resolvesARound = 4000
	listsARound    = 1000
	logoutsARound  = 160
)

// BenchmarkScale measures what a session check, the list of one user's
// sessions and a logout of one user cost in a store of many sessions, beside
// one of 10,000 on the same driver: the medians of rounds that take turns, and
// their ratio. It also prints what a session takes in the store.
func BenchmarkScale(b *testing.B) {
	for _, c := range []struct {
		name string
		many int
		open func(b *testing.B) (d cache.Driver, bytes func() int64)
	}{
		{"redis", 1_000_000, openRedis},
		{"file", 100_000, openFile},
		{"memory", 100_000, openMemory},
	} {
		b.Run(fmt.Sprintf("%s-%d", c.name, c.many), func(b *testing.B) {
			small, large := newCrowd(b, few, c.open), newCrowd(b, c.many, c.open)
			costs := map[string][2][]float64{}
			for range scaleRounds {
				for i, crowd := range []*crowd{small, large} {
					for name, ns := range crowd.round(b) {
						both := costs[name]
						both[i] = append(both[i], ns)
						costs[name] = both
					}
				}
			}
			for b.Loop() { // the rounds above are the measurement
			}
			b.ReportMetric(0, "ns/op")
			for name, both := range costs {
				before, after := median(both[0]), median(both[1])
				b.ReportMetric(after/1000, name+"-µs")
				b.ReportMetric(after/before, name+"-ratio")
			}
			b.ReportMetric(float64(large.bytes)/float64(c.many), "B/session")
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func openMemory(*testing.B) (cache.Driver, func() int64) {
	return memory.New(nil), func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
}

func openRedis(b *testing.B) (cache.Driver, func() int64) {
	server := redistest.Serve(b)
	d, err := redis.New(redis.Options{Addrs: []string{server.Addr}})
	if err != nil {
		b.Fatal(err)
	}
	return d, func() int64 {
		for line := range strings.Lines(server.Do("INFO", "memory")) {
			if n, ok := strings.CutPrefix(line, "used_memory:"); ok {
				bytes, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
				return bytes
			}
		}
		b.Fatal("Redis does not say how much memory it uses")
		return 0
	}
}

func openFile(b *testing.B) (cache.Driver, func() int64) {
	dir := b.TempDir()
	d, err := file.Open(file.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	return d, func() (bytes int64) {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := os.Stat(path)
			bytes += info.Size()
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		return bytes
	}
}

// crowd is a store full of sessions.
type crowd struct {
	*session.Store
	users  []string // ids, in no order
	tokens []string // of the users who are never logged out
	bytes  int64
}

// newCrowd fills a store, many users at a time.
func newCrowd(b *testing.B, sessions int, open func(*testing.B) (cache.Driver, func() int64)) *crowd {
	d, bytes := open(b)
	b.Cleanup(func() { d.Close() })
	store, err := session.New(session.Options{Realm: realm, Cache: d})
	if err != nil {
		b.Fatal(err)
	}
	c := &crowd{Store: store, users: make([]string, sessions/perUser), tokens: make([]string, sessions/perUser)}
	before := bytes()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(c.users) || b.Failed() {
					return
				}
				if err := c.login(b.Context(), n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
	c.bytes = bytes() - before
	for range 2 { // a store in use, not one that was never read
		for _, token := range c.tokens {
			if _, err := store.Resolve(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	}
	shuffle := rand.New(rand.NewPCG(1, 2))
	shuffle.Shuffle(len(c.users), func(i, j int) {
		c.users[i], c.users[j] = c.users[j], c.users[i]
		c.tokens[i], c.tokens[j] = c.tokens[j], c.tokens[i]
	})
	return c
}

func (c *crowd) login(ctx context.Context, n int) (err error) {
	subject := fmt.Sprintf("user-%d@example.org", n)
	id := &host.Identity{Realm: realm, Issuer: issuer, Subject: subject, UserID: host.UserID(realm, issuer, subject),
		Roles: []string{"viewer", "editor"}, Email: subject, IssuedAt: time.Now(), Expires: time.Now().Add(8 * time.Hour), TokenKey: "0123456789abcdef"}
	c.users[n] = id.UserID
	for range perUser {
		if c.tokens[n], _, err = c.Create(ctx, id, host.Terms{}); err != nil {
			return err
		}
	}
	return nil
}

// round does each of the three some times, several at once, and returns what one
// took, in nanoseconds. Nobody is logged out twice, nor looked up afterwards.
func (c *crowd) round(b *testing.B) map[string]float64 {
	live := c.tokens[:len(c.tokens)-logoutsARound]
	timed := func(times int, do func(i int) error) float64 {
		var next atomic.Int64
		var callers sync.WaitGroup
		begin := time.Now()
		for range scaleCallers {
			callers.Go(func() {
				for i := int(next.Add(1)) - 1; i < times; i = int(next.Add(1)) - 1 {
					if err := do(i); err != nil {
						b.Error(err)
					}
				}
			})
		}
		callers.Wait()
		return float64(time.Since(begin)) / float64(times)
	}
	costs := map[string]float64{
		"resolve": timed(resolvesARound, func(int) error {
			v, err := c.Resolve(b.Context(), live[rand.IntN(len(live))])
			if err == nil && v.Verdict != host.Valid {
				err = fmt.Errorf("verdict %s", v.Verdict)
			}
			return err
		}),
		"list": timed(listsARound, func(int) error {
			items, _, err := c.List(b.Context(), c.users[rand.IntN(len(live))], host.Page{})
			if err == nil && len(items) != perUser {
				err = fmt.Errorf("%d sessions are listed", len(items))
			}
			return err
		}),
		"logout": timed(logoutsARound, func(i int) error {
			return c.EndAll(b.Context(), c.users[len(live)+i], admin, "test")
		}),
	}
	c.users, c.tokens = c.users[:len(live)], live
	if b.Failed() {
		b.FailNow()
	}
	return costs
}
