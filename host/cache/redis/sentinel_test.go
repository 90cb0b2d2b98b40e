package redis_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/cache/redis/redistest"
)

// A master is halted together with the Sentinel that a driver listens to, as a
// machine is that both are on, and wakes up as a master after another was put
// in its place. The driver has not heard of that, and has idle connections to
// it: it asks there nothing any more.
func TestHaltedMasterWakesUp(t *testing.T) {
	t.Parallel()
	master := redistest.Serve(t, "--repl-diskless-sync-delay", "0")
	redistest.ReplicaOf(t, master)
	all := redistest.Sentinels(t, master, 3)
	d := connect(t, redis.Options{Addrs: all.Addrs(), MasterName: "main"})
	put(t, d, "slot", "1")
	var wg sync.WaitGroup
	for range 8 { // as many connections
		wg.Go(func() { mustHold(t, d, "slot", "1") })
	}
	wg.Wait()
	var listened, other *redistest.Server
	redistest.Until(t, "the driver listens to a Sentinel", func(context.Context) bool {
		for _, s := range all {
			if strings.Contains(s.Do("client", "list", "type", "pubsub"), "id=") {
				listened = s
			} else {
				other = s
			}
		}
		return listened != nil
	})

	master.Signal(syscall.SIGSTOP)
	listened.Signal(syscall.SIGSTOP)
	other.Do("sentinel", "failover", "main")
	var now string
	redistest.Until(t, "another is master", func(context.Context) bool {
		at := strings.Fields(strings.Trim(other.Do("sentinel", "get-master-addr-by-name", "main"), "[]"))
		now = net.JoinHostPort(at[0], at[1])
		return now != master.Addr
	})
	e := connect(t, redis.Options{Addrs: []string{now}})
	redistest.Until(t, "the new master takes a change", func(ctx context.Context) bool {
		c := cache.Change{Put: []cache.Field{{Name: "a", Value: []byte("2")}}, Expires: time.Now().Add(time.Hour)}
		applied, err := e.Change(ctx, "slot", c)
		return err == nil && applied
	})
	master.Signal(syscall.SIGCONT)
	for right := 0; right < 20; {
		switch v, err := d.Get(t.Context(), "slot", "a"); {
		case err != nil: // it looks for a Sentinel
		case string(v[0]) != "2":
			t.Fatalf("what was changed to 2 is read as %s", v[0])
		default:
			right++
		}
	}
}
