package e2e

import (
	"context"
	"fmt"
	"hash/crc32"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache/redis/redistest"
)

// redisCache is the part of a configuration that names several Redis servers,
// read through every time.
func redisCache(servers redistest.Servers, more string) string {
	var quoted []string
	for _, addr := range servers.Addrs() {
		quoted = append(quoted, strconv.Quote(addr))
	}
	return fmt.Sprintf("cache: {driver: redis, redis: {addrs: [%s]%s}, near: {max_staleness: 0s}}\n", strings.Join(quoted, ", "), more)
}

// A master is lost under load, by kill -9 or by a halt from which it wakes up
// as a master of yesterday: Sentinel names another. Live sessions get nothing
// but 200 and 503, the 503s end, what was settled is there, and what was ended
// is not let in, not even by the one that wakes up; every record is sound. What is acknowledged had
// reached one replica of two; how much of that the failover lost is counted.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	persist := []string{"--repl-diskless-sync-delay", "0", "--appendonly", "yes"}
	nodes := redistest.Servers{redistest.Serve(t, persist...)}
	for range 2 {
		nodes = append(nodes, redistest.ReplicaOf(t, nodes[0], persist...))
	}
	sentinels := redistest.Sentinels(t, nodes[0], 3)
	idp := newIssuer(t)
	config := listen + idp.realm("") + redisCache(sentinels, ", master_name: main, wait_replicas: 1") + open
	c := newCrowd(t, idp, serve(t, config), serve(t, config))
	failovers := 1
	if *soak {
		failovers = 20
	}
	for n := range failovers {
		master := masterOf(t, nodes, sentinels)
		c.start(t)
		made, ended := c.acknowledged()
		event := time.Now()
		how := "killed"
		if n%2 == 0 {
			master.Kill()
		} else {
			how = "halted"
			master.Signal(syscall.SIGSTOP)
		}
		redistest.Until(t, "another is master", func(context.Context) bool { return masterAddr(sentinels[0]) != master.Addr })
		named := time.Since(event)
		c.settle(t)
		switch {
		case how == "halted":
			master.Signal(syscall.SIGCONT)
			whole(t, nodes, sentinels)
			c.settle(t)
		case n < failovers-1:
			master.Start()
			whole(t, nodes, sentinels)
			c.settle(t)
		}
		c.stop()
		madeAfter, endedAfter := c.acknowledged()
		reads, writes := c.reads.since(event), c.writes.since(event)
		lost, back := c.verify(t)
		wantSound(t, c.hosts[0].config)
		t.Logf("master %s: another named after %.1f s; 503 to checks: %s; to logins and logouts: %s; acknowledged before it %d and %d, until all was well %d and %d; lost %d, back %d",
			how, named.Seconds(), reads, writes, made, ended, madeAfter, endedAfter, lost, back)
		if lost+back > 0 {
			t.Errorf("%d sessions were lost and %d are back", lost, back)
		}
	}
}

func masterAddr(sentinel *redistest.Server) string {
	addr := strings.Fields(strings.Trim(sentinel.Do("sentinel", "get-master-addr-by-name", "main"), "[]"))
	return net.JoinHostPort(addr[0], addr[1])
}

func masterOf(t *testing.T, nodes, sentinels redistest.Servers) *redistest.Server {
	t.Helper()
	i := slices.IndexFunc(nodes, func(s *redistest.Server) bool { return s.Addr == masterAddr(sentinels[0]) })
	if i < 0 {
		t.Fatal("the sentinels name a master that nobody started")
	}
	return nodes[i]
}

// whole waits until the sentinels agree, and the master has all others for
// replicas that are up to date.
func whole(t *testing.T, nodes, sentinels redistest.Servers) {
	t.Helper()
	redistest.Until(t, "every node has its part", func(context.Context) bool {
		for _, s := range sentinels {
			if masterAddr(s) != masterAddr(sentinels[0]) {
				return false
			}
		}
		for _, s := range nodes {
			info := s.Do("info", "replication")
			if s.Addr == masterAddr(sentinels[0]) {
				if strings.Count(info, "state=online") != len(nodes)-1 {
					return false
				}
			} else if !strings.Contains(info, "master_link_status:up") {
				return false
			}
		}
		return true
	})
}

// The slots of a cluster that hold a user and the due-list that the user is on
// move to another master, under load: nothing but 200 and 503, and not for
// long; nothing is lost, and every record is sound.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	for replicas, wait := range []string{"", ", wait_replicas: 1"} {
		t.Run(fmt.Sprint(replicas, " replicas"), func(t *testing.T) {
			t.Parallel()
			nodes := redistest.Cluster(t, 3, "--repl-diskless-sync-delay", "0")
			if replicas > 0 {
				nodes.Followers(t)
			}
			idp := newIssuer(t)
			config := listen + idp.realm("") + redisCache(nodes[:1], ", cluster: true"+wait) + open
			c := newCrowd(t, idp, serve(t, config), serve(t, config))
			moves := 1
			if *soak {
				moves = 20
			}
			c.start(t)
			for n := range moves {
				moveUser(t, c, nodes, n)
			}
			c.stop()
			made, ended := c.acknowledged()
			lost, back := c.verify(t)
			wantSound(t, c.hosts[0].config)
			t.Logf("acknowledged %d logins and %d logouts; lost %d, back %d", made, ended, lost, back)
			if lost+back > 0 {
				t.Errorf("%d sessions were lost and %d are back", lost, back)
			}
		})
	}
}

// moveUser moves whatever there is of one of the crowd.
func moveUser(t *testing.T, c *crowd, nodes redistest.Servers, n int) {
	t.Helper()
	c.mu.Lock()
	c.reads, c.writes = refusals{}, refusals{}
	c.mu.Unlock()
	user, event := c.users[n%len(c.users)], time.Now()
	for _, key := range []string{"authhost:{" + user + "}", fmt.Sprintf("authhost:due:{%02d}", crc32.ChecksumIEEE([]byte(user))%64)} {
		if n := nodes.MoveSlot(t, key, func() { time.Sleep(200 * time.Millisecond) }); n == 0 { // each step under load
			t.Errorf("nothing moved with %s", key)
		}
	}
	took := time.Since(event)
	c.settle(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("moved in %.1f s; 503 to checks: %s; to logins and logouts: %s", took.Seconds(), c.reads.since(event), c.writes.since(event))
}
