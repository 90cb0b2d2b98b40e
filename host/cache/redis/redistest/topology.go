package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Servers are what belongs together.
type Servers []*Server

// Addrs returns where they are.
func (all Servers) Addrs() (addrs []string) {
	for _, s := range all {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// CutWatches ends every subscription, as a network does.
func (all Servers) CutWatches() {
	for _, s := range all {
		s.Do("client", "kill", "type", "pubsub")
	}
}

// ReplicaOf is a server that follows another. What the other was told of
// users, it is to be told by args too.
func ReplicaOf(t testing.TB, s *Server, args ...string) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	replica := Serve(t, append([]string{"--replicaof", host + " " + port}, args...)...)
	_, own, _ := net.SplitHostPort(replica.Addr)
	c := s.Client()
	defer c.Close()
	Until(t, "the replica follows and says so", func(ctx context.Context) bool {
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

// Sentinels watch a master under the name "main", and agree by majority that
// it is away when it has been for a second.
func Sentinels(t testing.TB, master *Server, number int) Servers {
	t.Helper()
	var all Servers
	host, masterPort, _ := net.SplitHostPort(master.Addr)
	for range number {
		s, port := New(t)
		config := filepath.Join(s.Dir, "sentinel.conf")
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor main %s %s %d\n"+
			"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 6000\n", port, s.Dir, host, masterPort, number/2+1)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Args = []string{config, "--sentinel"}
		s.Start()
		s.Wait()
		all = append(all, s)
	}
	for _, s := range all {
		Until(t, "the sentinels know each other", func(context.Context) bool {
			return strings.Contains(s.Do("info", "sentinel"), fmt.Sprintf("sentinels=%d", number))
		})
	}
	return all
}

// Cluster is a cluster of so many masters, which share the slots.
func Cluster(t testing.TB, masters int, args ...string) Servers {
	t.Helper()
	var all Servers
	var bus []string
	for range masters {
		port := freePort(t)
		bus = append(bus, port)
		all = append(all, Serve(t, append([]string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", port}, args...)...))
	}
	for i, s := range all {
		s.Do("cluster", "addslotsrange", i*16384/masters, (i+1)*16384/masters-1)
		if i > 0 {
			_, port, _ := net.SplitHostPort(s.Addr)
			all[0].Do("cluster", "meet", "127.0.0.1", port, bus[i])
		}
	}
	for _, s := range all {
		Until(t, "the cluster is ready", func(context.Context) bool {
			info := s.Do("cluster", "info")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_size:", masters))
		})
	}
	return all
}

// MoveSlot moves the slot of a key from the master that has it to the next, as
// redis-cli --cluster reshard does, and returns how many keys were in it. step
// is called between the steps.
func (all Servers) MoveSlot(t testing.TB, key string, step func()) (moved int) {
	t.Helper()
	number, err := strconv.Atoi(all[0].Do("cluster", "keyslot", key))
	if err != nil {
		t.Fatal(err)
	}
	source := all.owner(t, number)
	from, to := all[source], all[(source+1)%len(all)]
	to.Do("cluster", "setslot", number, "importing", from.Do("cluster", "myid"))
	step()
	from.Do("cluster", "setslot", number, "migrating", to.Do("cluster", "myid"))
	step()
	host, port, _ := net.SplitHostPort(to.Addr)
	c := from.Client()
	defer c.Close()
	for {
		keys, err := c.ClusterGetKeysInSlot(context.Background(), number, 10).Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		command := []any{"migrate", host, port, "", 0, 5000, "keys"}
		for _, k := range keys {
			command = append(command, k)
		}
		from.Do(command...)
		moved += len(keys)
	}
	step()
	for i := range all { // the one that takes it first
		all[(source+1+i)%len(all)].Do("cluster", "setslot", number, "node", to.Do("cluster", "myid"))
		step()
	}
	return moved
}

// owner is which of the servers has a slot.
func (all Servers) owner(t testing.TB, number int) int {
	t.Helper()
	c := all[0].Client()
	defer c.Close()
	shards, err := c.ClusterShards(context.Background()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for i, server := range all {
		for _, shard := range shards {
			here := slices.ContainsFunc(shard.Nodes, func(n goredis.Node) bool { return net.JoinHostPort(n.IP, strconv.FormatInt(n.Port, 10)) == server.Addr })
			has := slices.ContainsFunc(shard.Slots, func(r goredis.SlotRange) bool { return int(r.Start) <= number && number <= int(r.End) })
			if here && has {
				return i
			}
		}
	}
	t.Fatalf("no master has slot %d", number)
	return 0
}

// Followers gives each master of a cluster a replica.
func (all Servers) Followers(t testing.TB, args ...string) {
	t.Helper()
	for _, master := range all {
		bus := freePort(t)
		s := Serve(t, append([]string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", bus}, args...)...)
		host, port, _ := net.SplitHostPort(s.Addr)
		all[0].Do("cluster", "meet", host, port, bus)
		id := master.Do("cluster", "myid")
		Until(t, "the replica has met its master", func(context.Context) bool { return strings.Contains(s.Do("cluster", "nodes"), id) })
		s.Do("cluster", "replicate", id)
		Until(t, "the master has its replica", func(context.Context) bool {
			return strings.Contains(master.Do("info", "replication"), "state=online")
		})
	}
}
