package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/etcd"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/cache/redis"
)

// shared is a real cache that several hosts share, and what those can do who
// reach around them.
type shared struct {
	driver string
	at     string       // a folder, or host:port
	redis  *redisServer // nil unless it is one
	server server       // nil for a folder
}

// server is one that can be stopped, and started again with what it held.
type server interface {
	start(t testing.TB)
	stop(t testing.TB)
}

// onShared runs a test on a cache of each kind.
func onShared(t *testing.T, run func(t *testing.T, s *shared)) {
	for _, driver := range []string{"file", "redis", "etcd"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			run(t, startShared(t, driver))
		})
	}
}

func startShared(t testing.TB, driver string) *shared {
	t.Helper()
	switch driver {
	case "file":
		return &shared{driver: driver, at: filepath.Join(t.TempDir(), "data")}
	case "redis":
		r := startRedis(t)
		return &shared{driver: driver, at: r.addr, redis: r, server: r}
	}
	e := &etcdServer{addr: freeAddr(t), peer: "http://" + freeAddr(t), dir: t.TempDir()}
	e.start(t)
	return &shared{driver: driver, at: e.addr, server: e}
}

// etcdServer is an etcd of one member.
type etcdServer struct {
	addr, peer, dir string
	*process
}

func (e *etcdServer) start(t testing.TB) {
	t.Helper()
	url := "http://" + e.addr
	e.process = start(t, exec.Command(program(t, "etcd"), "--name", "one", "--data-dir", e.dir, "--logger", "zap", "--log-level", "error",
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", e.peer, "--initial-advertise-peer-urls", e.peer, "--initial-cluster", "one="+e.peer))
	eventually(t, "etcd answering", func() bool {
		a, err := try("GET", url+"/health")
		return err == nil && a.status == 200 && strings.Contains(a.body, `"true"`)
	})
}

// config is the part of a configuration that names the cache. at is where it
// is reached: the cache itself, or something in between.
func (s *shared) config(at string, staleness time.Duration) string {
	where := map[string]string{"file": "file: {dir: %q}", "redis": "redis: {addrs: [%q]}", "etcd": "etcd: {endpoints: [%q]}"}[s.driver]
	return fmt.Sprintf("cache: {driver: %s, "+where+", near: {max_staleness: %s}}\n", s.driver, at, staleness)
}

// openShared opens a cache as authhost does, with the patience of a test.
func openShared(driver, at string) (cache.Driver, error) {
	switch driver {
	case "file":
		return file.Open(file.Options{Dir: at, LockTimeout: patience})
	case "redis":
		return redis.New(redis.Options{Addrs: []string{at}, CallTimeout: patience})
	case "etcd":
		return etcd.New(etcd.Options{Endpoints: []string{at}, Timeout: patience})
	}
	return nil, errors.New("no such driver")
}

// open is a way of the test's own to the cache.
func (s *shared) open(t testing.TB) cache.Driver {
	t.Helper()
	d, err := openShared(s.driver, s.at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// keys returns everything that the cache holds, of whatever kind, by name.
func (s *shared) keys(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	switch s.driver {
	case "file":
		err := filepath.WalkDir(s.at, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "lock" && strings.HasPrefix(path, filepath.Join(s.at, "due")) { // looking takes that lock
				return err
			}
			content, err := os.ReadFile(path)
			found[path] = string(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	case "redis":
		c := s.redisClient(t)
		names, err := c.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if found[name], err = c.Dump(t.Context(), name).Result(); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := c.DBSize(t.Context()).Result(); err != nil || int(n) != len(found) {
			t.Fatalf("DBSIZE %d, %v; %d keys", n, err, len(found))
		}
	case "etcd":
		got, err := s.etcdClient(t).Get(t.Context(), "", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.Kvs {
			found[string(kv.Key)] = string(kv.Value)
		}
	}
	return found
}

// contents returns everything that the server holds of users, by key: the
// due-lists are not, which name them.
func (s *shared) contents(t testing.TB) map[string]map[string]string {
	t.Helper()
	if s.redis != nil {
		return s.redis.contents(t)
	}
	got, err := s.etcdClient(t).Get(t.Context(), "authhost/slot/", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) == 0 {
		t.Fatal(err, got)
	}
	all := map[string]map[string]string{}
	for _, kv := range got.Kvs {
		all[string(kv.Key)] = map[string]string{"": string(kv.Value)}
	}
	return all
}

// remove takes a user's slot away behind everybody's back.
func (s *shared) remove(t testing.TB, userID string) {
	t.Helper()
	n, err := int64(1), error(nil)
	switch s.driver {
	case "file":
		sum := sha256.Sum256([]byte(userID))
		name := hex.EncodeToString(sum[:])
		err = os.Remove(filepath.Join(s.at, "slots", name[:2], name))
	case "redis":
		n, err = s.redisClient(t).Del(t.Context(), "authhost:{"+userID+"}").Result()
	case "etcd":
		var done *clientv3.DeleteResponse
		if done, err = s.etcdClient(t).Delete(t.Context(), "authhost/slot/"+userID); err == nil {
			n = done.Deleted
		}
	}
	if err != nil || n != 1 {
		t.Fatalf("%d slots removed: %v", n, err)
	}
}

func (s *shared) redisClient(t testing.TB) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: s.at, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *shared) etcdClient(t testing.TB) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.at}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// fields returns what a user's slot holds.
func fields(t testing.TB, d cache.Driver, userID string) map[string][]byte {
	t.Helper()
	all, err := d.All(context.WithoutCancel(t.Context()), userID)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// serveAll starts n hosts of one configuration, which gets an operator.
func serveAll(t testing.TB, n int, config string) []*authhost {
	t.Helper()
	operators := filepath.Join(t.TempDir(), "operators")
	writeFile(t, operators, "ann "+operatorToken+"\n")
	var hosts []*authhost
	for range n {
		hosts = append(hosts, serve(t, listen+fmt.Sprintf("operator: {token_file: %q}\n", operators)+config))
	}
	for _, h := range hosts {
		h.awaitReady(t)
	}
	return hosts
}

// listed is one item of a list of sessions.
type listed struct {
	ID            string    `json:"id"`
	CreatedAt     time.Time `json:"created_at"`
	LastSeenAt    time.Time `json:"last_seen_at"`
	IdleExpiresAt time.Time `json:"idle_expires_at"`
	ExpiresAt     time.Time `json:"expires_at"`
	Current       bool      `json:"current"`
}

// operatorPath is where the operator finds a user of realm main.
func operatorPath(userID string) string { return "/v1/system/realms/main/users/" + userID }

// list returns the live sessions of a user, as the operator is shown them.
func (h *authhost) list(t testing.TB, userID string) []listed {
	t.Helper()
	return parseList(t, get(t, h.admin+operatorPath(userID)+"/sessions", bearer(operatorToken)...))
}

// ids returns their ids, the oldest first.
func (h *authhost) ids(t testing.TB, userID string) []string {
	t.Helper()
	return idsOf(h.list(t, userID))
}

func idsOf(list []listed) []string {
	ids := []string{}
	for _, item := range list {
		ids = append(ids, item.ID)
	}
	return ids
}

func parseList(t testing.TB, a answer) []listed {
	t.Helper()
	var page struct {
		Items []listed `json:"items"`
		Next  *string  `json:"next_page"`
	}
	strict := json.NewDecoder(strings.NewReader(a.body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&page); err != nil || a.status != 200 || page.Items == nil || page.Next != nil {
		t.Fatalf("list: %s: %v", a, err)
	}
	return page.Items
}

// wantListed expects exactly these sessions of a user on every host.
func wantListed(t testing.TB, hosts []*authhost, userID string, ids ...string) {
	t.Helper()
	for i, h := range hosts {
		got := h.ids(t, userID)
		if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(ids))) {
			t.Errorf("host %d lists %q, want %q", i, got, ids)
		}
	}
}

// wantEverywhere asks every host about one credential.
func wantEverywhere(t testing.TB, hosts []*authhost, status int, what, token string) {
	t.Helper()
	for i, h := range hosts {
		h.expect(t, status, fmt.Sprintf("%s, host %d", what, i), bearer(token)...)
	}
}
