package rollout_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/plugin/rollout"
)

func TestStepsOfAFirstVersion(t *testing.T) {
	g := newRig(t)
	if g.Status() != nil || g.Serving() != nil {
		t.Error("something serves before anything was tried")
	}
	g.mustTry(false)
	g.is(1, "one", rollout.Serving)
	g.steps("read", "sha256", "signature", "check", "compile", "start", "configure", "cases", "replay", "warm")
	s := g.Status()
	if s.Name != "gate" || s.Serving.SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte(g.files["p.wasm"]))) || s.Serving.Version != "" || s.Previous != nil || !slices.Equal(s.Serving.Hooks, []string{"on_authorize"}) {
		t.Errorf("%+v", s)
	}
	for name, detail := range map[string]string{"sha256": "no hash is pinned", "signature": "no public keys", "cases": "no p.cases.yaml", "replay": "no decisions to compare with"} {
		if step := s.Last.Find(name); step.Outcome != rollout.Skipped || step.Detail != detail {
			t.Errorf("%+v", step)
		}
	}
}

// Whatever is wrong ends the attempt at its step; what serves goes on serving,
// and is not tried again before something has changed.
func TestRefusedAtEachStep(t *testing.T) {
	hello := "hello"
	for _, c := range []struct {
		step, text string
		change     func(g *rig)
	}{
		{"read", "p.wasm: file does not exist", func(g *rig) { delete(g.files, "p.wasm") }},
		{"check", "not a WebAssembly module", func(g *rig) { g.files["p.wasm"] = hello }},
		{"check", "authhost_abi_v1", func(g *rig) { g.files["p.wasm"] = bad["check"] }},
		{"compile", "invalid", func(g *rig) { g.files["p.wasm"] = bad["compile"] }},
		{"start", "unreachable", func(g *rig) { g.files["p.wasm"] = bad["start"] }},
		{"configure", "unreachable", func(g *rig) { g.files["p.wasm"] = bad["configure"] }},
		{"cases", "p.cases.yaml:", func(g *rig) { g.files["p.cases.yaml"] = hello }},
		{"cases", `case "ann passes": decision: want allow, got deny`, func(g *rig) { g.files["p.cases.yaml"] = annPasses }},
		{"warm", "metric: more than 32 names", func(g *rig) { g.files["p.wasm"] = bad["warm"] }},
	} {
		t.Run(c.step, func(t *testing.T) {
			g := newRig(t)
			g.mustTry(false)
			before := g.files["p.wasm"]
			c.change(g)
			g.refused(g.try(false), c.step, c.text)
			g.is(1, "one", rollout.Kept)
			if a := g.Status().Last; g.try(false) != nil || g.Status().Last != a {
				t.Error("it was tried again though nothing has changed")
			}
			g.refused(g.try(true), c.step, c.text)
			g.is(1, "one", rollout.Kept)

			// What serves is put back: no new version.
			g.files = map[string]string{"p.wasm": before}
			g.mustTry(false)
			g.is(1, "one", rollout.Serving)
			if s := g.Status(); s.Last.Refused() != nil {
				t.Errorf("%+v", s.Last)
			}
			if g.loads != 1 || g.gone != nil {
				t.Errorf("%d loads, gone %v", g.loads, g.gone)
			}
		})
	}
}

// annPasses are cases that a denying module does not pass.
const annPasses = `
- name: ann passes
  hook: on_authorize
  request: {method: GET, url: "https://console.example/x"}
  identity: {sub: ann}
  expect: {decision: allow}
`

func TestCasesAreRun(t *testing.T) {
	g := newRig(t)
	g.files["p.cases.yaml"] = strings.ReplaceAll(annPasses, "allow", "deny")
	g.mustTry(false)
	if s := g.Status().Last.Find("cases"); s.Outcome != rollout.OK || s.Detail != "1 passed" {
		t.Errorf("%+v", s)
	}
	// A change of the cases alone tries again.
	g.files["p.cases.yaml"] += "# more\n"
	g.mustTry(false)
	g.is(2, "one", rollout.Serving)
	if g.Status().Previous != nil {
		t.Error("the same version can be gone back to")
	}
	delete(g.files, "p.cases.yaml")
	g.mustTry(false)
	g.is(3, "one", rollout.Serving)
	if !slices.Equal(g.gone, []int{1, 2}) {
		t.Errorf("gone: %v", g.gone)
	}
}

func TestPin(t *testing.T) {
	g := newRig(t)
	sum := func(reason string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(denying(reason)))) }
	g.spec.SHA256 = sum("one")
	g.mustTry(false)
	g.files["p.wasm"] = denying("two")
	g.refused(g.try(false), "sha256", "p.wasm has sha256 "+sum("two")+", the configuration wants "+sum("one"))
	g.spec.SHA256 = sum("two")
	g.mustTry(false)
	g.is(2, "two", rollout.Serving)
	// The other order. An entry that is not the one in force has no last good.
	g.spec.SHA256 = sum("three")
	if c, err := g.Try(t.Context(), g.spec, g.read, false); c.Version != nil || err == nil {
		t.Errorf("%v, %v", c.Version, err)
	}
	g.is(2, "two", rollout.Kept)
	g.spec.SHA256 = sum("two")
	g.mustTry(false)
	g.is(2, "two", rollout.Kept) // it is still to be seen
	g.Withdrawn()
	g.is(2, "two", rollout.Serving)
	g.spec.SHA256 = sum("three")
	g.files["p.wasm"] = denying("three")
	g.mustTry(false)
	g.is(3, "three", rollout.Serving)
}

