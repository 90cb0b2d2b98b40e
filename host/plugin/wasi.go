package plugin

import (
	"bytes"
	"log/slog"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
)

// wasiConfig makes WASI inert: no arguments, no environment, no files; clocks
// that stand still within a call; a sleep that returns at once (the engine's
// default); random bytes from the plugin's source; and standard output and
// error that go to the log.
//
// Between calls the clocks do move: a Go guest whose clock never moves does
// not pace its garbage collector.
func (i *instance) wasiConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName(""). // anonymous, so that there may be several
		WithStartFunctions().
		WithStdout(&lineWriter{instance: i, level: slog.LevelInfo}).
		WithStderr(&lineWriter{instance: i, level: slog.LevelWarn}).
		WithWalltime(func() (int64, int32) { return i.wall.Unix(), int32(i.wall.Nanosecond()) }, sys.ClockResolution(1)).
		WithNanotime(func() int64 { return i.nano }, sys.ClockResolution(1)).
		WithRandSource(&drawer{i})
}

// Units charged for a text that is written, and for a byte that is drawn at
// random.
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
// for the rest of it.
func (w *lineWriter) Write(b []byte) (int, error) {
	w.instance.tank.charge(lineCost + len(b))
	for rest := b; len(rest) > 0; {
		part, more, whole := bytes.Cut(rest, []byte{'\n'})
		w.line = append(w.line, part[:min(len(part), maxLine-len(w.line))]...)
		if whole {
			if len(w.line) > 0 {
				w.instance.plugin.guestLine(w.level, w.line)
			}
			w.line = w.line[:0]
		}
		rest = more
	}
	return len(b), nil
}
