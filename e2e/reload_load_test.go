package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// versions of the module that is swapped, oldest first; then it starts over.
var versions = []string{"A", "B"}

// buildVersions compiles testdata/versioned once for each version.
func buildVersions(t testing.TB) map[string]string {
	t.Helper()
	modules := map[string]string{}
	for _, v := range versions {
		out := filepath.Join(t.TempDir(), v+".wasm")
		if err := goBuild(filepath.Join("testdata", "versioned"), []string{"GOOS=wasip1", "GOARCH=wasm"}, out,
			"-buildmode=c-shared", "-ldflags", "-s -w -X main.version="+v, "."); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		modules[v] = string(content)
	}
	return modules
}

// Two plugins of one module are asked about every request, so a request that
// met two snapshots shows it: in two headers of a 200, or in header and reason
// of a 403.
const versioned = `
plugins:
  - {name: first, module: swapped.wasm, config: X-First, headers: [X-First], limits: {time: 5s}}
  - {name: second, module: swapped.wasm, config: X-Second, headers: [X-Second], limits: {time: 5s}}
routes: [{path: "/**", plugins: [first, second]}]
`

// versionOf returns the one version that answered, or what is wrong with the
// answer.
func versionOf(a answer) (string, error) {
	first, second := a.header.Get("X-First"), a.header.Get("X-Second")
	switch {
	case first == "":
	case a.status == http.StatusOK && first == second:
		return first, nil
	case a.status == http.StatusForbidden && strings.Contains(a.body, "version "+first+`"`):
		return first, nil
	}
	return "", fmt.Errorf("X-First %q, X-Second %q: %s", first, second, a)
}

// swapLoad asks at a steady rate, by a bounded number of workers, until it is
// told to end, and never fewer than least times.
type swapLoad struct {
	url   string
	auth  []string
	rate  int // requests a second
	least int64

	written, seen atomic.Int64 // swaps begun, and those known to answer
	sent          atomic.Int64
	end           atomic.Bool
	problems      chan error
}

const swapWorkers = 16

// run returns once every worker has ended.
func (l *swapLoad) run() {
	start := time.Now()
	var workers sync.WaitGroup
	for range swapWorkers {
		workers.Go(func() {
			for !l.end.Load() || l.sent.Load() < l.least {
				n := l.sent.Add(1)
				time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(l.rate))))
				if err := l.once(n); err != nil {
					select {
					case l.problems <- fmt.Errorf("request %d: %w", n, err):
					default: // enough of them
					}
				}
			}
		})
	}
	workers.Wait()
}

// once makes the n-th request and judges its answer: whole, of one version,
// and of none that had been replaced before the request began.
func (l *swapLoad) once(n int64) error {
	method := http.MethodGet
	if n%2 == 0 {
		method = http.MethodDelete
	}
	least := l.seen.Load()
	a, err := try(http.MethodGet, l.url, forwarded(method, "/x", l.auth...)...)
	most := l.written.Load()
	if err != nil {
		return err
	}
	v, err := versionOf(a)
	if err != nil {
		return err
	}
	for swap := least; swap <= most; swap++ {
		if v == versionAfter(swap) {
			return nil
		}
	}
	return fmt.Errorf("version %s answers after swap %d, which is %s", v, least, versionAfter(least))
}

func versionAfter(swap int64) string { return versions[swap%int64(len(versions))] }

// A module is swapped while requests run: none fails, none is answered by two
// versions, and each version answers once it was written. In the short form
// authhost has the race detector built in.
func TestReloadUnderLoad(t *testing.T) {
	modules := buildVersions(t)
	idp := newIssuer(t)
	dir := t.TempDir()
	module := filepath.Join(dir, "swapped.wasm")
	file := filepath.Join(dir, "authhost.yaml")
	writeFile(t, file, listen+"cache: {driver: memory}\n"+idp.realm("")+versioned)
	for _, v := range []string{"B", "A"} { // compiles both
		writeFile(t, module, modules[v])
		if output, code := check(t, file); code != 0 {
			t.Fatal(output)
		}
	}

	program, swaps, load := filepath.Join(t.TempDir(), "authhost"), 6, swapLoad{rate: 500, least: 1500}
	if *soak {
		program, swaps, load.rate, load.least = filepath.Join(artifacts(t), "authhost"), 20, 2000, 20000
	} else if err := goBuild(root, nil, program, append(raceFlags, "./cmd/authhost")...); err != nil {
		t.Fatal(err)
	}
	h := serveProgram(t, program, file, "GORACE=atexit_sleep_ms=0")
	load.url, load.auth, load.problems = h.public+"/authz/forward-auth", bearer(idp.token(t, "editor", nil)), make(chan error, 10)

	ended, start := make(chan struct{}), time.Now()
	go func() { defer close(ended); load.run() }()
	defer func() { <-ended }()
	defer load.end.Store(true)
	for swap := range int64(swaps) {
		load.written.Store(swap + 1)
		replaceFile(t, module, modules[versionAfter(swap+1)])
		eventually(t, fmt.Sprintf("swap %d", swap+1), func() bool {
			v, err := versionOf(h.forwardAuth(t, "GET", "/x", load.auth...))
			if err != nil {
				t.Fatal(err)
			}
			return v == versionAfter(swap+1)
		})
		load.seen.Store(swap + 1)
	}
	load.end.Store(true)
	<-ended
	t.Logf("%d swaps, %d requests, %.0f a second", swaps, load.sent.Load(), float64(load.sent.Load())/time.Since(start).Seconds())

	close(load.problems)
	for err := range load.problems {
		t.Error(err)
	}
	for _, p := range []string{"first", "second"} {
		if n := h.metric(t, "authhost_reloads_total", `target="plugin/`+p+`"`, `result="ok"`); n != float64(swaps+1) {
			t.Errorf("plugin %s: %v loads counted, want %d", p, n, swaps+1)
		}
	}
	if n := h.metric(t, "authhost_plugin_errors_total"); n != 0 {
		t.Errorf("%v errors of plugins", n)
	}
	h.stop(t)
	if h.err != nil || strings.Contains(h.output.String(), "DATA RACE") {
		t.Errorf("authhost ended with %v", h.err)
	}
}
