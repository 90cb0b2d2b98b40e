package plugin_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// without leaves out the function of that export.
func without(m Module, export string) Module {
	m.Funcs = slices.DeleteFunc(slices.Clone(m.Funcs), func(f Func) bool { return f.Export == export })
	return m
}

// What is wrong with a module is told by name, before anything of it runs:
// each module here has a start function that traps.
func TestAttackPlugin_static_checks(t *testing.T) {
	ok := hook(base(), "on_authorize")
	importing := func(i Import) Module { return hook(base(i), "on_authorize") }
	global := Import{Module: "authhost", Name: "secret", Kind: 3, Desc: []byte{I32, 0}}
	shortGet := getImport
	shortGet.Params = shortGet.Params[1:]
	for _, c := range []struct {
		name, text string
		module     Module
	}{
		{"no marker", `"authhost_abi_v1" is missing`, without(ok, abi.Marker)},
		{"another version", "authhost_abi_v2", with(without(ok, abi.Marker), Func{Export: "authhost_abi_v2"})},
		{"marker with a result", `"authhost_abi_v1" has the type () -> (i32)`,
			with(without(ok, abi.Marker), Func{Export: abi.Marker, Results: []byte{I32}, Body: Const32(0)})},
		{"no memory", `"memory"`, func() Module { m := ok; m.NoMemory = true; return m }()},
		{"no buffer", `"authhost_buffer"`, without(ok, abi.BufferExport)},
		{"buffer of i32", `"authhost_buffer" has the type () -> (i32)`,
			with(without(ok, abi.BufferExport), Func{Export: abi.BufferExport, Results: []byte{I32}, Body: Const32(0)})},
		{"_initialize with a parameter", `"_initialize" has the type`, with(ok, Func{Export: "_initialize", Params: []byte{I32}})},
		{"no hook", "exports no hook", base()},
		{"configure alone", "exports no hook", hook(base(), "configure")},
		{"unknown hook", `"on_fire"`, hook(ok, "on_fire")},
		{"on_response", "on_response is not supported by this version", hook(ok, "on_response")},
		{"ungranted host function", "authhost.kv_get", importing(Import{Module: "authhost", Name: "kv_get"})},
		{"get of the wrong type", "authhost.get has the type", importing(shortGet)},
		{"log of the wrong type", "authhost.log has the type", importing(Import{Module: "authhost", Name: "log"})},
		{"HTTP", "authhost.http_fetch", importing(Import{Module: "authhost", Name: "http_fetch", Params: []byte{I32, I32, I32, I32}, Results: []byte{I32}})},
		{"the meter's import", "authhost_meter", importing(Import{Module: "authhost_meter", Name: "refill", Params: []byte{I64}, Results: []byte{I64}})},
		{"the meter's export", "authhost_meter_fuel", with(ok, Func{Export: "authhost_meter_fuel"})},
		{"another module", "env.memcpy", importing(Import{Module: "env", Name: "memcpy"})},
		{"WASI files", "wasi_snapshot_preview1.path_open", importing(Import{Module: "wasi_snapshot_preview1", Name: "path_open"})},
		{"WASI sockets", "wasi_snapshot_preview1.sock_accept", importing(Import{Module: "wasi_snapshot_preview1", Name: "sock_accept"})},
		{"imported memory", "env.memory", func() Module {
			m := importing(Import{Module: "env", Name: "memory", Kind: 2, Desc: []byte{0, 1}})
			m.NoMemory = true
			return m
		}()},
		{"WASI of the wrong type", "proc_exit", importing(Import{Module: "wasi_snapshot_preview1", Name: "proc_exit"})},
		{"imported global", "secret", importing(global)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			step := "check"
			if c.name == "WASI of the wrong type" || c.name == "imported global" {
				step = "start" // linking, which comes before anything runs too
			}
			refused(t, plugin.Options{Module: trapping(c.module)}, step, c.text)
		})
	}
	t.Run("hook of the wrong type", func(t *testing.T) {
		for _, name := range hooks {
			for text, f := range map[string]Func{
				"() -> ()":           {},
				"(i32) -> ()":        {Params: hookParams},
				"() -> (i64)":        {Results: hookResults, Body: Const64(0)},
				"(i64) -> (i64)":     {Params: []byte{I64}, Results: hookResults, Body: Const64(0)},
				"(i32) -> (i32)":     {Params: hookParams, Results: []byte{I32}, Body: Const32(0)},
				"(i32 i32) -> (i64)": {Params: []byte{I32, I32}, Results: hookResults, Body: Const64(0)},
			} {
				f.Export = name
				refused(t, plugin.Options{Module: trapping(with(without(ok, name), f))}, "check", `"`+name+`" has the type `+text+", want (i32) -> (i64)")
			}
		}
	})
}

