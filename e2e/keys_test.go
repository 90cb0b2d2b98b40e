package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host/kv"
	"github.com/authhost/authhost/host/kv/kvtest"
)

// The keys of plugins are the same on every cache.
func TestKeysOnRealCaches(t *testing.T) {
	onShared(t, func(t *testing.T, s *shared) {
		var spaces atomic.Int64
		a, b, c := s.open(t), s.open(t), s.open(t)
		kvtest.Run(t, func(t *testing.T, keys int) kvtest.Shared {
			shared := kvtest.Shared{Clock: &kvtest.Clock{}}
			name := fmt.Sprint("p", spaces.Add(1))
			for _, d := range []kv.Options{{Cache: a}, {Cache: b}, {Cache: c}} {
				d.Plugin, d.Keys, d.Now = name, keys, shared.Clock.Now
				space, err := kv.New(d)
				if err != nil {
					t.Fatal(err)
				}
				shared.Replicas = append(shared.Replicas, space)
			}
			return shared
		})
	})
}

// together asks each of the hosts n times, from two goroutines each, and calls
// done with each answer.
func together(t *testing.T, hosts []*authhost, n int, ask func(h *authhost) (answer, error), done func(answer)) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, h := range hosts {
		for range 2 {
			all.Go(func() {
				for range n / 2 {
					a, err := ask(h)
					mu.Lock()
					if err != nil {
						t.Error(err)
					} else {
						done(a)
					}
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
}

// What a plugin counts in three processes, by compare-and-swap of a key or of a
// session's attribute and by addition, loses nothing: no number is given to two
// requests. Where many swap at once on a busy machine, one may run out of time
// and is answered 503, or out of tries and is answered 404; it asks again.
func TestPluginsInThreeProcessesLoseNoUpdate(t *testing.T) {
	module := filepath.Join(t.TempDir(), "keeper.wasm")
	if err := buildGuest(filepath.Join("testdata", "keeper"), module); err != nil {
		t.Fatal(err)
	}
	onShared(t, func(t *testing.T, s *shared) {
		idp := newIssuer(t)
		hosts := serveAll(t, 3, idp.realm("")+s.config(s.at, 0)+fmt.Sprintf(`
plugins:
  - {name: keeper, module: %q, headers: [X-Team], capabilities: [session, {kv: {keys: 2}}], limits: {time: 2s}}
routes:
  - {path: "/**", plugins: [keeper], default: allow}
`, module))
		token := hosts[0].login(t, idp.token(t, "alice", nil)).token
		const each = 12
		for _, path := range []string{"/add", "/swap", "/session"} {
			seen := map[string]int{}
			together(t, hosts, each, func(h *authhost) (a answer, err error) {
				for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(rand.N(50 * time.Millisecond)) {
					a, err = try("GET", h.public+"/authz/forward-auth", forwarded("GET", path, bearer(token)...)...)
					if err != nil || a.status == http.StatusOK {
						break
					}
				}
				return a, err
			}, func(a answer) {
				if a.status != http.StatusOK {
					t.Errorf("%s: %s", path, a)
				}
				seen[a.header.Get("X-Team")]++
			})
			if len(seen) != each*len(hosts) {
				t.Errorf("%s: %d requests were given %d numbers: %v", path, each*len(hosts), len(seen), seen)
			}
		}
		if n := hosts[1].metric(t, "authhost_plugin_metric_total", `plugin="keeper"`, `name="asked"`); n < 3*each {
			t.Errorf("the plugin counted %v requests, want %d at least", n, 3*each)
		}
		if n := hosts[1].metric(t, "authhost_plugin_state_operations_total", `op="add"`, `result="ok"`); n < each {
			t.Errorf("%v additions were counted", n)
		}
		// Who explains a request is told what it would come to, and changes nothing.
		if s.driver == "redis" {
			for range 2 {
				cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), "explain", "--config", hosts[0].config, "--header", "Authorization: Bearer "+token, "https://console.example/add")
				cmd.Env = environ(t)
				if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "allow "+fmt.Sprint(each*len(hosts)+1)) {
					t.Errorf("explain: %v\n%s", err, out)
				}
			}
		}
		// Without a session there is nothing to change.
		if a := hosts[0].forwardAuth(t, "GET", "/session", bearer(idp.token(t, "alice", nil))...); a.status != http.StatusNotFound {
			t.Errorf("a JWT's session: %s", a)
		}
		out, code := cacheCommand(t, "check", "--config", hosts[0].config)
		if code != 0 || !strings.Contains(out, "2 keys of plugins: 0 problems") {
			t.Errorf("check: %d, %s", code, out)
		}
	})
}

// Each function needs its capability, and a module that asks for one is refused
// at the load without it.
func TestCapabilitiesAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := buildGuest(filepath.Join("testdata", "keeper"), filepath.Join(dir, "keeper.wasm")); err != nil {
		t.Fatal(err)
	}
	for capabilities, want := range map[string]string{
		"[]":                             "which the plugin is not granted",
		"[session]":                      "needs the capability kv, which the plugin is not granted",
		"[credentials, {kv: {keys: 1}}]": "needs the capability session, which the plugin is not granted",
		"[kv]":                           "kv needs its scope",
	} {
		file := filepath.Join(dir, "authhost.yaml")
		writeFile(t, file, listen+"plugins: [{name: keeper, module: keeper.wasm, capabilities: "+capabilities+"}]\n")
		refusedBy(t, file, "authhost.yaml:3: plugins[0].", want)
	}
}

