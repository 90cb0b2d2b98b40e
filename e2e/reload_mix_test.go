package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// mix is a host whose modules and configuration are changed at once, while
// requests run.
type mix struct {
	*authhost
	dir     string
	modules map[string][2]string
	load    *swapLoad
	swaps   int // of the shared module so far, good and bad

	good, bad struct{ shared, other, config int } // what was written
	asked     int                                 // reloads of the other plugin by the operator
}

func (m *mix) path(name string) string { return filepath.Join(m.dir, name) }

// put replaces a file in one step.
func (m *mix) put(name, content string) error {
	if err := os.WriteFile(m.path(name)+".new", []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(m.path(name)+".new", m.path(name))
}

// await polls until ok is true, and says what was awaited if it never is.
func await(what string, ok func() (bool, error)) error {
	for end := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		if good, err := ok(); err != nil || good {
			return err
		}
		if time.Now().After(end) {
			return errors.New("never came: " + what)
		}
	}
}

// tried waits until the host's last attempt at a plugin is one at that module,
// and ended in that state.
func (m *mix) tried(name, module, state string) error {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(module)))
	return await(fmt.Sprintf("plugin %s %s with %.8s", name, state, sum), func() (bool, error) {
		a, err := try(http.MethodGet, m.admin+"/v1/plugins/"+name, bearer(operatorToken)...)
		if err != nil {
			return false, err
		}
		var p shownPlugin
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			return false, fmt.Errorf("%s: %w", a, err)
		}
		return p.Last.SHA256 == sum && p.State == state, nil
	})
}

// post asks for a reload as the operator, and wants one of these statuses.
func (m *mix) post(path string, want ...int) error {
	a, err := try(http.MethodPost, m.admin+path, bearer(operatorToken)...)
	if err != nil {
		return err
	}
	for _, status := range want {
		if a.status == status {
			return nil
		}
	}
	return fmt.Errorf("%s: %s, want one of %v", path, a, want)
}

// swapShared changes the module of two plugins, by turns for one that is good,
// or good and slow to start, and one that is not: cut short, of another ABI, no
// plugin, or one that traps in configure. Half of the times nobody waits for the
// file to be noticed.
func (m *mix) swapShared(times int) error {
	for range times {
		n := m.swaps
		m.swaps++
		hurry := func() error {
			if n%16 < 8 {
				return nil
			}
			// The configuration may be a bad one just then.
			return m.post("/v1/config/reload", http.StatusNoContent, http.StatusUnprocessableEntity)
		}
		if n%2 == 1 {
			cut := m.modules["A"][0][:1000+n]
			module := [...]string{cut, string(ofAnotherABI()), string(withoutExports()), string(trappingInConfigure())}[n/2%4]
			m.bad.shared++
			if err := errors.Join(m.put("swapped.wasm", module), hurry(), m.tried("first", module, "refused"), m.tried("second", module, "refused")); err != nil {
				return err
			}
			continue
		}
		m.good.shared++
		swap := int64(m.good.shared)
		module := m.modules[versionAfter(swap)][n/2%2]
		m.load.written.Store(swap)
		if err := errors.Join(m.put("swapped.wasm", module), hurry(), m.tried("first", module, "serving"), m.tried("second", module, "serving")); err != nil {
			return err
		}
		m.load.seen.Store(swap)
	}
	return nil
}

// swapOther changes the module of the third plugin until it is told to end.
func (m *mix) swapOther(end <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-end:
			return nil
		default:
		}
		module, state, status := "#!/bin/sh\n#"+fmt.Sprint(n), "refused", http.StatusUnprocessableEntity
		if n%3 > 0 {
			g := guest(Const64(0))
			g.Custom = map[string]string{"n": fmt.Sprint(n)}
			module, state, status = string(g.Encode()), "serving", http.StatusOK
			m.good.other++
		} else {
			m.bad.other++
		}
		if err := m.put("other.wasm", module); err != nil {
			return err
		}
		if n%2 == 0 {
			m.asked++
			if err := m.post("/v1/plugins/other/reload", status); err != nil {
				return err
			}
		}
		if err := m.tried("other", module, state); err != nil {
			return err
		}
	}
}

// edit changes the configuration until it is told to end: each good one has a
// public route of its own, each third is a bad one.
func (m *mix) edit(end <-chan struct{}) error {
	content, err := os.ReadFile(m.config)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		select {
		case <-end:
			return m.put("authhost.yaml", string(content))
		default:
		}
		if n%3 == 2 {
			m.bad.config++
			if err := m.put("authhost.yaml", strings.Replace(string(content), "routes: [", "rules: [", 1)); err != nil {
				return err
			}
			if n%2 == 0 {
				if err := m.post("/v1/config/reload", http.StatusUnprocessableEntity); err != nil {
					return err
				}
			}
			continue // the next one mends it, noticed or not
		}
		m.good.config++
		path := fmt.Sprintf("/public/%d", n)
		if err := m.put("authhost.yaml", strings.Replace(string(content), "routes: [", "routes: [{path: "+path+", authenticate: none}, ", 1)); err != nil {
			return err
		}
		if err := await("a public "+path, func() (bool, error) {
			a, err := try(http.MethodGet, m.public+"/authz/forward-auth", forwarded("GET", path)...)
			return a.status == http.StatusOK, err
		}); err != nil {
			return err
		}
	}
}

