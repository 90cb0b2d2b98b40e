package plugin_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// attack is a guest that misbehaves when cued. The attacks are listed by
// subject: attack_time_test.go, attack_memory_test.go, attack_calls_test.go,
// attack_traps_test.go and attack_output_test.go. What ends a module before any
// of it runs is in check_test.go and bombs_test.go.
type attack struct {
	name     string
	imports  []Import
	table    []byte
	elements []int
	body     []byte // of function trouble, which has two locals of i32
	more     []Func // the functions after trouble
	cause    string // in the private cause

	// An attack by its answer has a body that returns from the hook, with
	// data at dataAt, in these hooks alone.
	answer bool
	data   string
	hooks  []string
}

// With no imports, the index of function trouble, which may call itself, and
// of the first of those after it.
const (
	trouble = 2
	after   = 3
)

func attacks() []attack {
	return slices.Concat(timeAttacks(), memoryAttacks(), callAttacks(), trapAttacks(), outputAttacks())
}

var (
	asked  = []string{"on_credential", "on_authorize", "on_login", "on_logout"}
	hooks  = append([]string{"configure"}, asked...)
	places = append([]string{"start", "_initialize", "authhost_buffer"}, hooks...)
)

// in says whether the attack can be made in that place.
func (a attack) in(place string) bool { return !a.answer || slices.Contains(a.hooks, place) }

// module attacks in on_authorize.
func (a attack) module() Module { return a.at("on_authorize") }

// at returns a guest that attacks in that place: in a hook that is asked when
// cued, elsewhere at once. It always has an on_authorize. Unless it attacks by
// its answer, all that attack when asked are one guest, which is compiled once.
func (a attack) at(place string) Module {
	m := base(a.imports...)
	m.Table, m.Elements = a.table, a.elements
	if a.data != "" {
		m.Data = map[uint32]string{dataAt: a.data}
	}
	index := len(a.imports) + trouble
	body := a.body
	if !a.answer {
		m = with(m, Func{Locals: []byte{I32, I32}, Body: a.body})
		m.Funcs = append(m.Funcs, a.more...)
		body = Call(index)
	}
	switch place {
	case "start":
		m.HasStart, m.Start = true, index
	case "_initialize":
		m = with(m, Func{Export: place, Body: body})
	case "authhost_buffer":
		m.Funcs[1].Body = Join(body, m.Funcs[1].Body)
	case "configure":
		m = hook(m, place, body)
	default:
		for _, name := range asked {
			if name == place || !a.answer {
				m = hook(m, name, onCue(body))
			}
		}
	}
	if !slices.ContainsFunc(m.Funcs, func(f Func) bool { return f.Export == "on_authorize" }) {
		m = hook(m, "on_authorize")
	}
	return m
}

// attackTime is worth a few million units of fuel.
const attackTime = 500 * time.Microsecond

// withstands runs attacks in every place. Each ends in an error with its cause,
// at each time that it is tried. Before anything serves that refuses the load;
// in a hook it is that call's alone: the next one of the same plugin is
// answered, and so is another plugin's. Once all are done, nothing is left of
// them: no goroutine, and no memory.
func withstands(t *testing.T, attacks []attack) {
	other := load(t, plugin.Options{Name: "other", Module: hook(base(), "on_authorize").Encode()})
	goroutines, before := runtime.NumGoroutine(), heap()
	t.Run("all", func(t *testing.T) {
		for _, a := range attacks {
			for _, place := range places {
				if !a.in(place) {
					continue
				}
				t.Run(a.name+"/"+place, func(t *testing.T) {
					t.Parallel()
					o := plugin.QuickStart(plugin.Options{
						Module: a.at(place).Encode(), Headers: []string{"X-Team"}, Limits: plugin.Limits{Memory: attackMemory, Time: attackTime, Instances: 1},
					})
					if slices.Contains(asked, place) {
						a.failsIn(t, place, o, other)
						return
					}
					step := "start"
					if place == "configure" {
						step = place
					}
					o.Limits.Time /= 10 // a start has ten times that
					refused(t, o, step, a.cause)
					allows(t, other)
				})
			}
		}
	})
	settles(t, goroutines, runtime.NumGoroutine)
	// Each instance might have had attackMemory, and a stack of 80 MiB.
	settles(t, before+attackMemory, heap)
}

const attackMemory = 4 << 20

// heap returns how much memory of the host is in use, that of guests included.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func (a attack) failsIn(t *testing.T, place string, o plugin.Options, other *plugin.Plugin) {
	log, logger := newLogs()
	m := newCounts()
	o.Logger, o.Metrics = logger, m
	p := load(t, o)
	allows(t, p)
	for n := range 2 {
		_, err := asks(t, p, place, cued(callOf(place)))
		fails(t, err, a.cause)
		if _, err := asks(t, p, place, callOf(place)); err != nil {
			t.Fatal(err)
		}
		allows(t, p)
		allows(t, other)
		if now, ever := p.Instances(); now != 1 || ever != int64(n)+2 {
			t.Fatalf("%d instances, %d ever, after %d failures", now, ever, n+1)
		}
	}
	if got := m.errors["guest "+place]; got != 2 {
		t.Errorf("%d errors counted, want 2", got)
	}
	want := 4
	if place == "on_authorize" {
		want += 3 // those that were to be allowed
	}
	if got := m.calls["guest "+place]; got != want {
		t.Errorf("%d calls counted, want %d", got, want)
	}
	if text := log.String(); strings.Count(text, `"msg":"plugin failed","plugin":"guest","hook":"`+place+`"`) != 2 {
		t.Errorf("failures are not in the log:\n%s", text)
	}
}

// While a guest is in a loop of an hour, the same plugin and another answer.
func TestAttackPlugin_others_go_on(t *testing.T) {
	other := load(t, plugin.Options{Name: "other", Module: hook(base(), "on_authorize").Encode()})
	p, done := looping(t, time.Hour)
	for range 100 {
		allows(t, p)
		allows(t, other)
	}
	select {
	case err := <-done:
		t.Fatalf("the loop has ended: %v", err)
	default:
	}
	hurry(p)
	fails(t, <-done, "was ended")
	allows(t, other)
}

// hurry ends the calls under way.
func hurry(p *plugin.Plugin) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Close(ctx)
}
