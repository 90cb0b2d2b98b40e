package plugin_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// attack is a guest that misbehaves when cued.
type attack struct {
	name   string
	module func() Module
	cause  string // in the private cause
}

func attacks() []attack {
	// on builds a guest whose on_authorize has that body when cued.
	on := func(imports []Import, body ...[]byte) func() Module {
		return func() Module { return hook(base(imports...), "on_authorize", onCue(body...)) }
	}
	// calling has on_authorize call f, the function after marker and buffer.
	calling := func(f Func, args ...[]byte) func() Module {
		return func() Module { return hook(with(base(), f), "on_authorize", onCue(Join(args...), Call(2))) }
	}
	answer := func(code abi.Code, raw []byte) func() Module {
		return func() Module {
			m := base()
			body := answering(&m, code, raw)
			return hook(m, "on_authorize", onCue(body))
		}
	}
	header := func(code abi.Code, pairs ...string) func() Module {
		var a abi.Answer
		for i := 0; i < len(pairs); i += 2 {
			a.Headers = append(a.Headers, abi.Header{Name: pairs[i], Value: pairs[i+1]})
		}
		return answer(code, abi.AppendAnswer(nil, a))
	}
	get := func(namePtr, nameLen, ptr, cap int32) func() Module {
		return on([]Import{getImport}, Const32(1), Const32(namePtr), Const32(nameLen), Const32(0), Const32(ptr), Const32(cap), Call(0), Op(Drop))
	}
	const fuel, memory = "all its fuel is used", "not within memory"
	// twice(n) calls itself twice with n-1, unless n is 0.
	again := Join(Local(0), Const32(1), Op(I32Sub), Call(2))
	twice := Func{Params: []byte{I32}, Body: Join(Local(0), Op(0x04, 0x40), again, again, Op(0x0b))}
	return []attack{
		{"endless_loop", on(nil, Forever()), fuel},
		{"endless_loop_in_a_callee", calling(Func{Body: Forever()}), fuel},
		{"endless_loop_of_memory_fill", on(nil, Forever(Const32(0), Const32(7), Const32(pages<<16), Op(0xfc, 0x0b, 0))), fuel},
		{"endless_loop_of_memory_copy", on(nil, Forever(Const32(1), Const32(0), Const32(pages<<16-1), Op(0xfc, 0x0a, 0, 0))), fuel},
		{"exponential_recursion", calling(twice, Const32(60)), fuel},
		{"exponential_recursion_without_a_loop_or_an_if", calling(Func{Params: []byte{I32}, Body: Join(
			Op(0x02, 0x40), Local(0), Op(0x45, 0x0d, 0), again, again, Op(0x0b))}, Const32(60)), fuel},
		{"endless_recursion", calling(Func{Body: Call(2)}), ""},
		{"recursion_through_a_table", func() Module {
			m := with(base(), Func{Body: Join(Const32(0), Op(0x11, 2, 0))}) // call_indirect of its own type
			m.Table, m.Elements = []byte{0x70, 0, 1}, []int{2}
			return hook(m, "on_authorize", onCue(Call(2)))
		}, ""},
		{"endless_loop_of_table_fill", func() Module {
			m := base()
			m.Table = []byte{0x70, 1, 0xe8, 0x07, 0xe8, 0x07}
			return hook(m, "on_authorize", onCue(Forever(Const32(0), Op(0xd0, 0x70), Const32(1000), Op(0xfc, 0x11, 0))))
		}, fuel},
		{"endless_loop_of_calls", calling(Func{}, Op(0x03, 0x40), Call(2), Op(0x0c, 0, 0x0b)), fuel},
		{"endless_loop_of_random_bytes", on([]Import{randomImport}, Forever(Const32(0), Const32(pages<<16), Call(0), Op(Drop))), fuel},
		{"endless_loop_through_a_br_table", on(nil, Op(0x03, 0x40), Const32(7), Op(0x0e, 1, 0, 0, 0x0b)), fuel},
		{"straight_line_bomb", calling(Func{Locals: []byte{I32}, Body: bytes.Repeat(Join(Local(0), Const32(3), Op(0x6e), Set(0)), 1<<17)}, bytes.Repeat(Call(2), 8)), fuel},
		{"calls_of_a_straight_line_bomb", func() Module {
			// Each function calls the next one a thousand times.
			m := base()
			for n := range 4 {
				m = with(m, Func{Body: bytes.Repeat(Call(3+n), 1000)})
			}
			return hook(with(m, Func{Body: bytes.Repeat(Op(0x01), 10)}), "on_authorize", onCue(Call(2)))
		}, fuel},
		{"memory_bomb", on(nil, Forever(Const32(1), Op(0x40, 0), Op(Drop))), fuel},
		{"flood_of_get", on([]Import{getImport}, Forever(Const32(1), Const32(0), Const32(4), Const32(0), Const32(0), Const32(0), Call(0), Op(Drop))), ""},
		{"flood_of_log", on([]Import{logImport}, Forever(Const32(1), Const32(0), Const32(100), Call(0))), ""},

		{"get_name_out_of_range", get(pages<<16, 1, 0, 0), memory},
		{"get_name_beyond_32_bits", get(-16, 32, 0, 0), memory},
		{"get_room_out_of_range", get(0, 1, pages<<16-1, 2), memory},
		{"get_room_beyond_32_bits", get(0, 1, -1, 2), memory},
		{"log_out_of_range", on([]Import{logImport}, Const32(1), Const32(-1), Const32(-1), Call(0)), memory},

		{"answer_longer_than_its_buffer", on(nil, result(abi.CodeYes, bufferLen+1)), "buffer of"},
		{"answer_of_4_GiB", on(nil, result(abi.CodeYes, 1<<32-1)), "buffer of"},
		{"answer_longer_than_the_host_takes", on(nil, result(abi.CodeYes, abi.MaxAnswer+1)), "are allowed"},
		{"answer_of_garbage", answer(abi.CodeYes, []byte("\xff\xff\xff\xff\xff\xff\xff\xff")), "answer field"},
		{"unknown_code", on(nil, result(3, 0)), "unknown code 3"},
		{"unknown_code_of_32_bits", on(nil, result(1<<32-1, 0)), "unknown code"},
		{"status_200_in_a_deny", answer(abi.CodeNo, abi.AppendAnswer(nil, abi.Answer{Status: 200})), "status 200"},

		{"header_with_CR", header(abi.CodeYes, "X-Team", "a\rb"), "control character"},
		{"header_with_LF", header(abi.CodeYes, "X-Team", "a\nSet-Cookie: b"), "control character"},
		{"header_with_NUL", header(abi.CodeYes, "X-Team", "a\x00"), "control character"},
		{"header_not_UTF-8", header(abi.CodeYes, "X-Team", "\xff"), "UTF-8"},
		{"header_name_with_colon", header(abi.CodeYes, "X-Team:", "a"), "answer field"},
		{"header_not_declared", header(abi.CodeYes, "X-Other", "a"), "X-Other is not declared"},
		{"header_Host", header(abi.CodeYes, "host", "evil.example"), "Host is not declared"},
		{"header_hop_by_hop", header(abi.CodeYes, "Connection", "X-Auth-Request-User"), "Connection is not declared"},
		{"header_of_identity", header(abi.CodeYes, "x-auth-request-user", "root"), "is not declared"},
		{"header_of_identity_on_a_deny", header(abi.CodeNo, "X-Auth-Request-User", "root"), "is not declared"},
		{"header_Set-Cookie_on_a_deny", header(abi.CodeNo, "Set-Cookie", "a=b"), "is not declared"},
		{"header_Retry-After_on_an_allow", header(abi.CodeYes, "Retry-After", "1"), "is not declared"},
		{"header_twice", header(abi.CodeYes, "X-Team", "a", "x-team", "b"), "X-Team is set twice"},

		{"poll_with_a_count_that_overflows", on([]Import{pollImport}, Const32(0), Const32(0), Const32(1<<28), Const32(0), Call(0), Op(Drop)), "index out of range"},
		{"trap", on(nil, Op(Unreachable)), "unreachable"},
		{"division_by_zero", on(nil, Const32(1), Const32(0), Op(0x6d), Op(Drop)), "divide by zero"},
		{"load_out_of_bounds", on(nil, Const32(-1), Op(0x28, 0, 0), Op(Drop)), "out of bounds"},
		{"exit_0", on([]Import{exitImport}, Const32(0), Call(0)), "exit_code(0)"},
		{"exit_1", on([]Import{exitImport}, Const32(1), Call(0)), "exit_code(1)"},
	}
}

