package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"

	"github.com/authhost/authhost/host/audit"
	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/rollout"
)

// plugged is one plugin of an assembly: the succession of its versions, and the
// one that serves.
type plugged struct {
	*rollout.Rollout
	rollout.Candidate
}

// specOf returns what an entry asks for.
func specOf(c *config.Config, e config.Plugin) rollout.Spec {
	return rollout.Spec{
		Name: e.Name, Module: e.Module, SHA256: e.SHA256, PublicKeys: e.PublicKeys, Config: e.Config, Headers: e.Headers,
		Limits:   plugin.Limits{Memory: int64(e.Limits.Memory), Time: e.Limits.Time, Instances: e.Limits.Instances},
		Grants:   grantsOf(e.Capabilities),
		Asked:    askedOf(c, e.Name),
		Isolated: e.Isolation == config.IsolationRequest,
		Gates:    rollout.Gates{AllowDowngrade: e.AllowDowngrade, MaxChanged: e.MaxChanged},
	}
}

func grantsOf(c config.Capabilities) rollout.Grants {
	g := rollout.Grants{Session: c.Session, Credentials: c.Credentials}
	if c.KV != nil {
		g.Keys = c.KV.Keys
	}
	if c.HTTP != nil {
		g.Hosts, g.Private = c.HTTP.Hosts, c.HTTP.Private
	}
	return g
}

// loadPlugins makes the plugins of a configuration, each from what runs. One
// that is refused keeps the last good version of an unchanged entry; without
// one it is an error, and every such error is returned.
func (d *Daemon) loadPlugins(ctx context.Context, c *config.Config, running map[string]plugged) (map[string]plugged, error) {
	next := make(map[string]plugged, len(c.Plugins))
	files := files{watcher: &d.watcher}
	var problems []error
	for i, entry := range c.Plugins {
		p := plugged{Rollout: running[entry.Name].Rollout}
		if p.Rollout == nil {
			p.Rollout = rollout.New(entry.Name, rollout.Options{Cache: d.compiled, Logger: d.log, Metrics: d.audit, Counts: d.audit, Now: d.now, KV: d.openKV, Sessions: d.attributes(), HTTP: d.fetcher})
		}
		var err error
		before := p.Status()
		if p.Candidate, err = p.Try(ctx, specOf(c, entry), files.read, false); err != nil {
			d.refusedPlugin(ctx, p, err)
		}
		if p.Version == nil {
			problems = append(problems, c.Problem(fmt.Sprintf("plugins[%d].%s", i, blamed(entry, err)), err))
			continue
		}
		if now := p.Status(); before != nil && before.State == rollout.Kept && now.State == rollout.Serving {
			d.log.LogAttrs(ctx, slog.LevelInfo, "plugin no longer refused", slog.String("plugin", entry.Name),
				slog.Int("generation", now.Serving.Number), slog.String("sha256", now.Serving.SHA256))
		}
		next[entry.Name] = p
	}
	if problems != nil {
		closeVersions(ctx, d.log, unserved(next))
		return nil, errors.Join(problems...)
	}
	return next, nil
}

// refusedPlugin says that and why a new version does not serve.
func (d *Daemon) refusedPlugin(ctx context.Context, p plugged, err error) {
	name, step := "", ""
	if r, ok := errors.AsType[*rollout.Refusal](err); ok {
		name, step = r.Plugin, r.Step
	}
	d.reported("plugin/"+name, err)
	d.audit.PluginRefused(name, step)
	d.log.LogAttrs(ctx, slog.LevelError, "plugin refused", slog.String("plugin", name), slog.String("step", step),
		slog.Bool("last_good_serving", p.Serving() != nil), slog.Any("reason", err))
}

// blamed returns the key of a plugin's entry that a refusal is about.
func blamed(entry config.Plugin, err error) string {
	r, ok := errors.AsType[*rollout.Refusal](err)
	switch {
	case !ok:
	case r.Step == rollout.SHA256:
		return "sha256"
	case r.Step == rollout.Signature:
		return "public_keys"
	case r.Step == rollout.Replay:
		return "max_changed"
	case r.Step == rollout.Configure && len(entry.Config) > len("{}"):
		return "config"
	}
	return "module"
}

