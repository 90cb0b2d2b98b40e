package redis_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/redis"
)

// servers are what belongs together.
type servers []*server

func (all servers) addrs() (addrs []string) {
	for _, s := range all {
		addrs = append(addrs, s.addr)
	}
	return addrs
}

// cutWatches ends every subscription, as a network does.
func (all servers) cutWatches() {
	for _, s := range all {
		s.do("client", "kill", "type", "pubsub")
	}
}

// cluster is a cluster of so many masters, which share the slots.
func cluster(t *testing.T, masters int) servers {
	t.Helper()
	var all servers
	var bus []string
	for range masters {
		port := freePort(t)
		bus = append(bus, port)
		all = append(all, serve(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", port))
	}
	for i, s := range all {
		s.do("cluster", "addslotsrange", i*16384/masters, (i+1)*16384/masters-1)
		if i > 0 {
			_, port, _ := net.SplitHostPort(s.addr)
			all[0].do("cluster", "meet", "127.0.0.1", port, bus[i])
		}
	}
	for _, s := range all {
		until(t, "the cluster is ready", func(context.Context) bool {
			info := s.do("cluster", "info")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_size:", masters))
		})
	}
	return all
}

// replicaOf is a server that follows another.
func replicaOf(t *testing.T, s *server) *server {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.addr)
	replica := serve(t, "--replicaof", host+" "+port)
	_, own, _ := net.SplitHostPort(replica.addr)
	c := s.client()
	defer c.Close()
	until(t, "the replica follows and says so", func(ctx context.Context) bool {
		conn := c.Conn()
		defer conn.Close()
		info, err := conn.Info(ctx, "replication").Result()
		if err != nil || !strings.Contains(info, "port="+own+",state=online") {
			return false
		}
		online := strings.Count(info, "state=online")
		conn.Publish(ctx, "something", "to replicate")
		reached, err := conn.Wait(ctx, online, time.Second).Result()
		return err == nil && reached == int64(online)
	})
	return replica
}

// sentinels watch a master under the name "main", and agree by majority.
func sentinels(t *testing.T, master *server, number int) servers {
	t.Helper()
	var all servers
	host, masterPort, _ := net.SplitHostPort(master.addr)
	for range number {
		port := freePort(t)
		s := newServer(t, port)
		config := filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor main %s %s %d\n"+
			"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 6000\n", port, s.dir, host, masterPort, number/2+1)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = []string{config, "--sentinel"}
		t.Cleanup(s.kill)
		s.start()
		s.wait()
		all = append(all, s)
	}
	for _, s := range all {
		until(t, "the sentinels know each other", func(context.Context) bool {
			return strings.Contains(s.do("info", "sentinel"), fmt.Sprintf("sentinels=%d", number))
		})
	}
	return all
}

// What somebody wrote and could not have confirmed is confirmed to nobody else
// before the replica has it, even where nothing is left to write.
func TestWaitForWhatOthersWrote(t *testing.T) {
	t.Parallel()
	s := serve(t, "--repl-diskless-sync-delay", "0")
	replica := replicaOf(t, s)
	o := redis.Options{Addrs: []string{s.addr}, WaitReplicas: 1}
	d := connect(t, o)
	soon := time.Now().Add(time.Hour)
	put(t, d, "slot", "1")
	put(t, d, "deleted", "1")
	if err := d.PutDue(t.Context(), 0, "leased", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.LeaseDue(t.Context(), 0, soon, soon.Add(time.Hour), 9); err != nil || len(got) != 1 {
		t.Fatalf("LeaseDue = %q, %v", got, err)
	}
	change := func(slot string, c cache.Change) func(d *redis.Driver, ctx context.Context) error {
		return func(d *redis.Driver, ctx context.Context) error {
			_, err := d.Change(ctx, slot, c)
			return err
		}
	}
	putDue := func(member string, at time.Time) func(d *redis.Driver, ctx context.Context) error {
		return func(d *redis.Driver, ctx context.Context) error { return d.PutDue(ctx, 0, member, at) }
	}
	writes := map[string]func(d *redis.Driver, ctx context.Context) error{
		"a deadline":               change("slot", cache.Change{Expires: soon.Add(time.Hour)}),
		"a deletion":               change("deleted", cache.Change{Delete: []string{"a"}}),
		"a member":                 putDue("member", soon),
		"a member that is leased":  putDue("leased", soon.Add(2*time.Hour)),
		"a confirmation of a slot": change("slot", cache.Change{If: []cache.Field{{Name: "a", Value: []byte("1")}}}),
	}
	replica.signal(syscall.SIGSTOP)
	var wg sync.WaitGroup
	for name, write := range writes {
		wg.Go(func() {
			for _, whose := range []string{"its own", "another"} { // handle, with a connection that has written nothing
				if write(connect(t, o), t.Context()) == nil {
					t.Errorf("%s is acknowledged to %s handle without the replica", name, whose)
				}
			}
		})
	}
	wg.Wait()
	replica.signal(syscall.SIGCONT)
	for name, write := range writes {
		until(t, name+" is acknowledged", func(ctx context.Context) bool { return write(d, ctx) == nil })
	}
}