// attackTime is worth a few million units of fuel.
const attackTime = 500 * time.Microsecond

// Every attack ends in an error, the next call of the same plugin is answered
// by a fresh instance, and another plugin does not notice.
func TestAttackPlugin(t *testing.T) {
	other := load(t, plugin.Options{Name: "other", Module: hook(base(), "on_authorize").Encode()})
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			log, logger := newLogs()
			m := newCounts()
			p := load(t, plugin.Options{
				Module: a.module().Encode(), Headers: []string{"X-Team"}, Logger: logger, Metrics: m,
				Limits: plugin.Limits{Memory: 4 << 20, Time: attackTime, Instances: 1},
			})
			allows(t, p)
			for n := range 3 {
				o, err := p.Authorize(t.Context(), cue())
				fails(t, err, a.cause)
				if o.Effect != host.Abstain || o.Headers != nil {
					t.Fatalf("a failed call answered %+v", o)
				}
				allows(t, p)
				if now, ever := p.Instances(); now != 1 || ever != int64(n)+2 {
					t.Fatalf("%d instances, %d ever, after %d failures", now, ever, n+1)
				}
			}
			allows(t, other)
			if got := m.errors["guest on_authorize"]; got != 3 {
				t.Errorf("%d errors counted, want 3", got)
			}
			if got := m.calls["guest on_authorize"]; got != 7 {
				t.Errorf("%d calls counted, want 7", got)
			}
			if text := log.String(); strings.Count(text, `"msg":"plugin failed","plugin":"guest","hook":"on_authorize"`) != 3 {
				t.Errorf("failures are not in the log:\n%s", text)
			}
		})
	}
}

