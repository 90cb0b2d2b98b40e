package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/host/plugin/wasmtest"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// engineGuest is a guest on an engine as it is, with nothing of this host: all
// that another host needs to bring.
type engineGuest struct {
	module         api.Module
	buffer, length uint32
}

// compiled keeps what was compiled for all tests.
var compiled = wazero.NewCompilationCache()

func (g *engineGuest) Call(ctx context.Context, hook string, frame []byte, imports *Imports) (uint64, []byte, error) {
	f := g.module.ExportedFunction(hook)
	if f == nil {
		return 0, nil, fmt.Errorf("no export %s", hook)
	}
	if uint32(len(frame)) > g.length || !g.module.Memory().Write(g.buffer, frame) {
		return 0, nil, fmt.Errorf("a frame of %d bytes has no room", len(frame))
	}
	results, err := f.Call(context.WithValue(ctx, importsKey{}, imports), uint64(len(frame)))
	if err != nil {
		return 0, nil, err
	}
	answer, ok := g.module.Memory().Read(g.buffer, min(uint32(results[0]>>32), g.length))
	if !ok {
		return 0, nil, fmt.Errorf("the answer is not in memory")
	}
	return results[0], append([]byte(nil), answer...), nil
}

// engine compiles a module and returns what makes its instances.
func engine(t *testing.T, module []byte) func(context.Context) (Guest, error) {
	t.Helper()
	ctx := t.Context()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(compiled))
	t.Cleanup(func() { rt.Close(context.Background()) })
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		t.Fatal(err)
	}
	if err := hostModule(ctx, rt); err != nil {
		t.Fatal(err)
	}
	code, err := rt.CompileModule(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (Guest, error) {
		m, err := rt.InstantiateModule(context.WithValue(ctx, importsKey{}, &Imports{}), code, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
		if err != nil {
			return nil, err
		}
		r, err := m.ExportedFunction("authhost_buffer").Call(ctx)
		if err != nil {
			return nil, err
		}
		return &engineGuest{m, uint32(r[0] >> 32), uint32(r[0])}, nil
	}
}

func TestSDKsConform(t *testing.T) {
	for _, l := range wasmtest.Languages {
		t.Run(l.Name, func(t *testing.T) {
			t.Parallel()
			if err := Run(t.Context(), engine(t, build(t, l, "testdata/echo"))); err != nil {
				t.Error(err)
			}
		})
	}
}

// A million decisions, and many that need more than the arena, take no more
// memory than the first did.
func TestMemoryDoesNotGrow(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) Case {
		return cases[slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })]
	}
	for _, l := range wasmtest.Languages {
		t.Run(l.Name, func(t *testing.T) {
			g, call := rbac(t, l)
			steady(t, g, 1000, 1_000_000, call)
			if l.Name == "Go" {
				return // its collector goes by a clock, which this engine has stand still: host/plugin tests it
			}
			start := engine(t, build(t, l, "testdata/echo"))
			for name, times := range map[string]int{
				"frame: on_authorize with every field":             5000,
				"frame: a list that does not fit is lazy":          50,
				"get: what was read before more than fits stays":   100,
				"calls: what was read before more than fits stays": 100,
				"calls: the longest":                               200,
				"frame: on_authorize after a fetch of much":        200,
				"answer: 8 headers of a request":                   200,
				"answer: 8 attributes":                             200,
			} {
				g, err := start(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				steady(t, g.(*engineGuest), times/10, times, func() error { return named(name).Check(t.Context(), g) })
			}
		})
	}
}

