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

// buildVersions compiles testdata/versioned once for each version, and once
// more so that it is slow to start: modules by version, in both forms.
func buildVersions(t testing.TB) map[string][2]string {
	t.Helper()
	modules := map[string][2]string{}
	for _, v := range versions {
		var forms [2]string
		for i, slow := range []string{"", "yes"} {
			out := filepath.Join(t.TempDir(), v+".wasm")
			if err := goBuild(filepath.Join("testdata", "versioned"), []string{"GOOS=wasip1", "GOARCH=wasm"}, out,
				"-buildmode=c-shared", "-ldflags", "-s -w -X main.version="+v+" -X main.slow="+slow, "."); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			forms[i] = string(content)
		}
		modules[v] = forms
	}
	return modules
}

// Two plugins of one module are asked about every request, so a request that
// met two snapshots shows it: in two headers of a 200, or in header and reason
// of a 403. A third has a module of its own.
const versioned = `
plugins:
  - {name: other, module: other.wasm}
  - {name: first, module: swapped.wasm, config: X-First, headers: [X-First], limits: {time: 5s}}
  - {name: second, module: swapped.wasm, config: X-Second, headers: [X-Second], limits: {time: 5s}}
routes: [{path: "/**", plugins: [other, first, second]}]
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
	url     string
	auth    []string
	rate    int // requests a second
	workers int // so many wait for an instance at most, each for a second
	least   int64

	written, seen atomic.Int64 // swaps begun, and those known to answer
	sent          atomic.Int64
	end           atomic.Bool
	problems      chan error
}

// run returns once every worker has ended.
func (l *swapLoad) run() {
	start := time.Now()
	var workers sync.WaitGroup
	for range l.workers {
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
