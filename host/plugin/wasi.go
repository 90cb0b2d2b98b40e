package plugin

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// exportWASI puts WASI into a runtime. The engine keeps for each instance
// which of its three files are closed, and their flags, where one call could
// leave a bit for the next: closing one or setting its flags does nothing.
func exportWASI(ctx context.Context, rt wazero.Runtime) error {
	b := rt.NewHostModuleBuilder(wasiModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	inert := api.GoFunc(func(_ context.Context, stack []uint64) {
		if uint32(stack[0]) > 2 {
			stack[0] = wasiBadFile
		} else {
			stack[0] = 0
		}
	})
	exportLists(b)
	result := []api.ValueType{i32}
	b.NewFunctionBuilder().WithGoFunction(inert, []api.ValueType{i32}, result).Export("fd_close")
	b.NewFunctionBuilder().WithGoFunction(inert, []api.ValueType{i32, i32}, result).Export("fd_fdstat_set_flags")
	_, err := b.Instantiate(ctx)
	return err
}

// wasiBadFile is WASI's errno for a file that is not open.
const wasiBadFile = 8

// wasiConfig makes WASI inert: no arguments, no environment, no files; clocks
// that stand still within a call; a sleep that returns at once (see
// wasilists.go); random bytes from the plugin's source; and standard output and
// error that go to the log.
//
// Between calls the clocks do move: a Go guest whose clock never moves does
// not pace its garbage collector.
func (i *instance) wasiConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName(""). // anonymous, so that there may be several
		WithStartFunctions().
		WithWalltime(func() (int64, int32) { return i.wall.Unix(), int32(i.wall.Nanosecond()) }, sys.ClockResolution(1)).
		WithNanotime(func() int64 { return i.nano }, sys.ClockResolution(1)).
		WithRandSource(&drawer{i})
}

// Units charged for a text that is written and for each line that it ends, and
// for a byte that is drawn at random.
const (
	lineCost   = 500
	randomCost = 8
)

// drawer takes fuel for random bytes.
type drawer struct{ instance *instance }

func (d *drawer) Read(b []byte) (int, error) {
	d.instance.tank.charge(randomCost * len(b))
	return d.instance.plugin.opts.Rand.Read(b)
}

// lineWriter turns what a guest prints into log lines.
type lineWriter struct {
	instance *instance
	level    slog.Level
	line     []byte
}

// Write takes fuel for what it is given. What is not yet a whole line waits
// for the rest of it, until the call ends.
func (w *lineWriter) Write(b []byte) (int, error) {
	w.instance.tank.charge(lineCost + len(b))
	for rest := b; len(rest) > 0; {
		part, more, whole := bytes.Cut(rest, []byte{'\n'})
		w.line = append(w.line, part[:min(len(part), maxLine-len(w.line))]...)
		if whole {
			w.instance.tank.charge(lineCost)
			w.flush()
		}
		rest = more
	}
	return len(b), nil
}

// flush logs what has been gathered of a line.
func (w *lineWriter) flush() {
	if len(w.line) > 0 {
		w.instance.guestLine(w.level, w.line)
		w.line = w.line[:0]
	}
}
