package rollout_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
	"github.com/authhost/authhost/host/plugin/rollout"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// adding is a module that adds one to key "k" of its own, to attribute "k" of
// the session and to counter "k", and denies once the key is past most.
func adding(most int) string {
	const at, room = answer + 4096, answer + 4104
	m := Module{MinPages: 1, Data: map[uint32]string{at: "k"}, Imports: []Import{
		{Module: abi.ImportModule, Name: abi.ImportMetric, Params: []byte{I32, I32, I64}},
		{Module: abi.ImportModule, Name: abi.ImportKVAdd, Params: []byte{I32, I32, I64, I64, I32}, Results: []byte{I32}},
		{Module: abi.ImportModule, Name: abi.ImportSessionSet, Params: []byte{I32, I32, I32, I32, I32, I32}, Results: []byte{I32}},
	}, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
		{Export: "_initialize", Body: Join(Const32(at), Const32(1), Const64(0), Call(0))},
		{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Join(
			Const32(at), Const32(1), Const64(1), Call(0),
			Const32(at), Const32(1), Const64(1), Const64(60_000), Const32(room), Call(1), Op(Drop),
			Const32(at), Const32(1), Const32(0), Const32(abi.LengthNone), Const32(at), Const32(1), Call(2), Op(Drop),
			Const32(room), Op(0x29, 0, 0), Const64(int64(most)), Op(0x55, 0x04, I64), Const64(2), Op(0x05), Const64(1), Op(0x0b), // i64.load, i64.gt_s, if
		)},
	}}
	return string(m.Encode())
}

// What a version does on trial touches nothing that is kept and counts nothing:
// its cases have the worlds that they describe, and each decision that is
// replayed begins with nothing kept.
func TestTrialsKeepNothing(t *testing.T) {
	kept, seen := &cases.World{}, &added{}
	kept.Clear()
	g := newRig(t)
	g.Rollout = rollout.New("gate", rollout.Options{Counts: seen, Sessions: kept, KV: func(name string, keys int) (plugin.KV, error) {
		if name != "gate" || keys != 5 {
			t.Errorf("keys of %s: %d", name, keys)
		}
		return kept, nil
	}})
	g.spec.Grants = rollout.Grants{Session: true, Keys: 5}
	g.files["p.wasm"] = adding(2)
	g.files["p.cases.yaml"] = `
- {name: first, hook: on_authorize, request: {path: /}, expect: {decision: allow}}
- {name: third, hook: on_authorize, request: {path: /}, kv: {k: 2}, expect: {decision: deny}}
- {name: first again, hook: on_authorize, request: {path: /}, identity: {session_id: ses_1}, session: {k: a}, expect: {decision: allow}}
`
	g.mustTry(false)
	holds := func(value string, there bool, attributes int, counted int64) {
		t.Helper()
		v, ok, _ := kept.Get(t.Context(), "k")
		all, _ := kept.Attributes(t.Context(), "", "", "")
		if string(v) != value || ok != there || len(all) != attributes || seen.metric != counted {
			t.Errorf("kept %q, %v, %v, counted %d", v, ok, all, seen.metric)
		}
	}
	holds("", false, 0, 0)
	for range 3 {
		authorize(t, g.Serving(), "/a")
	}
	holds("3", true, 1, 3)

	// The last was a deny, and is none in a replay; nothing real is touched.
	g.files["p.wasm"] = adding(3)
	delete(g.files, "p.cases.yaml")
	g.mustTry(false)
	holds("3", true, 1, 3)
	said := false
	for _, s := range g.Status().Last.Steps {
		said = said || s.Name == rollout.Replay && strings.Contains(s.Detail, "1 of 2 recent decisions change; nothing was kept or fetched when they were asked")
	}
	if !said {
		t.Errorf("steps %+v", g.Status().Last.Steps)
	}
	authorize(t, g.Serving(), "/a")
	holds("4", true, 1, 4)

	// Without a grant it is refused, and another grant is another version.
	g.spec.Grants.Session = false
	g.refused(g.try(false), "check", "session_set needs the capability session")
}

// authorize asks a version about a request in a session.
func authorize(t *testing.T, v *rollout.Version, path string) {
	t.Helper()
	c := &host.Call{Now: time.Now(), Request: &host.Request{Method: "GET", Path: path, RawPath: path},
		Identity: &host.Identity{Realm: "main", UserID: "usr_a", SessionID: "ses_1"}}
	if _, err := v.Host().Authorizer.Authorize(context.Background(), c); err != nil {
		t.Fatal(err, errors.Unwrap(err))
	}
}

// added is what a plugin counts.
type added struct {
	metric int64
	names  []string
}

func (a *added) PluginMetric(_, name string, delta int64) {
	if a.metric += delta; !slices.Contains(a.names, name) {
		a.names = append(a.names, name)
	}
}
func (a *added) PluginState(_, _, _, _ string) {}
func (a *added) PluginFetch(_, _ string)       {}

// declaring is a module that declares a counter and denies.
func declaring(name string) string {
	const at = answer + 4096
	m := guest(Const64(int64(abi.CodeNo)), Func{Export: "_initialize", Body: Join(Const32(at), Const32(int32(len(name))), Const64(0), Call(0))})
	m.Data, m.Imports = map[uint32]string{at: name}, []Import{{Module: abi.ImportModule, Name: abi.ImportMetric, Params: []byte{I32, I32, I64}}}
	return string(m.Encode())
}

// Counters that a version declares are there once it serves, before it counts
// anything, and of one that never does there are none.
func TestCountersOfRefusedVersions(t *testing.T) {
	seen := &added{}
	g := newRig(t)
	g.Rollout = rollout.New("gate", rollout.Options{Counts: seen})
	is := func(want ...string) {
		t.Helper()
		if !slices.Equal(seen.names, want) {
			t.Errorf("counters %q, want %q", seen.names, want)
		}
	}
	g.files["p.wasm"] = declaring("one")
	g.files["p.cases.yaml"] = `[{name: a, hook: on_authorize, request: {path: /}, expect: {decision: allow}}]`
	if err := g.try(false); err == nil || !strings.Contains(err.Error(), "cases") {
		t.Fatal(err)
	}
	is()
	delete(g.files, "p.cases.yaml")
	c, err := g.Try(t.Context(), g.spec, g.read, false) // ready, and not put in force: the configuration it came with is refused
	if err != nil {
		t.Fatal(err)
	}
	is()
	if err := c.Version.Close(t.Context()); err != nil {
		t.Error(err)
	}
	g.mustTry(false)
	is("one")
	authorize(t, g.Serving(), "/")
	g.spec.Gates.MaxChanged = 0
	g.files["p.wasm"] = declaring("two") + "\x00\x02\x01x"
	g.mustTry(false)
	is("one", "two")
	authorize(t, g.Serving(), "/")
	g.files["p.wasm"] = strings.Replace(declaring("three"), "three", "bad-1", 1)
	g.refused(g.try(false), "start", "a name has")
	is("one", "two")
}
