package etcd_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/etcd"
)

// cluster starts three members.
func cluster(t *testing.T) []*server {
	t.Helper()
	var peers, all []string
	for i := range 3 {
		peers = append(peers, "http://"+freeAddr(t))
		all = append(all, fmt.Sprintf("m%d=%s", i, peers[i]))
	}
	var members []*server
	for i := range 3 {
		s := prepare(t, fmt.Sprint("m", i), "http", peers[i], strings.Join(all, ","))
		s.start()
		members = append(members, s)
	}
	for _, s := range members {
		s.answers(clientv3.Config{})
	}
	return members
}

// leads says whether a member is the leader.
func leads(t *testing.T, s *server) bool {
	t.Helper()
	c := s.client(clientv3.Config{})
	defer c.Close()
	status, err := c.Status(t.Context(), s.addr)
	return err == nil && status.Leader == status.Header.MemberId
}

// Members of a cluster are killed, the leader first, while two replicas count
// and watch: there are errors, they end, what was acknowledged is there, and
// nothing was done more often than it was asked for.
func TestMemberKilled(t *testing.T) {
	members := cluster(t)
	var endpoints []string
	for _, s := range members {
		endpoints = append(endpoints, s.addr)
	}
	o := etcd.Options{Endpoints: endpoints, Timeout: 5 * time.Second}
	drivers := []*etcd.Driver{connect(t, o), connect(t, o)}
	var asked, acknowledged atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	soon := time.Now().Add(time.Hour)
	for _, d := range drivers {
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					seen := acknowledged.Load()
					asked.Add(1)
					if n, err := d.Add(t.Context(), "slot", "n", 1, soon); err == nil {
						acknowledged.Add(1)
						if n <= seen {
							t.Errorf("the sum is %d where %d additions were acknowledged before", n, seen)
						}
					} else {
						time.Sleep(10 * time.Millisecond)
					}
				}
			})
		}
	}
	counts := func(what string) {
		t.Helper()
		before := acknowledged.Load()
		until(t, "replicas count "+what, func(context.Context) bool { return acknowledged.Load() > before+20 })
	}
	counts("at first")
	for _, leader := range []bool{true, false} {
		for _, s := range members {
			if leads(t, s) == leader {
				s.kill()
				counts("without a member")
				s.start()
				s.answers(clientv3.Config{})
				break
			}
		}
	}
	counts("at last")
	stop()
	wg.Wait()
	for _, d := range drivers {
		v, err := d.Get(t.Context(), "slot", "n")
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := cache.Sum(v[0], 0)
		if err != nil || n < acknowledged.Load() || n > asked.Load() {
			t.Errorf("the sum is %d, %v, of %d additions asked for and %d acknowledged", n, err, asked.Load(), acknowledged.Load())
		}
	}
	t.Logf("%d additions were asked for, %d acknowledged", asked.Load(), acknowledged.Load())

	// A majority is needed, for reads too.
	members[0].kill()
	members[1].kill()
	mustFail(t, drivers[0])
}
