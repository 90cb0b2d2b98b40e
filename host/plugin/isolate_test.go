package plugin_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// A hiding place is what a guest hides a secret in, and how it looks for one.
type hidingPlace struct {
	name    string
	module  Module
	hide    []byte // instructions
	look    []byte // leaves an i32 that is not 0 if something is found
	renewed string // why the instance cannot be restored, "" if it can
	closed  bool   // even without isolation
}

func hidingPlaces() []hidingPlace {
	const secret = dataAt + 4096
	globals := base()
	globals.Globals = 3
	table := func(min byte) Module {
		m := base()
		m.Table = []byte{0x70, 0, min}
		return m
	}
	segment := base()
	segment.Passive = "xyz"
	files := base(
		Import{Module: "wasi_snapshot_preview1", Name: "fd_close", Params: []byte{I32}, Results: []byte{I32}},
		Import{Module: "wasi_snapshot_preview1", Name: "fd_write", Params: []byte{I32, I32, I32, I32}, Results: []byte{I32}},
		Import{Module: "wasi_snapshot_preview1", Name: "fd_fdstat_set_flags", Params: []byte{I32, I32}, Results: []byte{I32}},
		Import{Module: "wasi_snapshot_preview1", Name: "fd_fdstat_get", Params: []byte{I32, I32}, Results: []byte{I32}})
	null := Op(0xd0, 0x70)
	function := Op(0xd2, 1) // the buffer's, which is exported
	held := Join(Const32(0), Op(0x25, 0, 0xd1, 0x45))
	return []hidingPlace{
		{name: "memory", module: base(), hide: Join(Const32(secret), Const32(7), Op(0x36, 2, 0)), look: Join(Const32(secret), Op(0x28, 2, 0))},
		{name: "behind the frame", module: base(),
			hide: Join(Const32(bufferAt+bufferLen-4), Const32(7), Op(0x36, 2, 0)), look: Join(Const32(bufferAt+bufferLen-4), Op(0x28, 2, 0))},
		{name: "a global that is not exported", module: globals, hide: Join(Const32(7), Op(0x24, 1)), look: Op(0x23, 1)},
		{name: "the last global", module: globals, hide: Join(Const32(7), Op(0x24, 2)), look: Op(0x23, 2)},
		{name: "the size of the memory", module: base(), hide: Join(Const32(1), Op(0x40, 0, Drop)), look: Join(Op(0x3f, 0), Const32(pages), Op(I32Sub))},
		{name: "an entry of a table", module: table(1), hide: Join(Const32(0), function, Op(0x26, 0)), look: held, renewed: "table.set"},
		{name: "a filled table", module: table(1), hide: Join(Const32(0), function, Const32(1), Op(0xfc, 0x11, 0)), look: held, renewed: "table.fill"},
		{name: "a copied entry", module: func() Module {
			m := table(2)
			m.Elements = []int{1}
			return m
		}(), hide: Join(Const32(1), Const32(0), Const32(1), Op(0xfc, 0x0e, 0, 0)), look: Join(Const32(1), Op(0x25, 0, 0xd1, 0x45)), renewed: "table.copy"},
		{name: "the size of a table", module: table(1), hide: Join(null, Const32(1), Op(0xfc, 0x0f, 0, Drop)),
			look: Join(Op(0xfc, 0x10, 0), Const32(1), Op(I32Sub)), renewed: "table.grow"},
		// The look traps if the segment is gone, which is an answer too.
		{name: "a dropped segment", module: segment, hide: Op(0xfc, 0x09, 0),
			look: Join(Const32(secret), Const32(0), Const32(1), Op(0xfc, 0x08, 0, 0), Const32(0)), renewed: "data.drop"},
		{name: "a closed file", module: files, hide: Join(Const32(1), Call(0), Op(Drop)),
			look: Join(Const32(1), Const32(0), Const32(0), Const32(secret), Call(1)), closed: true},
		{name: "a file's flags", module: files, hide: Join(Const32(0), Const32(4), Call(2), Op(Drop)),
			look: Join(Const32(0), Const32(secret), Call(3), Op(Drop), Const32(secret), Op(0x2f, 1, 2)), closed: true}, // its flags
	}
}

