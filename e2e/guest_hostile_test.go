package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// hostileModes are what testdata/hostile can be told to do. Each mode is a
// plugin of its own, and the only one of the route of its name.
var hostileModes = []string{"loop", "panic", "exit", "eat", "garbage", "recurse", "chatter", "undeclared"}

const (
	hostileMemory    = 16 // MiB, of one instance
	hostileInstances = 2  // of one plugin
	hostileAtOnce    = 4  // requests of each mode
	hostileRounds    = 2
)

// hostileConfig is the plugins of all modes, of a hand-made module that takes
// memory, and of one that behaves.
func hostileConfig() string {
	var plugins, routes strings.Builder
	add := func(name, module, time string) {
		fmt.Fprintf(&plugins, "  - {name: %s, module: %s, config: %s, limits: {memory: %dMiB, time: %s, instances: %d}}\n", name, module, name, hostileMemory, time, hostileInstances)
		fmt.Fprintf(&routes, "  - {path: /%s, plugins: [%s], default: deny}\n", name, name)
	}
	for _, mode := range hostileModes {
		add(mode, "hostile.wasm", "100ms")
	}
	add("grow", "growing.wasm", "100ms")
	// The machine is busy with the others.
	add("good", "hostile.wasm", "5s")
	add("tiny", "allowing.wasm", "5s")
	return "plugins:\n" + plugins.String() + "routes:\n" + routes.String()
}

// memory returns a figure of /proc/PID/status in MiB: VmRSS, or VmHWM for the
// most it ever was.
func (p *process) memory(t testing.TB, name string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(status), name+":")
	kb, err := strconv.Atoi(strings.Fields(value)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb >> 10
}

// startHostile runs authhost with the hostile modules at hand. They were
// compiled by another process, since that takes memory of its own.
func startHostile(t testing.TB, config string) (h *authhost, auth []string) {
	t.Helper()
	idp := newIssuer(t)
	dir := t.TempDir()
	if err := buildGuest(filepath.Join("testdata", "hostile"), filepath.Join(dir, "hostile.wasm")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "growing.wasm"), string(growing()))
	writeFile(t, filepath.Join(dir, "allowing.wasm"), string(allowing()))
	file := filepath.Join(dir, "authhost.yaml")
	writeFile(t, file, listen+"cache: {driver: memory}\n"+idp.realm("")+config)
	if output, code := check(t, file); code != 0 {
		t.Fatal(output)
	}
	h = serveFile(t, file)
	eventually(t, "ready", func() bool { return get(t, h.telemetry+"/readyz").status == http.StatusOK })
	return h, bearer(idp.token(t, "viewer", nil))
}

// A plugin that loops, traps, eats memory or breaks a rule costs its own
// requests a 503, and nobody else anything.
func TestHostileGuests(t *testing.T) {
	h, auth := startHostile(t, hostileConfig())
	before := h.memory(t, "VmRSS")

	modes := append([]string{"grow"}, hostileModes...)
	var attackers sync.WaitGroup
	problems := make(chan string, 1000)
	for _, mode := range modes {
		for range hostileAtOnce {
			attackers.Go(func() {
				for range hostileRounds {
					a, err := try(http.MethodGet, h.public+"/authz/forward-auth", forwarded("GET", "/"+mode, auth...)...)
					if err != nil {
						problems <- fmt.Sprintf("%s: %v", mode, err)
					} else if wrong := hostileAnswer(mode, a); wrong != "" {
						problems <- wrong
					}
				}
			})
		}
	}
	ended := make(chan struct{})
	go func() { attackers.Wait(); close(ended) }()
	asked := 0
	for under := true; under || asked < 10; asked++ {
		select {
		case <-ended:
			under = false
		default:
		}
		for _, path := range []string{"/tiny", "/good"} {
			if a := h.forwardAuth(t, "GET", path, auth...); a.status != http.StatusOK {
				t.Errorf("%s beside them: %s", path, a)
			}
		}
	}
	close(problems)
	for p := range problems {
		t.Error(p)
	}
	for _, mode := range modes {
		if n := h.metric(t, "authhost_plugin_errors_total", fmt.Sprintf("plugin=%q", mode)); n != hostileAtOnce*hostileRounds {
			t.Errorf("%s: %v errors counted, want %d", mode, n, hostileAtOnce*hostileRounds)
		}
		if n := h.metric(t, "authhost_requests_total", fmt.Sprintf("route=%q", "/"+mode), `status="503"`); n != hostileAtOnce*hostileRounds {
			t.Errorf("%s: %v requests with 503 counted", mode, n)
		}
	}
	if n := h.metric(t, "authhost_plugin_errors_total", `plugin="good"`) + h.metric(t, "authhost_plugin_errors_total", `plugin="tiny"`); n != 0 {
		t.Errorf("%v errors of plugins that behave", n)
	}
	if !strings.Contains(h.log(), "hostile-secret of viewer") {
		t.Error("the log does not have the panic's text")
	}

	// All instances at their limit at once, and as much again for the engine.
	most := h.memory(t, "VmHWM")
	bound := before + 2*len(modes)*hostileInstances*hostileMemory
	t.Logf("%d requests of others meanwhile; memory %d MiB before, %d MiB at most, bound %d MiB", asked, before, most, bound)
	if most > bound {
		t.Errorf("the process took %d MiB, the bound is %d MiB", most, bound)
	}
}