// files keeps what was read of each file: plugins that share a module get the
// same version of it. The watcher is told what is taken up.
type files struct {
	watcher *watcher
	content map[string][]byte
}

func (f *files) read(path string) ([]byte, error) {
	if content, ok := f.content[path]; ok {
		return content, nil
	}
	content, err := head(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		f.watcher.applied(path, content)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes, which is what a module may have", path, maxFile)
	}
	if err == nil {
		if f.content == nil {
			f.content = map[string][]byte{}
		}
		f.content[path] = content
	}
	return content, err
}

// taken is one plugin that has another version than before.
type taken struct {
	plugged
	left *rollout.Version // nil: it is new
}

// takeOver notes that the plugins of next are in force in the place of those of
// old. It returns those that changed, and the versions that nobody needs any
// more.
func takeOver(old, next map[string]plugged) (changed []taken, gone []*rollout.Version) {
	for _, name := range slices.Sorted(maps.Keys(next)) {
		p := taken{next[name], next[name].Serving()}
		if v := p.Serve(p.Candidate); v != nil {
			gone = append(gone, v)
		}
		if p.left != p.Version {
			changed = append(changed, p)
		}
	}
	for name, p := range old {
		if _, ok := next[name]; !ok {
			gone = append(gone, p.All()...)
		}
	}
	return changed, gone
}

// tell says which version of a plugin serves from now on.
func (d *Daemon) tell(ctx context.Context, p taken) {
	s := p.Status()
	d.audit.PluginServes(s.Name, s.Serving.SHA256, s.Serving.Version, s.Serving.Number)
	say := []slog.Attr{slog.String("plugin", s.Name), slog.Int("generation", s.Serving.Number), slog.String("sha256", s.Serving.SHA256), slog.String("version", s.Serving.Version)}
	if p.left != nil {
		say = append(say, slog.Int("generation_before", p.left.Number), slog.String("version_before", p.left.Generation.Version))
	}
	if p.Attempt == nil {
		d.log.LogAttrs(ctx, slog.LevelWarn, "plugin rolled back", say...)
		return
	}
	d.reported("plugin/"+s.Name, nil)
	say = append(say, slog.Any("steps", stepTexts(p.Attempt)), slog.Int("asked", p.Attempt.Asked), slog.Int("changed", p.Attempt.Changed))
	if p.Attempt.Changed > 0 {
		say = append(say, slog.String("first_change", p.Attempt.Changes[0].String()))
	}
	d.log.LogAttrs(ctx, slog.LevelInfo, "plugin loaded", say...)
}

// stepTexts are the steps of an attempt in words.
func stepTexts(a *rollout.Attempt) []string {
	texts := make([]string, len(a.Steps))
	for i, s := range a.Steps {
		texts[i] = s.Name + ": " + string(s.Outcome)
		if s.Detail != "" {
			texts[i] += ", " + s.Detail
		}
	}
	return texts
}

// unserved returns the versions that were made and are not in force.
func unserved(plugins map[string]plugged) (list []*rollout.Version) {
	for _, p := range plugins {
		if p.Version != p.Serving() {
			list = append(list, p.Version)
		}
	}
	return list
}

// closeVersions closes versions once the calls under way have ended: by
// themselves, or cut when ctx ends.
func closeVersions(ctx context.Context, log *slog.Logger, list []*rollout.Version) {
	for _, v := range list {
		err := v.Close(ctx)
		if err != nil && ctx.Err() != nil {
			err = v.Close(context.WithoutCancel(ctx))
		}
		if err != nil {
			log.LogAttrs(ctx, slog.LevelError, "plugin did not close", slog.String("plugin", v.Host().Name), slog.Int("generation", v.Number), slog.Any("reason", err))
		}
	}
}

// pluginHeaders returns every header that any plugin declares: in its entry, or
// in the one that an older version was made by.
func pluginHeaders(c *config.Config, plugins map[string]plugged) []string {
	var all []string
	for _, p := range c.Plugins {
		all = append(all, p.Headers...)
		all = append(all, plugins[p.Name].Version.Headers()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// reported counts the result of a reload, the first load among them.
func (d *Daemon) reported(target string, err error) {
	result := audit.OK
	if err != nil {
		result = audit.Failed
	}
	d.audit.Reload(target, result)
}