// A guest that fails in each of its calls keeps failing, and nothing else.
func TestAttackPlugin_trap_in_on_credential(t *testing.T) {
	p := load(t, plugin.Options{Module: hook(base(), "on_credential", Op(Unreachable)).Encode()})
	if p.Host().Authorizer != nil {
		t.Error("it has no on_authorize")
	}
	for range 3 {
		_, err := p.Choose(t.Context(), call())
		fails(t, err, "unreachable")
	}
}

func TestAttackPlugin_candidate_that_is_none(t *testing.T) {
	m := base()
	body := answering(&m, abi.CodeYes, abi.AppendAnswer(nil, abi.Answer{Candidate: 2, HasCandidate: true}))
	p := load(t, plugin.Options{Module: hook(m, "on_credential", body).Encode()})
	c := call()
	c.Candidates = make([]host.Candidate, 2)
	_, err := p.Choose(t.Context(), c)
	fails(t, err, "candidate 2 of 2")
}

// What stops a guest before it serves refuses the load, in bounded time.
func TestAttackPlugin_start(t *testing.T) {
	ok := hook(base(), "on_authorize")
	function := func(f Func) Module { return with(ok, f) }
	start := func(body ...[]byte) Module {
		m := function(Func{Body: Join(body...)})
		m.HasStart, m.Start = true, 3
		return m
	}
	initialize := func(body ...[]byte) Module {
		return function(Func{Export: "_initialize", Body: Join(body...)})
	}
	buffer := func(result uint64) Module {
		m := ok
		m.Funcs = append([]Func{m.Funcs[0], {Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(int64(result))}}, m.Funcs[2:]...)
		return m
	}
	exits := with(hook(base(exitImport), "on_authorize"), Func{Export: "_initialize", Body: Join(Const32(0), Call(0))})
	quick := plugin.Limits{Time: time.Millisecond, Instances: 1} // the start gets a second
	for _, c := range []struct {
		name, step, text string
		module           Module
	}{
		{"trap in start", "start", "unreachable", start(Op(Unreachable))},
		{"endless start", "start", "all its fuel is used", start(Forever())},
		{"trap in _initialize", "start", "unreachable", initialize(Op(Unreachable))},
		{"exit in _initialize", "start", "exit_code(0)", exits},
		{"endless _initialize", "start", "all its fuel is used", initialize(Forever())},
		{"trap in configure", "configure", "unreachable", hook(ok, "configure", Op(Unreachable))},
		{"endless configure", "configure", "all its fuel is used", hook(ok, "configure", Forever())},
		{"configure answers yes", "configure", "unknown code 1", hook(ok, "configure")},
		{"configure refuses", "configure", "no reason given", hook(ok, "configure", result(abi.CodeNo, 0))},
		{"buffer too small", "start", "4095 bytes", buffer(1024<<32 | 4095)},
		{"buffer out of range", "start", "not within memory", buffer(60<<10<<32 | 8192)},
		{"buffer beyond 32 bits", "start", "not within memory", buffer(0xffffff00<<32 | 8192)},
		{"trap in authhost_buffer", "start", "unreachable", func() Module {
			m := buffer(0)
			m.Funcs[1].Body = Op(Unreachable)
			return m
		}()},
		{"more memory than allowed", "compile", "memory", func() Module { m := ok; m.MinPages = 1024; return m }()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			refused(t, plugin.Options{Module: c.module.Encode(), Limits: quick}, c.step, c.text)
		})
	}
}