// hiding returns a guest that hides something when cued, in those hooks, and
// else refuses if it finds something, or fails where it cannot refuse.
func (h hidingPlace) hiding(hooks ...string) []byte {
	m := h.module
	for _, name := range hooks {
		m = hook(m, name, Op(0x02, 0x40), onCue(h.hide, Op(0x0c, 1)), h.look, Op(0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b, 0x0b)) // block, br
	}
	return m.Encode()
}

// found says whether a call of one hook found what one of another, before it,
// had hidden.
func found(t *testing.T, p *plugin.Plugin, hides, looks string) bool {
	t.Helper()
	ask := func(hook string, c *host.Call) bool {
		r, err := asks(t, p, hook, c)
		return err == nil && !r.refused
	}
	if !ask(looks, callOf(looks)) {
		t.Fatal("it was found before it was hidden")
	}
	if !ask(hides, cued(callOf(hides))) {
		t.Fatal("it was not hidden")
	}
	return !ask(looks, callOf(looks))
}

// What a guest hides in one call it does not find in the next, be that of the
// same hook or of another.
func TestIsolation(t *testing.T) {
	one := plugin.Limits{Instances: 1, Time: time.Second}
	for _, h := range hidingPlaces() {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			module := h.hiding("on_authorize", "on_login", "on_logout")
			log, logger := newLogs()
			p := load(t, plugin.Options{Module: module, Limits: one, Isolated: true, Logger: logger})
			for _, hooks := range [][2]string{{"on_authorize", "on_authorize"}, {"on_login", "on_authorize"}, {"on_logout", "on_login"}} {
				if found(t, load(t, plugin.Options{Module: module, Limits: one}), hooks[0], hooks[1]) == h.closed {
					t.Errorf("without isolation, in %s: found %v", hooks[0], !h.closed)
				}
				if found(t, p, hooks[0], hooks[1]) {
					t.Errorf("what was hidden in %s was found in %s", hooks[0], hooks[1])
				}
			}
			if got := p.Health().Renewed; !strings.Contains(got, h.renewed) || (got == "") != (h.renewed == "") {
				t.Errorf("renewed because of %q, want %q", got, h.renewed)
			}
			if said := strings.Contains(log.String(), "each call takes an instance of its own"); said != (h.renewed != "") {
				t.Errorf("the log is\n%s", log)
			}
			want := int64(1) // instances: one serves all calls,
			switch {
			case h.renewed != "":
				want = 10 // or each call has its own,
			case strings.Contains(h.name, "size"):
				want = 4 // or one is replaced when it grew
			}
			settles(t, 1, func() int { return int(want - p.Health().Ever) })
			if _, ever := p.Instances(); ever > want {
				t.Errorf("%d instances, want %d", ever, want)
			}
		})
	}
}

// Elements that are dropped, or put into a table, are not undone either.
func TestIsolationOfElements(t *testing.T) {
	for name, code := range map[string][]byte{
		"elem.drop":  Op(0xfc, 0x0d, 0),
		"table.init": Join(Const32(0), Const32(0), Const32(0), Op(0xfc, 0x0c, 0, 0)),
	} {
		m := base()
		m.Table, m.Elements = []byte{0x70, 0, 1}, []int{1}
		p := load(t, plugin.Options{Module: hook(m, "on_authorize", code).Encode(), Isolated: true, Limits: plugin.Limits{Instances: 1}})
		if got := p.Health().Renewed; !strings.Contains(got, name) {
			t.Errorf("%s: renewed because of %q", name, got)
		}
		allows(t, p)
		allows(t, p)
	}
}

