package rollout_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/rollout"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

const (
	buffer = 1024
	answer = 40 << 10
)

// guest is a module whose on_authorize has that body.
func guest(body []byte, more ...Func) Module {
	return Module{MinPages: 1, Funcs: append([]Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(buffer<<32 | 32<<10)},
		{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64}, Body: body},
	}, more...)}
}

// denying is a module that denies everything for that reason.
func denying(reason string) string { return denyingLong(reason, reason) }

// long is the length of a path that makes any frame a long one.
const long = 2000

// denyingLong is a module that denies everything for that reason, and long
// paths for another.
func denyingLong(reason, longs string) string {
	data := ""
	deny := func(reason string) []byte {
		text := abi.AppendAnswer(nil, abi.Answer{Code: abi.CodeNo, Reason: reason})
		at := answer + len(data)
		data += string(text)
		return Join(
			Const32(buffer), Const32(int32(at)), Const32(int32(len(text))), Op(0xfc, 0x0a, 0, 0), // memory.copy
			Const64(int64(len(text))<<32|int64(abi.CodeNo)), Op(0x0f), // return
		)
	}
	// if frame_len > long
	m := guest(Join(Local(0), Const32(long), Op(0x4b, 0x04, 0x40), deny(longs), Op(0x0b), deny(reason)))
	m.Data = map[uint32]string{answer: data}
	return string(m.Encode())
}

// bad are modules that do not get far.
var bad = map[string]string{
	"check":     string(Module{MinPages: 1}.Encode()),
	"compile":   string(guest(Op(0x1a)).Encode()), // drop of nothing
	"start":     string(guest(Const64(1), Func{Export: "_initialize", Body: Op(Unreachable)}).Encode()),
	"configure": string(guest(Const64(1), Func{Export: abi.Configure.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Op(Unreachable)}).Encode()),
	"warm":      string(StartsOnce(guest(Const64(1))).Encode()),
}

// rig is one plugin whose files are in memory.
type rig struct {
	*rollout.Rollout
	t     *testing.T
	spec  rollout.Spec
	files map[string]string
	gone  []int // generations to be closed
	keys  minisign.PrivateKey
	loads int
}

func newRig(t *testing.T) *rig {
	g := &rig{t: t, files: map[string]string{"p.wasm": denying("one")}, spec: rollout.Spec{Name: "gate", Module: "p.wasm", Limits: plugin.Limits{Instances: 2}, Gates: rollout.Gates{MaxChanged: -1}}}
	g.Rollout = rollout.New("gate", rollout.Options{})
	t.Cleanup(func() {
		for _, v := range g.All() {
			if err := v.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	return g
}

func (g *rig) read(path string) ([]byte, error) {
	content, ok := g.files[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

// try makes an attempt and puts what comes of it in force.
func (g *rig) try(again bool) error {
	g.t.Helper()
	c, err := g.Try(g.t.Context(), g.spec, g.read, again)
	if c.Version != nil {
		g.serve(c)
	}
	return err
}

func (g *rig) serve(c rollout.Candidate) {
	g.t.Helper()
	if c.Version != g.Serving() && c.Attempt != nil {
		g.loads++
	}
	if gone := g.Serve(c); gone != nil {
		g.gone = append(g.gone, gone.Number)
		if err := gone.Close(g.t.Context()); err != nil {
			g.t.Error(err)
		}
	}
	if n := len(g.All()); n > 2 {
		g.t.Fatalf("%d generations are kept", n)
	}
}

func (g *rig) mustTry(again bool) {
	g.t.Helper()
	if err := g.try(again); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) back() {
	g.t.Helper()
	c, ok := g.Back()
	if !ok {
		g.t.Fatal("there is nothing to go back to")
	}
	g.serve(c)
}

// is wants a generation in force, which denies for that reason, and a state.
func (g *rig) is(number int, reason string, state rollout.State) {
	g.t.Helper()
	o, err := g.Serving().Host().Authorizer.Authorize(g.t.Context(), &host.Call{Request: &host.Request{Method: "GET", Path: "/"}})
	s := g.Status()
	if err != nil || o.Reason != reason || s.Serving.Number != number || g.Serving().Number != number || s.State != state {
		g.t.Fatalf("generation %d denies for %q and is %s (%v), want %d, %q, %s", s.Serving.Number, o.Reason, s.State, err, number, reason, state)
	}
}

// refused wants the last attempt to have ended at that step, for a reason that
// has that text, with the steps before it passed and none after it.
func (g *rig) refused(err error, step, text string) {
	g.t.Helper()
	r, ok := err.(*rollout.Refusal)
	if !ok || r.Step != step || !strings.Contains(r.Error(), text) {
		g.t.Fatalf("%v, want it refused at %s for %q", err, step, text)
	}
	a := g.Status().Last
	if s := a.Refused(); s == nil || s.Name != step || !strings.Contains(s.Detail, text) || s != &a.Steps[len(a.Steps)-1] {
		g.t.Fatalf("steps: %+v", a.Steps)
	}
}

func (g *rig) signs(seed byte) {
	g.t.Helper()
	public, private, err := minisign.GenerateKey(strings.NewReader(strings.Repeat(string(seed), 64)))
	if err != nil {
		g.t.Fatal(err)
	}
	g.keys, g.spec.PublicKeys = private, []string{public.String()}
}

// release puts a signed module in place.
func (g *rig) release(module, version string) {
	g.files["p.wasm"] = module
	g.files["p.wasm.minisig"] = string(minisign.SignWithComments(g.keys, []byte(module), "version:"+version, ""))
}

func names(a *rollout.Attempt) (list []string) {
	for _, s := range a.Steps {
		list = append(list, s.Name)
	}
	return list
}

func (g *rig) steps(want ...string) {
	g.t.Helper()
	if got := names(g.Status().Last); !slices.Equal(got, want) {
		g.t.Fatalf("steps %v, want %v", got, want)
	}
}
