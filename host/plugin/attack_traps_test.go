package plugin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

func TestAttackPlugin_traps(t *testing.T) { withstands(t, trapAttacks()) }

// trapAttacks end by themselves, the wrong way.
func trapAttacks() []attack {
	return []attack{
		{name: "trap", body: Op(Unreachable), cause: "unreachable"},
		{name: "division_by_zero", body: Join(Const32(1), Const32(0), Op(0x6d, Drop)), cause: "divide by zero"},
		{name: "load_out_of_bounds", body: Join(Const32(-1), Op(0x28, 0, 0, Drop)), cause: "out of bounds"},
		{name: "call_of_an_empty_table_entry", table: []byte{0x70, 0, 1}, body: Join(Const32(0), Op(0x11, trouble, 0)), cause: "invalid table access"},
		{name: "exit_0", imports: []Import{exitImport}, body: Join(Const32(0), Call(0)), cause: "exit_code(0)"},
		{name: "exit_1", imports: []Import{exitImport}, body: Join(Const32(1), Call(0)), cause: "exit_code(1)"},
	}
}

// A guest that traps when its answer is written has changed nothing: neither
// this call's answer nor the next one's.
func TestAttackPlugin_trap_half_way(t *testing.T) {
	answer := abi.AppendAnswer(nil, abi.Answer{Reason: "half", Headers: []abi.Header{{Name: "X-Team", Value: "root"}}})
	m := base()
	m.Data = map[uint32]string{dataAt: string(answer)}
	m.Globals = 1
	// Counts in a global, writes a whole answer, and traps.
	body := Join(Const32(7), Op(0x24, 0), Const32(bufferAt), Const32(dataAt), Const32(int32(len(answer))), Op(0xfc, 0x0a, 0, 0, Unreachable))
	// The next call would trap if it found that count.
	found := Join(Op(0x23, 0, 0x04, 0x40, Unreachable, 0x0b))
	p := load(t, plugin.Options{Module: hook(m, "on_authorize", onCue(body), found).Encode(), Headers: []string{"X-Team"}, Limits: plugin.Limits{Instances: 1}})
	for range 3 {
		o, err := p.Authorize(t.Context(), cue())
		fails(t, err, "unreachable")
		if o.Headers != nil || o.Reason != "" {
			t.Errorf("half an answer: %+v", o)
		}
		if o, err = p.Authorize(t.Context(), call()); err != nil || o.Effect != host.Allow || o.Headers != nil || o.Reason != "" {
			t.Errorf("the next call: %+v, %v", o, err)
		}
	}
}

// A guest may call its own exports, hooks included; that is its own business.
// The host never enters one that is under way: what it offers calls nothing
// of the guest's.
func TestAttackPlugin_reentry(t *testing.T) {
	m := base(getImport, logImport)
	// on_credential is function 4 and on_authorize 5. They call each other, the
	// buffer and the marker, and the host, and trap if that answers otherwise
	// than it did the outer call.
	get := Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(abi.FieldMethod)), Const32(dataAt), Const32(64), Call(0),
		Const32(4), Op(0x47, 0x04, 0x40, Unreachable, 0x0b)) // POST
	again := Join(Local(0), Const32(100), Op(0x4b, 0x04, 0x40), get, Call(2), Call(3), Op(Drop),
		Local(0), Const32(7), Op(I32Sub), Call(5), Op(Drop), Local(0), Const32(7), Op(I32Sub), Call(4), Op(Drop), get, Op(0x0b))
	short := Join(Local(0), Const32(100), Op(0x4b, 0x04, 0x40), get, Op(0x0b))
	m = hook(m, "on_credential", short)
	m = hook(m, "on_authorize", again)
	p := load(t, plugin.Options{Module: m.Encode(), Limits: plugin.Limits{Instances: 1, Time: time.Second}})
	for range 3 {
		allows(t, p)
	}
	if now, ever := p.Instances(); now != 1 || ever != 1 {
		t.Errorf("%d instances, %d ever", now, ever)
	}
}

// An instance that cannot be made again fails one call, not the pool.
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

// A panic of the host's own during a call is an error of that call.
func TestPanicOfTheHost(t *testing.T) {
	p := load(t, plugin.Options{Module: hook(base(), "on_authorize").Encode()})
	c := call()
	c.Request = nil
	_, err := p.Authorize(t.Context(), c)
	fails(t, err, "panicked")
	allows(t, p)
}