func TestSignatures(t *testing.T) {
	g := newRig(t)
	g.signs('a')
	if c, err := g.Try(t.Context(), g.spec, g.read, false); c.Version != nil || err == nil || !strings.Contains(err.Error(), "plugin gate: signature: the module is not signed: there is no p.wasm.minisig") {
		t.Fatalf("%v, %v", c.Version, err)
	}
	g.release(denying("one"), "1.2.0")
	g.mustTry(false)
	if s := g.Status(); s.Serving.Version != "1.2.0" || s.Last.Find("signature").Detail != "version 1.2.0" {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct {
		name, text string
		change     func()
	}{
		{"unsigned", "not signed", func() { delete(g.files, "p.wasm.minisig") }},
		{"tampered", "not one of this module", func() { g.release(denying("two"), "1.3.0"); g.files["p.wasm"] = denying("twp") }},
		{"of another", "none of the public keys", func() { mine := *g; mine.signs('b'); mine.release(denying("two"), "1.3.0") }},
		{"nonsense", "not one of minisign's", func() { g.files["p.wasm.minisig"] = "signed, ann" }},
		{"without a version", "not a semantic version", func() { g.release(denying("two"), "") }},
		{"older", "version 1.1.9 is older than 1.2.0", func() { g.release(denying("two"), "1.1.9") }},
		{"before its release", "is older than 1.2.0", func() { g.release(denying("two"), "1.2.0-rc.1") }},
	} {
		c.change()
		g.refused(g.try(false), "signature", c.text)
		g.is(1, "one", rollout.Kept)
	}

	// The same version again, of other bytes, is shown and passes.
	g.release(denying("two"), "1.2.0+fix")
	g.mustTry(false)
	g.is(2, "two", rollout.Serving)
	if s := g.Status().Last.Find("signature"); s.Detail != "version 1.2.0+fix, as the module that serves, which is another" {
		t.Errorf("%+v", s)
	}
	// Allowed to be older: the wish alone tries again.
	g.release(denying("three"), "1.0.0")
	g.refused(g.try(false), "signature", "allow_downgrade")
	g.spec.Gates.AllowDowngrade = true
	g.mustTry(false)
	g.is(3, "three", rollout.Serving)
	if s := g.Status().Last.Find("signature"); !strings.Contains(s.Detail, "older than 1.2.0+fix") {
		t.Errorf("%+v", s)
	}
	// Without keys nothing is judged, and nothing said of the version.
	g.spec.PublicKeys, g.files["p.wasm.minisig"] = nil, "nonsense"
	g.mustTry(false)
	g.is(4, "three", rollout.Serving)
	if v := g.Status().Serving.Version; v != "" {
		t.Errorf("version %q", v)
	}
}

// Going back takes what was there, at once; what was left is not taken up
// again by itself, and can be gone back to.
func TestRollback(t *testing.T) {
	g := newRig(t)
	g.mustTry(false)
	if _, ok := g.Back(); ok {
		t.Fatal("there is something before the first")
	}
	g.files["p.wasm"] = denying("two")
	g.mustTry(false)
	g.back()
	g.is(1, "one", rollout.RolledBack)
	if p := g.Status().Previous; p == nil || p.Number != 2 {
		t.Errorf("previous: %+v", p)
	}
	g.mustTry(false)
	g.is(1, "one", rollout.RolledBack)

	// By mistake.
	g.back()
	g.is(2, "two", rollout.Serving)
	g.mustTry(false)
	g.is(2, "two", rollout.Serving)

	// The file changes, and changes again.
	g.back()
	g.files["p.wasm"] = denying("three")
	g.mustTry(false)
	g.is(3, "three", rollout.Serving)
	if !slices.Equal(g.gone, []int{2}) {
		t.Errorf("gone: %v", g.gone)
	}
	g.back()
	g.is(1, "one", rollout.RolledBack)
	g.files["p.wasm"] = denying("one")
	g.mustTry(false)
	g.is(1, "one", rollout.Serving) // the very one
	g.files["p.wasm"] = denying("three")
	g.mustTry(false)
	g.is(4, "three", rollout.Serving)

	// It is asked for.
	g.back()
	g.is(1, "one", rollout.RolledBack)
	g.mustTry(true)
	g.is(5, "three", rollout.Serving)

	// Its entry changes; what may follow is part of it.
	g.back()
	g.is(1, "one", rollout.RolledBack)
	g.spec.Config = []byte(`{"a":1}`)
	g.mustTry(false)
	g.is(6, "three", rollout.Serving)
	g.back()
	g.is(1, "one", rollout.RolledBack) // as it was, with the entry of then
	g.mustTry(false)
	g.is(1, "one", rollout.RolledBack)
	g.spec.Gates.MaxChanged = 256
	g.mustTry(false)
	g.is(7, "three", rollout.Serving)

	// Refused after that: what was gone back to stays.
	g.back()
	g.files["p.wasm"] = "no module"
	g.refused(g.try(false), "check", "")
	g.is(1, "one", rollout.Kept)
	g.back()
	g.is(7, "three", rollout.RolledBack)
}

// What an entry asked for that did not come into force, as another was refused
// beside it, is no attempt by the one that is: a rollback stays.
func TestRollbackOutlastsARefusedConfiguration(t *testing.T) {
	strict := func(g *rig) { g.spec.Gates.MaxChanged = 0 }
	former := func(g *rig) { g.spec.Config = nil }
	for name, c := range map[string]struct {
		change  func(*rig)
		refused bool
		then    rollout.State
	}{
		"the module is refused by it": {strict, true, rollout.Kept},
		"it asks for what serves":     {former, false, rollout.Serving},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.mustTry(false)
			g.is(1, "one", rollout.Serving)
			if g.spec.Config = []byte("{}"); c.refused {
				g.files["p.wasm"] = denying("two")
			}
			g.mustTry(false)
			g.back()
			g.is(1, "one", rollout.RolledBack)
			inForce := g.spec
			for range 2 {
				c.change(g)
				if next, err := g.Try(t.Context(), g.spec, g.read, false); next.Version != g.Serving() || (err != nil) != c.refused {
					t.Fatal(next.Version, err)
				}
				g.spec = inForce
				g.mustTry(false)
				if g.Withdrawn(); g.loads != 2 {
					t.Error("the module was taken up again")
				}
				g.is(1, "one", rollout.RolledBack)
			}
			c.change(g)
			if err := g.try(false); (err != nil) != c.refused { // it comes into force
				t.Fatal(err)
			}
			g.Withdrawn()
			g.is(1, "one", c.then)
			if a := g.Status().Last; g.try(false) != nil || g.Status().Last != a {
				t.Error("it was tried again though nothing has changed")
			}
		})
	}
}