// An instance that cannot be made again fails one call, not the pool; a spare
// that cannot fails none.
func TestAttackPlugin_failed_restart(t *testing.T) {
	// configure returns a random byte as its code.
	m := with(base(randomImport), Func{Export: "configure", Params: hookParams, Results: hookResults,
		Body: Join(Const32(dataAt), Const32(1), Call(0), Op(Drop), Const32(dataAt), Op(0x2d, 0, 0, ExtendU))})
	p := load(t, plugin.Options{
		Module: hook(m, "on_authorize", onCue(Op(Unreachable))).Encode(), Rand: strings.NewReader("\x00\x02\x02\x00"), Limits: plugin.Limits{Instances: 1},
	})
	_, err := p.Authorize(t.Context(), cue())
	fails(t, err, "unreachable")
	_, err = p.Authorize(t.Context(), call())
	fails(t, err, "no reason given")
	allows(t, p)
}

// A sleep returns at once.
func TestSleep(t *testing.T) {
	m := base(pollImport)
	m.Data = map[uint32]string{dataAt + 24: "\x00\x00\x00\x00\x00\x01\x00\x00"} // a timeout of 305 hours
	body := Join(Const32(dataAt), Const32(dataAt+64), Const32(1), Const32(dataAt+128), Call(0), Op(0x04, 0x40, Unreachable, 0x0b))
	allows(t, load(t, plugin.Options{Module: hook(m, "on_authorize", body).Encode(), Limits: plugin.Limits{Time: time.Second}}))
}

// memory.grow answers -1 beyond the limit, and the guest may go on.
func TestMemoryLimit(t *testing.T) {
	// deny if growing to 33 pages in all succeeds.
	body := Join(Const32(32), Op(0x40, 0), Const32(-1), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b))
	module := hook(base(), "on_authorize", body).Encode()
	allows(t, load(t, plugin.Options{Module: module, Limits: plugin.Limits{Memory: 2 << 20}}))
	p := load(t, plugin.Options{Module: module, Limits: plugin.Limits{Memory: 4 << 20}})
	if o, err := p.Authorize(t.Context(), call()); err != nil || o.Effect != host.Deny {
		t.Errorf("got %+v, %v, want deny", o, err)
	}
}

// table.grow is bounded as memory.grow is.
func TestAttackPlugin_table_bomb(t *testing.T) {
	// deny if growing the table by 10 million entries succeeds.
	m := base()
	m.Table = []byte{0x70, 0, 1}
	grow := Join(Op(0xd0, 0x70), Const32(10_000_000), Op(0xfc, 0x0f, 0), Const32(-1), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b))
	allows(t, load(t, plugin.Options{Module: hook(m, "on_authorize", grow).Encode()}))
}

// A panic of the host's own during a call is an error of that call.
func TestPanicOfTheHost(t *testing.T) {
	p := load(t, plugin.Options{Module: hook(base(), "on_authorize").Encode()})
	c := call()
	c.Request = nil
	_, err := p.Authorize(t.Context(), c)
	fails(t, err, "panicked")
	allows(t, p)
}
