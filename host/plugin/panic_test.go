package plugin_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// falling panics wherever the host calls out, while at names that place.
type falling struct {
	*counts
	plugin.KV
	at string
}

func (f *falling) fall(at string) {
	if f.at == at {
		panic("fell in " + at)
	}
}

func (f *falling) PluginCall(plugin, hook string, d time.Duration) {
	f.fall("metrics")
	f.counts.PluginCall(plugin, hook, d)
}

func (f *falling) PluginFetch(plugin, result string) {
	f.fall("counts")
	f.counts.PluginFetch(plugin, result)
}

func (f *falling) Fetch(context.Context, host.Fetch) host.Fetched {
	f.fall("fetch")
	return host.Fetched{Status: 200}
}

func (f *falling) Get(context.Context, string) ([]byte, bool, error) {
	f.fall("cache")
	return nil, false, nil
}

// However the host fails around a call, the call has an error, its instance is
// given up, and whoever comes next is asked: the one that tries a hook that
// failed before, too.
func TestHostPanics(t *testing.T) {
	for _, at := range []string{"metrics", "spent", "fetch", "counts", "cache"} {
		for _, isolated := range []bool{false, true} {
			t.Run(fmt.Sprint(at, " isolated ", isolated), func(t *testing.T) {
				f := &falling{counts: newCounts()}
				m := base(getImport, fetchImport, kvGetImport)
				ask := answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
				m = hook(m, "on_authorize",
					Const32(bufferAt), Const32(1), Const32(bufferAt), Const32(0), Call(2), Op(Drop), // kv_get
					Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(abi.FieldFetchStatus)), Const32(0), Const32(0), Call(0),
					Const32(0), Op(0x48, 0x04, 0x40), ask, Op(0x0b))
				var passed time.Duration
				p := load(t, plugin.Options{
					Module: m.Encode(), Isolated: isolated, Limits: plugin.Limits{Instances: 1},
					Metrics: f, Counts: f, HTTP: f, KV: f, Spent: func(int64) { f.fall("spent") },
					Now: func() time.Time { return time.Unix(1_800_000_000, int64(passed)) },
				})
				whole := func() {
					t.Helper()
					idle(t, p, 1)
					if h := p.Health(); h.Instances != 1 {
						t.Fatalf("%+v", h)
					}
				}
				f.at = at
				for n := range 12 { // the last that was asked opened the breaker
					if n == 1 {
						passed += time.Second
					}
					_, err := p.Authorize(t.Context(), by(call(), n))
					if n < 10 {
						fails(t, err, "fell in "+at)
					} else {
						fails(t, err, "the breaker is open")
					}
					whole()
				}
				passed += time.Second
				_, err := p.Authorize(t.Context(), by(call(), 20)) // tries
				fails(t, err, "fell in "+at)
				whole()
				f.at = ""
				passed += time.Second
				if o, err := p.Authorize(t.Context(), by(call(), 21)); err != nil || o.Effect != host.Allow {
					t.Fatalf("the next that tries: %+v, %v", o, err)
				}
				allows(t, p)
				whole()
				if b := p.Health().Breakers[0]; b.Open || b.Failures != 0 {
					t.Errorf("%+v", b)
				}
			})
		}
	}
}

// What panicked, and where, is in the error; the log has its first line.
func TestHostPanicIsTraced(t *testing.T) {
	log, logger := newLogs()
	p := load(t, plugin.Options{Module: hook(base(), "on_authorize").Encode(), Logger: logger, Spent: func(int64) { panic("fell") }})
	_, err := p.Authorize(t.Context(), call())
	fails(t, err, "the host panicked: fell\n")
	if !strings.Contains(err.(*host.Error).Cause.Error(), "TestHostPanicIsTraced") {
		t.Errorf("the error does not say where: %v", err)
	}
	if line := failure(t, log.String()); line.Error != "the host panicked: fell" {
		t.Errorf("logged %+v", line)
	}
}
