package daemon

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/plugin/rollout"
)

// drainTime bounds how long what a reload replaced is kept for the requests
// and calls that still use it.
const drainTime = 30 * time.Second

// errStopping is the answer to a reload that comes too late.
var errStopping = &host.Error{Kind: host.Unavailable, Public: "authhost is stopping"}

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
		case task := <-d.tasks:
			task(ctx)
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
	d.renewPlugins(ctx)
}

// inTurn has the goroutine that makes assemblies do something, and returns
// what came of it. It needs Run to be under way.
func (d *Daemon) inTurn(ctx context.Context, do func(ctx context.Context) error) error {
	answer := make(chan error, 1)
	select {
	case d.tasks <- func(ctx context.Context) {
		err := do(ctx)
		if err != nil && ctx.Err() != nil {
			err = errStopping
		}
		answer <- err
	}:
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

// Reload reads the configuration again and applies it whole or not at all. It
// returns when the new one is in force, or why it is not. It needs Run to be
// under way.
func (d *Daemon) Reload(ctx context.Context) error { return d.inTurn(ctx, d.reloadConfig) }

// ReloadPlugin takes up a plugin's files as they stand, changed or not, by the
// configuration in force. It returns when the new version serves, or why it
// does not. It needs Run to be under way.
func (d *Daemon) ReloadPlugin(ctx context.Context, name string) error {
	return d.inTurn(ctx, func(ctx context.Context) error {
		p, ok := d.current.plugins[name]
		if !ok {
			return errNoPlugin
		}
		files := files{watcher: &d.watcher}
		var err error
		if p.Candidate, err = p.Try(ctx, d.current.spec(name), files.read, true); err != nil {
			d.refusedPlugin(ctx, p, err)
			return err
		}
		d.replace(ctx, p)
		return nil
	})
}

// RollBackPlugin puts a plugin's previous generation back in force. It needs
// Run to be under way.
func (d *Daemon) RollBackPlugin(ctx context.Context, name string) error {
	return d.inTurn(ctx, func(ctx context.Context) error {
		p, ok := d.current.plugins[name]
		if !ok {
			return errNoPlugin
		}
		if p.Candidate, ok = p.Back(); !ok {
			return &host.Error{Kind: host.Conflict, Public: "no_previous_version"}
		}
		if err := p.Version.Refuses(askedOf(d.current.config, name)); err != nil {
			return &host.Error{Kind: host.Conflict, Public: "previous_version_lacks_a_hook", Cause: err}
		}
		d.replace(ctx, p)
		return nil
	})
}

var errNoPlugin = &host.Error{Kind: host.NotFound, Public: "no_such_plugin"}

// replace puts one plugin's candidate in force.
func (d *Daemon) replace(ctx context.Context, p plugged) {
	plugins := maps.Clone(d.current.plugins)
	plugins[p.Version.Host().Name] = p
	d.adopt(ctx, d.current.with(plugins))
}

// renewPlugins takes up whatever changed of the plugins of the configuration in
// force.
func (d *Daemon) renewPlugins(ctx context.Context) {
	plugins, err := d.loadPlugins(ctx, d.current.config, d.current.plugins)
	switch {
	case err != nil: // there is a last good version of each
		d.log.LogAttrs(ctx, slog.LevelError, "changed plugins refused", slog.Any("reason", err))
	case len(unserved(plugins)) > 0:
		d.adopt(ctx, d.current.with(plugins))
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
	for _, p := range d.current.plugins {
		p.Withdrawn()
	}
	d.log.LogAttrs(ctx, slog.LevelInfo, "configuration applied", slog.Uint64("generation", d.current.snapshot.Generation))
	return nil
}

// keepUp does what is left to do when a configuration was refused: modules
// that changed at the same time are loaded for the one in force, and whatever
// the refused one, if it could be read, names is watched, since it may be good
// once that is there.
func (d *Daemon) keepUp(ctx context.Context, refused *config.Config) {
	d.renewPlugins(ctx)
	if refused != nil {
		d.watcher.watch(append(d.current.files(), awaited(refused)...))
	}
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
	if old == nil {
		old = &assembly{}
	}
	gone := retirement{snapshot: d.pipeline.Swap(next.snapshot), realms: old.realmsMissingFrom(next), near: old.nearMissingFrom(next)}
	var changed []taken
	changed, gone.plugins = takeOver(old.plugins, next.plugins)
	d.serving.Store(next)
	for _, p := range changed {
		d.tell(ctx, p)
	}
	for name := range old.plugins {
		if _, ok := next.plugins[name]; !ok {
			d.audit.PluginGone(name)
		}
	}
	if gone.snapshot == nil {
		return
	}
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
	plugins  []*rollout.Version
	realms   []*realm
	near     *nearCache // nil: it is still in use, or there was none
}

// drain closes what was retired, in order: once a snapshot is idle, so is
// every one before it, unless that was kept for too long. It ends with ctx.
func (d *Daemon) drain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-d.retired:
			kept, cancel := context.WithTimeout(ctx, d.drainTime)
			select {
			case <-r.snapshot.Idle():
			case <-kept.Done():
				if ctx.Err() == nil {
					d.log.LogAttrs(ctx, slog.LevelWarn, "requests still use what a reload replaced; it is closed now", slog.Uint64("generation", r.snapshot.Generation))
				}
			}
			d.close(kept, r)
			cancel()
		}
	}
}

// close lets go of what was retired, also when ctx has ended; see
// closeVersions.
func (d *Daemon) close(ctx context.Context, r retirement) {
	closeVersions(ctx, d.log, r.plugins)
	for _, r := range r.realms {
		r.stop()
	}
	if r.near != nil {
		r.near.stop()
	}
}