// rbac returns the example configured, and what has it deny a request.
func rbac(t *testing.T, l wasmtest.Language) (*engineGuest, func() error) {
	t.Helper()
	started, err := engine(t, build(t, l, "example/rbac"))(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, imports := started.(*engineGuest), &Imports{}
	config := makeFrame(abi.Configure, func(w *abi.FrameWriter) { w.Text(abi.FieldConfig, `["GET /open/** viewer","POST /api/*/sync editor"]`) })
	if result, answer, err := g.Call(t.Context(), "configure", []byte(config), imports); err != nil || result != 0 {
		t.Fatalf("%#x, %q, %v", result, answer, err)
	}
	buf := make([]byte, abi.MinBuffer)
	var w abi.FrameWriter
	w.Reset(buf, abi.OnAuthorize, 4)
	w.Text(abi.FieldMethod, "POST")
	w.Text(abi.FieldPath, "/api/gitops/sync")
	w.Text(abi.FieldUserID, "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u")
	w.List(abi.FieldRoles, []string{"viewer", "auditor"})
	frame := buf[:w.Finish()]
	f, stack := g.module.ExportedFunction("on_authorize"), make([]uint64, 1)
	return g, func() error {
		g.module.Memory().Write(g.buffer, frame)
		stack[0] = uint64(len(frame))
		if err := f.CallWithStack(t.Context(), stack); err != nil || stack[0] != 20<<32|2 {
			return fmt.Errorf("%#x, %w", stack[0], err)
		}
		return nil
	}
}

// steady fails if memory is larger after so many calls than after the first.
func steady(t *testing.T, g *engineGuest, first, calls int, call func() error) {
	t.Helper()
	var before uint32
	for i := range calls {
		if i == first {
			before = g.module.Memory().Size()
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	if after := g.module.Memory().Size(); after != before {
		t.Errorf("memory grew from %d to %d bytes between call %d and call %d", before, after, first, calls)
	}
}

// wrong is a guest that does one thing otherwise than a right one.
type wrong struct {
	Case
	change func(result *uint64, answer *[]byte, imports *Imports, err *error)
}

func (w wrong) Call(_ context.Context, hook string, frame []byte, imports *Imports) (result uint64, answer []byte, err error) {
	if hook != w.Hook || string(frame) != string(w.Frame) {
		return 0, nil, errors.New("called otherwise")
	}
	for _, l := range w.Log {
		imports.Log(l.Level, []byte(l.Text))
	}
	for _, c := range w.Calls {
		if got := repeat(imports, c); got != c.Returns {
			return 0, nil, fmt.Errorf("%+v was answered with %d", c, got)
		}
	}
	result, answer = uint64(len(w.Answer))<<32|uint64(w.Code), []byte(w.Answer)
	w.change(&result, &answer, imports, &err)
	return result, answer, err
}

// repeat makes a call.
func repeat(imports *Imports, c Call) (result int32) {
	switch c.Import {
	case "metric":
		imports.Metric(string(c.Name), c.Delta)
	case "session_set":
		return imports.SessionSet(string(c.Name), c.Old, c.New)
	case "kv_set":
		return imports.KVSet(string(c.Name), c.Old, c.New, c.TTL)
	case "kv_add":
		_, result = imports.KVAdd(string(c.Name), c.Delta, c.TTL)
	}
	return result
}

// The runner sees what is wrong.
func TestCheck(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for n := range c.Calls {
			for what, change := range map[string]func(*Call){
				"another name":     func(c *Call) { c.Name += "x" },
				"another function": func(c *Call) { c.Import = map[bool]string{true: "metric", false: "kv_add"}[c.Import == "kv_add"] },
				"another number":   func(c *Call) { c.Delta++; c.TTL++; c.New.Length = 0; c.New.Bytes += "x" },
				"no value":         func(c *Call) { c.Old.Length--; c.Delta *= 2; c.TTL *= 2 },
			} {
				other := c
				other.Calls = slices.Clone(c.Calls)
				change(&other.Calls[n])
				if err := c.Check(t.Context(), wrong{other, func(*uint64, *[]byte, *Imports, *error) {}}); err == nil {
					t.Errorf("%s: call %d with %s is right", c.Name, n, what)
				}
			}
		}
		for what, change := range map[string]func(*uint64, *[]byte, *Imports, *error){
			"nothing":                 func(*uint64, *[]byte, *Imports, *error) {},
			"another code":            func(result *uint64, _ *[]byte, _ *Imports, _ *error) { *result ^= 3 },
			"a byte more":             func(result *uint64, _ *[]byte, _ *Imports, _ *error) { *result += 1 << 32 },
			"another answer":          func(_ *uint64, answer *[]byte, _ *Imports, _ *error) { *answer = append(*answer, 0) },
			"a call more":             func(_ *uint64, _ *[]byte, imports *Imports, _ *error) { imports.KVAdd("n", 1, 1) },
			"a name that is declared": func(_ *uint64, _ *[]byte, imports *Imports, _ *error) { imports.Metric("other", 0) },
			"a line more":             func(_ *uint64, _ *[]byte, imports *Imports, _ *error) { imports.Log(0, nil) },
			"a trap":                  func(_ *uint64, _ *[]byte, _ *Imports, err *error) { *err = errors.New("trapped") },
			"another line than":       func(_ *uint64, _ *[]byte, imports *Imports, _ *error) { imports.Log(4, []byte("other")) },
		} {
			right := (what == "nothing" || what == "a name that is declared") && !c.Fails || what == "a trap" && c.Fails
			if err := c.Check(t.Context(), wrong{c, change}); (err == nil) != right {
				t.Errorf("%s: %s: %v", c.Name, what, err)
			}
		}
	}
}