// A rollback is no downgrade, and the next version is compared with what
// serves then.
func TestRollbackOfSigned(t *testing.T) {
	g := newRig(t)
	g.signs('a')
	for _, v := range []string{"1.0.0", "2.0.0"} {
		g.release(denying(v), v)
		g.mustTry(false)
	}
	g.back()
	g.is(1, "1.0.0", rollout.RolledBack)
	if v := g.Status().Serving.Version; v != "1.0.0" {
		t.Error(v)
	}
	g.release(denying("1.0.1"), "1.0.1")
	g.mustTry(false)
	g.is(3, "1.0.1", rollout.Serving)
}

// Whatever was asked for by the operator is a version of its own, but never
// drives out the one that differs.
func TestReloadOfTheSame(t *testing.T) {
	g := newRig(t)
	g.mustTry(false)
	g.files["p.wasm"] = denying("two")
	g.mustTry(false)
	g.mustTry(true)
	g.is(3, "two", rollout.Serving)
	g.signs('a') // a new key is no other version
	g.release(denying("two"), "1.0.0")
	g.mustTry(false)
	g.is(4, "two", rollout.Serving)
	g.back()
	g.is(1, "one", rollout.RolledBack)
	if !slices.Equal(g.gone, []int{2, 3}) {
		t.Errorf("gone: %v", g.gone)
	}
}

func TestFiles(t *testing.T) {
	s := rollout.Spec{Module: "/p/gate.wasm"}
	if got := s.Files(); !slices.Equal(got, []string{"/p/gate.wasm", "/p/gate.cases.yaml"}) {
		t.Error(got)
	}
	s = rollout.Spec{Module: "gate", PublicKeys: []string{"x"}}
	if got := s.Files(); !slices.Equal(got, []string{"gate", "gate.cases.yaml", "gate.minisig"}) {
		t.Error(got)
	}
}

// A file that is there and cannot be read is not taken for one that is not.
func TestUnreadableFiles(t *testing.T) {
	for _, path := range []string{"p.wasm", "p.wasm.minisig", "p.cases.yaml"} {
		g := newRig(t)
		g.signs('a')
		g.release(denying("one"), "1.0.0")
		_, err := g.Try(t.Context(), g.spec, func(p string) ([]byte, error) {
			if p == path {
				return nil, &fs.PathError{Op: "read", Path: p, Err: fs.ErrPermission}
			}
			return g.read(p)
		}, false)
		if r, ok := err.(*rollout.Refusal); !ok || r.Step != "read" || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// An attempt that is cut short leaves nothing behind and is a refusal.
func TestCutShort(t *testing.T) {
	g := newRig(t)
	g.mustTry(false)
	g.files["p.wasm"] = denying("two")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := g.Try(ctx, g.spec, g.read, false); err == nil || c.Version != g.Serving() {
		t.Errorf("%v, %v", c.Version, err)
	}
	g.is(1, "one", rollout.Kept)
}
