package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var soak = flag.Bool("soak", false, "run version 1 of the specification tests, too")

// specScript is one file of the WebAssembly core specification tests.
type specScript struct {
	Commands []specCommand
}

type specCommand struct {
	Type, Name, Filename, As, Text string
	Line                           int
	ModuleType                     string `json:"module_type"`
	Action                         struct {
		Type, Field, Module string
		Args                []specValue
	}
}

type specValue struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

// bits returns an argument as the engine takes it.
func (v specValue) bits(t *testing.T) []uint64 {
	t.Helper()
	number := func(s string, bits int) uint64 {
		n, err := strconv.ParseUint(s, 10, bits)
		if signed, err2 := strconv.ParseInt(s, 10, bits); err != nil && err2 == nil {
			n, err = uint64(signed)<<(64-bits)>>(64-bits), nil
		}
		if err != nil {
			t.Fatalf("%s %s: %v", v.Type, s, err)
		}
		return n
	}
	switch value := v.Value.(type) {
	case nil:
		return []uint64{0}
	case string:
		switch v.Type {
		case "i32", "f32":
			return []uint64{number(value, 32)}
		case "i64", "f64":
			return []uint64{number(value, 64)}
		}
		if value == "null" {
			return []uint64{0}
		}
		return []uint64{number(value, 64) + 1} // a reference that is not null
	case []any:
		lane := 128 / len(value)
		out := []uint64{0, 0}
		for i, s := range value {
			out[i*lane/64] |= number(s.(string), lane) << (i * lane % 64)
		}
		return out
	}
	t.Fatalf("a value of type %T", v.Value)
	return nil
}

// specSide runs a script on its modules as they are, metered, or with an exact
// count of what they take.
type specSide struct {
	ctx     context.Context
	runtime wazero.Runtime
	change  func([]byte) ([]byte, error)
	named   map[string]api.Module
	last    api.Module
	all     []api.Module
	tank    *tank
}

func newSpecSide(t *testing.T, config wazero.RuntimeConfig, spectest []byte, change func([]byte) ([]byte, error)) *specSide {
	i := &instance{}
	i.tank.fill(time.Hour)
	i.tank.rest = endless
	ctx := context.WithValue(context.Background(), instanceKey{}, i)
	rt := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features).WithDebugInfoEnabled(false))
	t.Cleanup(func() { rt.Close(context.Background()) })
	if err := exportRefill(ctx, rt); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.InstantiateWithConfig(ctx, spectest, wazero.NewModuleConfig()); err != nil {
		t.Fatal(err)
	}
	return &specSide{ctx: ctx, runtime: rt, change: change, named: map[string]api.Module{}, tank: &i.tank}
}

const endless = 1 << 60

// charged is what a side's modules were charged so far.
func (s *specSide) charged() int64 {
	sum := endless - s.tank.rest
	for _, m := range s.all {
		sum -= int64(m.ExportedGlobal(fuelExport).Get())
	}
	return sum
}

// counted is what they took.
func (s *specSide) counted() (sum int64) {
	for _, m := range s.all {
		sum += int64(m.ExportedGlobal(exactExport).Get())
	}
	return sum
}

// meterValid is what is done to a guest's module.
func meterValid(module []byte) ([]byte, error) {
	guarded, err := guard(module)
	if err != nil {
		return nil, err
	}
	if err := validate(context.Background(), guarded, 1<<16); err != nil {
		return nil, err
	}
	return metered(guarded)
}

func (s *specSide) instantiate(t *testing.T, module []byte, name string) (api.Module, error) {
	module, err := s.change(module)
	if err != nil {
		return nil, err
	}
	m, err := s.runtime.InstantiateWithConfig(s.ctx, module, wazero.NewModuleConfig().WithName(name))
	if err == nil {
		s.all = append(s.all, m)
	}
	return m, err
}