// weigh returns how much memory the host has, in bytes, and how many
// goroutines.
func (m *mix) weigh(t testing.TB) (memory, goroutines float64) {
	t.Helper()
	for line := range strings.Lines(get(t, m.telemetry+"/metrics").body) {
		fmt.Sscanf(line, "process_resident_memory_bytes %g", &memory)
		fmt.Sscanf(line, "go_goroutines %g", &goroutines)
	}
	if memory == 0 || goroutines == 0 {
		t.Fatal("memory and goroutines are not in /metrics")
	}
	return memory, goroutines
}

// Two modules, of three plugins, and the configuration change at once while
// requests run: none fails, none is answered by two versions, each version
// answers once it is said to serve, no change is lost, and nothing is left
// behind. In the short form authhost has the race detector built in.
func TestReloadUnderLoad(t *testing.T) {
	idp := newIssuer(t)
	m := &mix{dir: t.TempDir(), modules: buildVersions(t), load: &swapLoad{rate: 300, workers: 6, least: 1500}}
	for i := 0; i < len(operators); i += 2 {
		writeFile(t, m.path(operators[i]), operators[i+1])
	}
	writeFile(t, m.path("other.wasm"), string(guest(Const64(0)).Encode()))
	writeFile(t, m.path("authhost.yaml"), listen+operated+"cache: {driver: memory}\n"+idp.realm("")+versioned)
	for _, module := range []string{m.modules["B"][1], m.modules["A"][1], m.modules["B"][0], m.modules["A"][0]} { // compiles all
		writeFile(t, m.path("swapped.wasm"), module)
		if output, code := check(t, m.path("authhost.yaml")); code != 0 {
			t.Fatal(output)
		}
	}
	program, half := filepath.Join(t.TempDir(), "authhost"), 6
	if *soak {
		program, half, m.load.rate, m.load.workers, m.load.least = filepath.Join(artifacts(t), "authhost"), 100, 2000, 16, 20000
	} else if err := goBuild(root, nil, program, append(raceFlags, "./cmd/authhost")...); err != nil {
		t.Fatal(err)
	}
	m.authhost = serveProgram(t, program, m.path("authhost.yaml"), "GORACE=atexit_sleep_ms=0")
	m.load.url, m.load.auth, m.load.problems = m.public+"/authz/forward-auth", bearer(idp.token(t, "editor", nil)), make(chan error, 10)

	var requests, others sync.WaitGroup
	start, end, problems := time.Now(), make(chan struct{}), make(chan error, 3)
	requests.Go(m.load.run)
	others.Go(func() { problems <- m.swapOther(end) })
	others.Go(func() { problems <- m.edit(end) })
	err := m.swapShared(half)
	memory, goroutines := m.weigh(t)
	if err == nil {
		err = m.swapShared(half)
	}
	close(end)
	others.Wait()
	memoryThen, goroutinesThen := m.weigh(t) // with the requests that there were half-way
	sent, aimed := m.load.sent.Load(), int64(time.Since(start).Seconds()*float64(m.load.rate))
	m.load.end.Store(true)
	requests.Wait()
	for _, err := range []error{err, <-problems, <-problems} {
		if err != nil {
			t.Error(err)
		}
	}
	close(m.load.problems)
	for err := range m.load.problems {
		t.Error(err)
	}
	t.Logf("%d requests of %d aimed at; good and bad: %d and %d of the shared module, %d and %d of the other, %d and %d configurations",
		sent, aimed, m.good.shared, m.bad.shared, m.good.other, m.bad.other, m.good.config, m.bad.config)
	t.Logf("memory %.0f MiB half-way, %.0f MiB at the end; goroutines %.0f and %.0f", memory/(1<<20), memoryThen/(1<<20), goroutines, goroutinesThen)
	// The race detector does not keep up on every machine.
	if *soak && sent < aimed*9/10 {
		t.Errorf("of the %d requests aimed at %d were sent", aimed, sent)
	}
	// A dozen loads under the race detector are no measure of memory.
	if *soak && memoryThen > memory+128<<20 {
		t.Error("memory grows")
	}
	eventually(t, "no more goroutines than half-way", func() bool { // what was replaced is closed in the end
		_, goroutinesThen = m.weigh(t)
		return goroutinesThen <= goroutines+32
	})
	// What the operator asks for is loaded again if it was noticed before.
	for p, want := range map[string][2]int{"first": {m.good.shared, 0}, "second": {m.good.shared, 0}, "other": {m.good.other, m.asked}} {
		more := int(m.metric(t, "authhost_reloads_total{", `target="plugin/`+p+`"`, `result="ok"`)) - 1 - want[0]
		if more < 0 || more > want[1] {
			t.Errorf("plugin %s: %d loads more than the first and %d", p, more, want[0])
		}
	}
	if n := m.metric(t, "authhost_plugin_errors_total"); n != 0 {
		t.Errorf("%v errors of plugins", n)
	}
	m.stop(t)
	if m.err != nil || strings.Contains(m.output.String(), "DATA RACE") {
		t.Errorf("authhost ended with %v", m.err)
	}
}