// The plugin rate-limit in three processes on one Redis lets through what its
// limit allows at ten times the rate, says when to come back, and 503 while
// Redis is away.
func TestRateLimitOverReplicas(t *testing.T) {
	module := filepath.Join(t.TempDir(), "rate-limit.wasm")
	if err := buildGuest(filepath.Join(root, "plugins", "rate-limit"), module); err != nil {
		t.Fatal(err)
	}
	const limit, seconds, windows = 20, 3, 2
	s, idp := startShared(t, "redis"), newIssuer(t)
	hosts := serveAll(t, 3, idp.realm("")+s.config(s.at, time.Second)+fmt.Sprintf(`
plugins:
  - name: rate-limit
    module: %q
    capabilities: [{kv: {keys: 100}}]
    config: {rules: [{path: /api/**, by: client, limit: %d, window: %ds}]}
routes:
  - {path: "/**", authenticate: optional, plugins: [rate-limit], default: allow}
`, module, limit, seconds))
	window := func() int64 { return time.Now().Unix() / seconds }
	begin := window()
	eventually(t, "another window", func() bool { return window() != begin })
	first := window()
	asked, allowed, unsure, denied := map[int64]int{}, map[int64]int{}, map[int64]int{}, 0 // by the window
	const every = seconds * time.Second / (10 * limit)                                     // the rate
	var sent atomic.Int64
	start := time.Now()
	together(t, hosts, windows*10*limit/3, func(h *authhost) (answer, error) {
		time.Sleep(time.Until(start.Add(time.Duration(sent.Add(1)) * every)))
		from := window()
		a, err := try("GET", h.public+"/authz/forward-auth", forwarded("GET", "/api/a", "X-Forwarded-For", "198.51.100.7")...)
		if err == nil {
			a.header.Set("X-Windows", fmt.Sprint(from, " ", window()))
		}
		return a, err
	}, func(a answer) {
		var from, to int64
		if _, err := fmt.Sscan(a.header.Get("X-Windows"), &from, &to); err != nil {
			t.Error(err)
		}
		within := from == to
		if within {
			asked[from]++
		}
		switch wait := a.header.Get("Retry-After"); {
		case a.status == http.StatusOK && within:
			allowed[from]++
		case a.status == http.StatusTooManyRequests && len(wait) == 1 && wait >= "1" && wait <= "3":
			denied++
		case a.status == http.StatusOK, a.status == http.StatusServiceUnavailable && wait != "": // on a busy machine: counted or not
			for w := from; w <= to; w++ {
				unsure[w]++
			}
		default:
			t.Errorf("%s, Retry-After %q", a, wait)
		}
	})
	last := window()
	t.Logf("windows %d to %d: asked %v, allowed %v, unsure %v; %d denied", first, last, asked, allowed, unsure, denied)
	full := 0 // windows in which the machine was fast enough
	for w := first; w <= last; w++ {
		if n := float64(allowed[w]); n > limit*1.05 || asked[w] >= 2*limit && n+float64(unsure[w]) < limit*0.95 {
			t.Errorf("window %d: of %d %v were allowed and %d perhaps, the limit is %d", w, asked[w], n, unsure[w], limit)
		}
		if asked[w] >= 2*limit {
			full++
		}
	}
	if full == 0 || denied == 0 {
		t.Errorf("%d windows were full, %d requests denied", full, denied)
	}
	if a := hosts[0].forwardAuth(t, "GET", "/api/a", "X-Forwarded-For", "198.51.100.8"); a.status != http.StatusOK {
		t.Errorf("another client: %s", a)
	}
	if n := hosts[2].metric(t, "authhost_plugin_metric_total", `name="limited"`); n == 0 {
		t.Error("nothing was counted as limited")
	}

	s.redis.stop(t)
	for _, h := range hosts {
		if a := h.forwardAuth(t, "GET", "/api/a", "X-Forwarded-For", "198.51.100.9"); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("Redis away: %s", a)
		}
		if a := h.forwardAuth(t, "GET", "/b"); a.status != http.StatusOK {
			t.Errorf("nothing to count, Redis away: %s", a)
		}
	}
	s.redis.start(t)
	eventually(t, "an answer once Redis is back", func() bool {
		return hosts[1].forwardAuth(t, "GET", "/api/a", "X-Forwarded-For", "198.51.100.9").status == http.StatusOK
	})
}