// trapping returns the module with a start function that traps.
func trapping(m Module) []byte {
	m = with(m, Func{Body: Op(Unreachable)})
	m.HasStart, m.Start = true, len(m.Funcs)-1
	for _, i := range m.Imports {
		if i.Desc == nil {
			m.Start++
		}
	}
	return m.Encode()
}

func TestAttackPlugin_not_a_module(t *testing.T) {
	ok := hook(base(), "on_authorize").Encode()
	for name, b := range map[string][]byte{
		"empty":                    nil,
		"text":                     []byte("#!/bin/sh\n"),
		"head alone":               ok[:8],
		"cut short":                ok[:len(ok)-1],
		"half":                     ok[:len(ok)/2],
		"trailing":                 append(slices.Clone(ok), 0),
		"component":                append([]byte("\x00asm\x0d\x00\x01\x00"), ok[8:]...),
		"bad opcode":               bytes.Replace(ok, Const64(1), []byte{0xff, 1}, 1),
		"wrong type":               hook(base(), "on_authorize", Op(Drop)).Encode(),
		"one export twice":         with(hook(base(), "on_authorize"), Func{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(0)}).Encode(),
		"a long export":            hook(hook(base(), "on_authorize"), "on_"+strings.Repeat("x", 1<<20)).Encode(),
		"a long import":            hook(base(Import{Module: "env", Name: strings.Repeat("x", 1<<20)}), "on_authorize").Encode(),
		"a long import's module":   hook(base(Import{Module: strings.Repeat("x", 1<<20), Name: "x"}), "on_authorize").Encode(),
		"two memories":             append(slices.Clone(ok), 5, 3, 1, 0, 1),
		"code after all":           append(slices.Clone(ok), 10, 1, 0),
		"another section":          append(slices.Clone(ok), 13, 1, 0),
		"a start with a parameter": func() []byte { m := hook(base(), "on_authorize"); m.HasStart, m.Start = true, 2; return m.Encode() }(),
		"a start that is not":      func() []byte { m := hook(base(), "on_authorize"); m.HasStart, m.Start = true, 99; return m.Encode() }(),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := plugin.Load(t.Context(), plugin.Options{Name: "guest", Module: b}); err == nil {
				t.Error("it was loaded")
			} else if len(err.Error()) > 1<<10 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// Modules that are small but would take much of the host to compile or start.
func TestAttackPlugin_compile_bomb(t *testing.T) {
	ok := hook(base(), "on_authorize")
	bodies := func(n int) Module {
		m := ok
		m.Funcs = slices.Concat(m.Funcs, slices.Repeat([]Func{{}}, n))
		return m
	}
	table := func(desc ...byte) Module { m := ok; m.Table = desc; return m }
	huge := with(ok, Func{Body: bytes.Repeat([]byte{0x01}, 5<<20)})
	for _, c := range []struct {
		name, text string
		module     []byte
	}{
		{"a million functions", "items", bodies(1_000_000).Encode()},
		{"a huge function", "a function of", huge.Encode()},
		{"a huge table", "entries", table(0x70, 0, 0x80, 0x80, 0x80, 0x80, 0x08).Encode()},
		{"a list longer than its section", "items", []byte("\x00asm\x01\x00\x00\x00\x01\x05\xff\xff\xff\xff\x0f")},
		{"4 billion locals", "locals", []byte("\x00asm\x01\x00\x00\x00\x0a\x0b\x01\x09\x01\xff\xff\xff\xff\x0f\x7e\x0b\x0b")},
		{"4 billion elements", "cut short", []byte("\x00asm\x01\x00\x00\x00\x09\x0a\x01\x00\x41\x00\x0b\xff\xff\xff\xff\x0f")},
		{"4 billion expressions", "cut short", []byte("\x00asm\x01\x00\x00\x00\x09\x08\x01\x05\x70\xff\xff\xff\xff\x0f")},
		{"4 GiB of data", "cut short", []byte("\x00asm\x01\x00\x00\x00\x0b\x07\x01\x01\xff\xff\xff\xff\x0f")},
		{"4 billion parameters", "cut short", []byte("\x00asm\x01\x00\x00\x00\x01\x07\x01\x60\xff\xff\xff\xff\x0f")},
		{"a name of 4 GiB", "cut short", []byte("\x00asm\x01\x00\x00\x00\x07\x06\x01\xff\xff\xff\xff\x0f")},
		{"a module of 65 MiB", "are allowed", append(ok.Encode(), make([]byte, 65<<20)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			step := "check"
			if strings.HasPrefix(c.name, "a module") {
				step = "options"
			}
			refused(t, plugin.Options{Module: c.module}, step, c.text)
		})
	}
	// A few kilobytes, any of which would be compiled for minutes or hours.
	for name, b := range compileBombs() {
		t.Run(name, func(t *testing.T) {
			refused(t, plugin.Options{Module: b.loaded(b.huge)}, "check", b.text)
		})
	}
	// Custom sections are not looked at, whatever they hold.
	m := ok
	m.Custom = map[string]string{"name": "\x01\x05\xff\xff\xff\xff\x0f", ".debug_info": "\xff\xff"}
	allows(t, load(t, plugin.Options{Module: m.Encode()}))
}

func TestOptions(t *testing.T) {
	ok := hook(base(), "on_authorize").Encode()
	for _, name := range []string{
		"Host", "connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Authenticate", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "content-type", "Cookie", "Set-Cookie", "Authorization", "WWW-Authenticate", "Retry-After", "Forwarded",
		"X-Forwarded-For", "X-Original-URL", "X-Auth-Request-User", "x-auth-request-anything", "X-Real-IP", "Location",
		"", "X Team", "X-Team:", "X_Team", "X-Auth_Request_User", "X-Team\r\n", "X-Tëam", strings.Repeat("a", 129),
	} {
		refused(t, plugin.Options{Module: ok, Headers: []string{"X-Team", name}}, "options", "header")
	}
	refused(t, plugin.Options{Module: ok, Headers: []string{"X-Team", "x-team"}}, "options", "X-Team is declared twice")
	for _, l := range []plugin.Limits{{Memory: -1}, {Memory: 1}, {Memory: 4 << 30}, {Time: -1}, {Time: plugin.MaxTime + 1}, {Instances: -1}, {Instances: plugin.MaxInstances + 1}} {
		refused(t, plugin.Options{Module: ok, Limits: l}, "options", "limits")
	}
	if _, err := plugin.Load(t.Context(), plugin.Options{Module: ok}); err == nil {
		t.Error("a plugin without a name was loaded")
	}

	p := load(t, plugin.Options{Module: ok, Headers: []string{"x-team", "X-Plan"}})
	if got := p.Headers(); !slices.Equal(got, []string{"X-Team", "X-Plan"}) {
		t.Errorf("headers %q", got)
	}
	if got := p.Hooks(); !slices.Equal(got, []string{"on_authorize"}) || p.Name() != "guest" {
		t.Errorf("%s has hooks %q", p.Name(), got)
	}
	if h := p.Host(); h.Name != "guest" || h.Authorizer == nil || h.Chooser != nil {
		t.Errorf("a route would see %+v", h)
	}
}
