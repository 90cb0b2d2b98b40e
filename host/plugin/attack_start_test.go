package plugin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// A start that ends well but does not leave what the host needs refuses the
// load. How one ends badly is among the attacks.
func TestAttackPlugin_start(t *testing.T) {
	ok := hook(base(), "on_authorize")
	buffer := func(result uint64) Module {
		m := base()
		m.Funcs[1].Body = Const64(int64(result))
		return hook(m, "on_authorize")
	}
	for _, c := range []struct {
		name, step, text string
		module           Module
	}{
		{"configure refuses", "configure", "no reason given", hook(ok, "configure", result(abi.CodeNo, 0))},
		{"buffer too small", "start", "4095 bytes", buffer(1024<<32 | 4095)},
		{"buffer of nothing", "start", "0 bytes", buffer(0)},
		{"buffer out of range", "start", "not within memory", buffer(60<<10<<32 | 8192)},
		{"buffer of 4 GiB", "start", "not within memory", buffer(1<<32 - 1)},
		{"buffer beyond 32 bits", "start", "not within memory", buffer(0xffffff00<<32 | 8192)},
		{"more memory than allowed", "compile", "memory", func() Module { m := ok; m.MinPages = 1024; return m }()},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, plugin.Options{Module: c.module.Encode()}, c.step, c.text)
		})
	}
}

// Whoever loads a plugin need not wait for one that does not come to an end.
func TestLoadEndsWithItsContext(t *testing.T) {
	for name, f := range map[string]Func{
		"_initialize": {Body: Forever()},
		"configure":   {Params: hookParams, Results: hookResults, Body: Join(Forever(), Const64(0))},
	} {
		f.Export = name
		ctx, cancel := context.WithCancel(t.Context())
		began := func(step string) {
			if step == "start" { // some moments before anything runs, or later
				time.AfterFunc(10*time.Millisecond, cancel)
			}
		}
		ended := make(chan error, 1)
		go func() {
			_, err := plugin.Load(ctx, plugin.Options{Name: "guest", Module: with(hook(base(), "on_authorize"), f).Encode(),
				Cache: shared(), Limits: plugin.Limits{Time: plugin.MaxTime}, Step: began})
			ended <- err
		}()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: it still loads", name)
		}
	}
}
