package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/config"
)

// drainTime bounds how long what a reload replaced is kept for the requests
// that still use it.
const drainTime = 30 * time.Second

// errStopping is the answer to a reload that comes too late.
var errStopping = errors.New("authhost is stopping")

// keepCurrent is the one goroutine that makes assemblies, each from the one
// before, so that no reload loses another. It ends with ctx.
func (d *Daemon) keepCurrent(ctx context.Context) {
	defer close(d.stopped)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case answer := <-d.reloads:
			answer <- d.reloadConfig(ctx)
		case <-tick.C:
			if changed := d.watcher.poll(); len(changed) > 0 {
				d.log.LogAttrs(ctx, slog.LevelInfo, "files changed", slog.Any("files", changed))
				d.takeUp(ctx, changed)
			}
		}
	}
}

// takeUp applies what changed. The outcome is logged and counted below.
func (d *Daemon) takeUp(ctx context.Context, changed []string) {
	own := d.current.config.Files()
	// A configuration that was refused may have waited for any of them.
	if d.refused || slices.ContainsFunc(changed, func(f string) bool { return slices.Contains(own, f) }) {
		_ = d.reloadConfig(ctx)
		return
	}
	if err := d.rebuild(ctx, d.current.config); err != nil {
		d.log.LogAttrs(ctx, slog.LevelError, "changed files refused, the last good ones are in force", slog.Any("reason", err))
	}
}

// Reload reads the configuration again and applies it whole or not at all. It
// returns when the new one is in force, or why it is not. It needs Run to be
// under way.
func (d *Daemon) Reload(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case d.reloads <- answer:
	case <-d.stopped:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Daemon) reloadConfig(ctx context.Context) error {
	next, err := d.readConfig()
	if err == nil {
		err = config.RestartNeeded(d.current.config, next)
	}
	if err == nil {
		err = d.rebuild(ctx, next)
	}
	d.reported("config", err)
	d.refused = err != nil
	if err != nil {
		d.log.LogAttrs(ctx, slog.LevelError, "configuration refused, the last good one is in force", slog.Any("reason", err))
		d.keepUp(ctx, next)
		return err
	}
	d.log.LogAttrs(ctx, slog.LevelInfo, "configuration applied", slog.Uint64("generation", d.current.snapshot.Generation))
	return nil
}

// keepUp does what is left to do when a configuration was refused: modules
// that changed at the same time are loaded for the one in force, and whatever
// the refused one, if it could be read, names is watched, since it may be good
// once that is there.
func (d *Daemon) keepUp(ctx context.Context, refused *config.Config) {
	if d.modulesChanged() {
		if err := d.rebuild(ctx, d.current.config); err != nil {
			d.log.LogAttrs(ctx, slog.LevelError, "changed plugins refused", slog.Any("reason", err))
		}
	}
	if refused != nil {
		d.watcher.watch(append(d.current.files(), awaited(refused)...))
	}
}

// modulesChanged says whether the module of a plugin is another than the one
// in service.
func (d *Daemon) modulesChanged() bool {
	for _, p := range d.current.plugins {
		if hash, ok := d.watcher.seen(p.entry.Module); ok && hash != p.hash {
			return true
		}
	}
	return false
}

// readConfig reads the configuration. Its hash is taken first: a change in
// between is then seen by the next poll.
func (d *Daemon) readConfig() (*config.Config, error) {
	if content, err := os.ReadFile(d.file); err == nil {
		d.watcher.applied(d.file, content)
	}
	return config.Load(d.file, d.environ)
}

// rebuild makes an assembly from c, puts it in the place of the current one,
// and hands what is no longer used to the drain.
func (d *Daemon) rebuild(ctx context.Context, c *config.Config) error {
	next, err := d.assemble(ctx, c, d.current)
	if err != nil {
		return err
	}
	d.watcher.watch(next.files())
	d.adopt(ctx, next)
	return nil
}

// adopt puts next in the place of the current assembly.
func (d *Daemon) adopt(ctx context.Context, next *assembly) {
	old := d.current
	d.current = next
	d.serving.Store(next)
	previous := d.pipeline.Swap(next.snapshot)
	if old == nil {
		return
	}
	gone := retirement{snapshot: previous, plugins: missingFrom(old.plugins, next.plugins), realms: old.realmsMissingFrom(next), near: old.nearMissingFrom(next)}
	select {
	case d.retired <- gone:
	case <-ctx.Done():
		// No request is under way any more.
		d.close(ctx, gone)
	}
}

// retirement is what one swap took out of service.
type retirement struct {
	snapshot *host.Snapshot
	plugins  []*loaded
	realms   []*realm
	near     *nearCache // nil: it is still in use, or there was none
}

// drain closes what was retired, in order: once a snapshot is idle, so is
// every one before it. It ends with ctx.
func (d *Daemon) drain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-d.retired:
			late := time.NewTimer(drainTime)
			select {
			case <-r.snapshot.Idle():
			case <-late.C:
				d.log.LogAttrs(ctx, slog.LevelWarn, "requests still use what a reload replaced; it is closed now", slog.Uint64("generation", r.snapshot.Generation))
			case <-ctx.Done():
			}
			late.Stop()
			d.close(ctx, r)
		}
	}
}

// close lets go of what was retired, also when ctx has ended.
func (d *Daemon) close(ctx context.Context, r retirement) {
	closePlugins(context.WithoutCancel(ctx), d.log, r.plugins)
	for _, r := range r.realms {
		r.stop()
	}
	if r.near != nil {
		r.near.stop()
	}
}
