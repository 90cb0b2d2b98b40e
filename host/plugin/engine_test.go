package plugin_test

import (
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// The interpreter ends every attack in every hook as the compiler does, for the
// same reason.
func TestAttackPlugin_on_the_interpreter(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			var p *plugin.Plugin
			for _, name := range asked {
				if !a.in(name) {
					continue
				}
				if p == nil || a.answer { // else it is the same guest
					p = load(t, plugin.Options{
						Module: a.at(name).Encode(), Headers: []string{"X-Team"}, Engine: plugin.Interpreter,
						Limits: plugin.Limits{Memory: attackMemory, Time: attackTime, Instances: 1},
					})
				}
				_, err := asks(t, p, name, cued(callOf(name)))
				fails(t, err, a.cause)
				allows(t, p)
			}
		})
	}
}

// Fuel ends a loop at the same turn on both engines, so what a guest can do
// within its limit does not depend on the engine. The clock says how often it
// asks for fuel, and each time a turn is charged twice.
func TestFuelIsTheSameOnBothEngines(t *testing.T) {
	// Each turn draws a byte.
	module := hook(base(randomImport), "on_authorize", onCue(Forever(Const32(dataAt), Const32(1), Call(0), Op(Drop)))).Encode()
	turns := func(e plugin.Engine) (n int) {
		p := load(t, plugin.Options{
			Module: module, Engine: e, Rand: drawn{&n}, Limits: plugin.Limits{Time: 50 * time.Microsecond, Instances: 1},
		})
		_, err := p.Authorize(t.Context(), cue())
		fails(t, err, "all its fuel is used")
		return n
	}
	const asked = 50
	if compiled, interpreted := turns(plugin.Compiler), turns(plugin.Interpreter); compiled < 1000 || max(compiled, interpreted)-min(compiled, interpreted) > asked {
		t.Errorf("%d turns on the compiler, %d on the interpreter", compiled, interpreted)
	}
}

// drawn counts the bytes that are read from it.
type drawn struct{ n *int }

func (d drawn) Read(b []byte) (int, error) {
	*d.n += len(b)
	return len(b), nil
}

func TestGoGuestOnTheInterpreter(t *testing.T) {
	p := loadGo(t, "roles", plugin.Options{Engine: plugin.Interpreter})
	allows(t, p)
	c := call()
	c.Identity.Roles = nil
	if o, err := p.Authorize(t.Context(), c); err != nil || o.Effect != host.Deny || o.Reason != "not an editor" {
		t.Errorf("got %+v, %v", o, err)
	}
	p = loadGo(t, "panic", plugin.Options{Engine: plugin.Interpreter, Limits: plugin.Limits{Instances: 1}})
	_, err := p.Authorize(t.Context(), call())
	fails(t, err, "main.onAuthorize")

	module, _ := goGuest()
	refused(t, plugin.Options{Module: module, Config: []byte("refuse"), Engine: plugin.Interpreter}, "configure", "as told")
	refused(t, plugin.Options{Module: module, Limits: plugin.Limits{Memory: 1 << 20}, Engine: plugin.Interpreter}, "compile", "memory")
}
