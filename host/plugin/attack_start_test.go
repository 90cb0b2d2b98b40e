package plugin_test

import (
	"testing"

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