// action runs a command's action and returns what came of it.
func (s *specSide) action(t *testing.T, c specCommand) ([]uint64, error) {
	m := s.last
	if c.Action.Module != "" {
		m = s.named[c.Action.Module]
	}
	if m == nil {
		return nil, errors.New("no module")
	}
	if c.Action.Type == "get" {
		g := m.ExportedGlobal(c.Action.Field)
		return []uint64{g.Get()}, nil
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.bits(t)...)
	}
	f := m.ExportedFunction(c.Action.Field)
	results, err := f.Call(s.ctx, args...)
	for i, typ := range f.Definition().ResultTypes() {
		if i < len(results) && (typ == api.ValueTypeExternref || typ == 0x70) {
			results[i] = min(results[i], 1) // an address
		}
	}
	return results, err
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// specRoot is where the engine's module has the specification tests.
func specRoot(tb testing.TB) string {
	tb.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
}

// The core specification tests that the engine carries come out the same with
// metering as without, and modules that are invalid stay refused.
func TestSpecification(t *testing.T) {
	root := specRoot(t)
	spectest, err := os.ReadFile(filepath.Join(root, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	versions := []string{"v2"}
	if *soak {
		versions = append(versions, "v1") // nearly all of it is in v2
	}
	for _, version := range versions {
		scripts, err := filepath.Glob(filepath.Join(root, version, "testdata", "*.json"))
		if err != nil || len(scripts) < 50 {
			t.Fatalf("%d scripts: %v", len(scripts), err)
		}
		for _, path := range scripts {
			t.Run(version+"/"+strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
				t.Parallel()
				runScript(t, path, spectest)
			})
		}
	}
}

func runScript(t *testing.T, path string, spectest []byte) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var script specScript
	if err := json.Unmarshal(b, &script); err != nil {
		t.Fatal(err)
	}
	plain := newSpecSide(t, wazero.NewRuntimeConfig(), spectest, func(module []byte) ([]byte, error) { return module, nil })
	meter := newSpecSide(t, wazero.NewRuntimeConfig(), spectest, meterValid)
	exact := newSpecSide(t, wazero.NewRuntimeConfigInterpreter(), spectest, func(module []byte) ([]byte, error) {
		guarded, err := guard(module)
		return exactly(t, guarded), err
	})
	sides := []*specSide{plain, meter, exact}
	for n, c := range script.Commands {
		at := fmt.Sprintf("line %d: %s %s", c.Line, c.Type, c.Action.Field)
		switch c.Type {
		case "module", "assert_uninstantiable", "assert_unlinkable", "assert_malformed", "assert_invalid":
			if c.ModuleType == "text" {
				continue
			}
			module, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			name := ""
			if n+1 < len(script.Commands) && script.Commands[n+1].Type == "register" {
				name = script.Commands[n+1].As
			}
			var errs [3]error
			for i, s := range sides {
				if s == exact && errs[1] != nil {
					continue
				}
				var m api.Module
				if m, errs[i] = s.instantiate(t, module, name); errs[i] == nil && c.Type == "module" {
					s.last = m
					if c.Name != "" {
						s.named[c.Name] = m
					}
				}
			}
			if (errs[0] == nil) != (errs[1] == nil) {
				t.Errorf("%s: %s: unmetered %v, metered %v", at, c.Filename, errs[0], errs[1])
			}
		case "assert_return", "action", "assert_trap", "assert_exhaustion":
			want, wantErr := plain.action(t, c)
			charged, counted := meter.charged(), exact.counted()
			got, gotErr := meter.action(t, c)
			exact.action(t, c)
			charged, counted = meter.charged()-charged, exact.counted()-counted
			if gotErr == nil && charged < counted { // a trap leaves the counter behind
				t.Errorf("%s: charged %d for %d", at, charged, counted)
			}
			if !slices.Equal(want, got) || reason(wantErr) != reason(gotErr) {
				t.Errorf("%s: unmetered %x %v, metered %x %v", at, want, wantErr, got, gotErr)
			}
		case "register":
		default:
			t.Errorf("%s is not known", at)
		}
	}
}