// What eats memory ends at its limit. The process takes no more than six times
// what the instances may have at once: their memory grows by being copied, and
// that of instances thrown away waits for the collector.
func TestHostileGuestMemory(t *testing.T) {
	h, auth := startHostile(t, fmt.Sprintf(`
plugins:
  - {name: eat, module: hostile.wasm, config: eat, limits: {memory: %[1]dMiB, time: 2s, instances: %[2]d}}
  - {name: grow, module: growing.wasm, config: grow, limits: {memory: %[1]dMiB, time: 500ms, instances: %[2]d}}
routes: [{path: /eat, plugins: [eat]}, {path: /grow, plugins: [grow]}]
`, hostileMemory, hostileInstances))
	before := h.memory(t, "VmRSS")
	var all sync.WaitGroup
	problems := make(chan string, 100)
	for _, mode := range []string{"eat", "grow"} {
		for range 2 * hostileInstances {
			all.Go(func() {
				a, err := try(http.MethodGet, h.public+"/authz/forward-auth", forwarded("GET", "/"+mode, auth...)...)
				if err != nil {
					problems <- err.Error()
				} else if wrong := hostileAnswer(mode, a); wrong != "" {
					problems <- wrong
				}
			})
		}
	}
	all.Wait()
	close(problems)
	for p := range problems {
		t.Error(p)
	}
	const bound = 6 * 2 * hostileInstances * hostileMemory // MiB
	if took := h.memory(t, "VmHWM") - before; took > bound {
		t.Errorf("the process took %d MiB more, the bound is %d MiB", took, bound)
	} else {
		t.Logf("%d MiB more than the %d MiB before, the bound is %d", took, before, bound)
	}
}

// hostileAnswer returns what is wrong with the answer to a request that a
// hostile plugin was asked about; empty if nothing is.
func hostileAnswer(mode string, a answer) string {
	var all strings.Builder
	a.header.Write(&all)
	all.WriteString(a.body)
	switch {
	case a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "":
		return fmt.Sprintf("%s: want 503 and Retry-After, got %s %v", mode, a, a.header)
	case strings.Contains(all.String(), "hostile-secret") || strings.Contains(all.String(), "wasm") || a.header.Get("X-Undeclared") != "":
		return fmt.Sprintf("%s: the client is told %s", mode, all.String())
	}
	return ""
}

// A plugin that refuses its configuration ends the start, with its own words.
func TestHostileGuestAtStart(t *testing.T) {
	dir := t.TempDir()
	if err := buildGuest(filepath.Join("testdata", "hostile"), filepath.Join(dir, "hostile.wasm")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "authhost.yaml")
	writeFile(t, file, "cache: {driver: memory}\nplugins:\n  - name: gate\n    module: hostile.wasm\n    config: refuse\nroutes: [{path: /**, plugins: [gate]}]\n")
	refusedBy(t, file, file+":5: plugins[0].config: plugin gate: configure: hostile-secret: not with me")
}