// A Go guest keeps what it has seen in a variable on its heap.
func TestIsolationOfAGoGuest(t *testing.T) {
	o := plugin.Options{Limits: plugin.Limits{Instances: 1, Time: time.Second}}
	for _, isolated := range []bool{false, true} {
		o.Isolated = isolated
		p := loadGo(t, "remember", o)
		for n := range 4 {
			want := host.Deny
			if n == 0 || isolated {
				want = host.Allow
			}
			if o, err := p.Authorize(t.Context(), call()); err != nil || o.Effect != want {
				t.Errorf("isolated %v, call %d: got %+v, %v", isolated, n, o, err)
			}
		}
		if _, ever := p.Instances(); ever != 1 {
			t.Errorf("isolated %v: %d instances", isolated, ever)
		}
	}
}

// All instances are alike, one that replaced another as well: what is drawn at
// random at the start is drawn once.
func TestIsolatedInstancesAreAlike(t *testing.T) {
	// configure keeps a random byte, on_authorize answers with it as its code.
	m := with(base(randomImport), Func{Export: "configure", Params: hookParams, Results: hookResults,
		Body: Join(Const32(dataAt), Const32(1), Call(0), Op(Drop), Const64(0))})
	grow := Join(Const32(1), Op(0x40, 0, Drop))
	module := hook(m, "on_authorize", onCue(grow), Const32(dataAt), Op(0x2d, 0, 0, ExtendU, Return)).Encode()
	p := load(t, plugin.Options{Module: module, Rand: strings.NewReader("\x01\x02\x02\x02\x02\x02"), Isolated: true, Limits: plugin.Limits{Instances: 2}})
	if err := p.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		allows(t, p)
		if o, err := p.Authorize(t.Context(), cue()); err != nil || o.Effect != host.Allow {
			t.Errorf("got %+v, %v", o, err)
		}
	}
	settles(t, 0, func() int { _, ever := p.Instances(); return int(6 - ever) })
}

// Many callers at once, some of whom leave something, some of whom trap.
func TestIsolationHammer(t *testing.T) {
	h := hidingPlaces()[2]
	p := load(t, plugin.Options{Module: h.hiding("on_authorize"), Isolated: true, Limits: plugin.Limits{Instances: 3, Time: time.Minute}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 100 {
				c := call()
				if (g+n)%3 == 0 {
					c = cue()
				}
				if o, err := p.Authorize(t.Context(), c); err != nil || o.Effect != host.Allow {
					t.Errorf("got %+v, %v", o, err)
				}
			}
		})
	}
	wg.Wait()
}

// A guest cannot name what the host exports for itself.
func TestReservedExports(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		m := with(hook(base(), "on_authorize"), Func{Export: "authhost_meter_global_0"})
		refused(t, plugin.Options{Module: m.Encode(), Isolated: isolated}, "check", "is the host's")
	}
}

// The guest's clock does not go back within an instance, except where one call
// could tell from it when another was.
func TestIsolatedClock(t *testing.T) {
	clock := Import{Module: "wasi_snapshot_preview1", Name: "clock_time_get", Params: []byte{I32, I64, I32}, Results: []byte{I32}}
	// deny if the monotonic clock shows more than a minute.
	body := Join(Const32(1), Const64(0), Const32(dataAt), Call(0), Op(Drop),
		Const32(dataAt), Op(0x29, 3, 0), Const64(int64(time.Minute)), Op(0x56, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b))
	for _, isolated := range []bool{false, true} {
		p := load(t, plugin.Options{Module: hook(base(clock), "on_authorize", body).Encode(), Isolated: isolated, Limits: plugin.Limits{Instances: 1}})
		late := call()
		late.Now = late.Now.Add(time.Hour)
		if o, err := p.Authorize(t.Context(), late); err != nil || o.Effect != host.Deny {
			t.Fatalf("got %+v, %v", o, err)
		}
		if o, err := p.Authorize(t.Context(), call()); err != nil || (o.Effect == host.Allow) != isolated {
			t.Errorf("isolated %v: got %+v, %v", isolated, o, err)
		}
	}
}
