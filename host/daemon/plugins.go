package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"

	"github.com/authhost/authhost/host/audit"
	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/plugin"
)

// loaded is one plugin's version in service.
type loaded struct {
	entry   config.Plugin
	hash    [sha256.Size]byte
	version *plugin.Plugin
}

// loadPlugins makes the plugins of a configuration. What runs already, from
// the same bytes and the same entry, is used again. A module that fails keeps
// the last good version of an unchanged entry; without one it is an error,
// and every such error is returned.
func (d *Daemon) loadPlugins(ctx context.Context, c *config.Config, running map[string]*loaded) (map[string]*loaded, error) {
	next := make(map[string]*loaded, len(c.Plugins))
	modules := modules{}
	var problems []error
	for i, entry := range c.Plugins {
		old := running[entry.Name]
		if old != nil && !reflect.DeepEqual(old.entry, entry) {
			old = nil
		}
		p, err := d.loadPlugin(ctx, entry, old, modules)
		if p != old || err != nil {
			d.reported("plugin/"+entry.Name, err)
		}
		switch {
		case err != nil:
			d.log.LogAttrs(ctx, slog.LevelError, "plugin refused", slog.String("plugin", entry.Name), slog.Bool("last_good_serving", running[entry.Name] != nil), slog.Any("reason", err))
			if p = old; old == nil {
				problems = append(problems, c.Problem(fmt.Sprintf("plugins[%d].%s", i, blamed(entry, err)), err))
				continue
			}
		case p != old:
			d.log.LogAttrs(ctx, slog.LevelInfo, "plugin loaded", slog.String("plugin", entry.Name), slog.String("sha256", hex.EncodeToString(p.hash[:])))
		}
		next[entry.Name] = p
	}
	if problems != nil {
		closePlugins(ctx, d.log, missingFrom(next, running))
		return nil, errors.Join(problems...)
	}
	return next, nil
}

// wrongHash is a module that is not the one the configuration pins.
type wrongHash struct{ module, is, wants string }

func (e *wrongHash) Error() string {
	return fmt.Sprintf("%s has sha256 %s, the configuration wants %s", e.module, e.is, e.wants)
}

// blamed returns the key of a plugin's entry that an error is about.
func blamed(entry config.Plugin, err error) string {
	if _, ok := errors.AsType[*wrongHash](err); ok {
		return "sha256"
	}
	if e, ok := errors.AsType[*plugin.LoadError](err); ok && e.Step == "configure" && len(entry.Config) > len("{}") {
		return "config"
	}
	return "module"
}

// modules keeps what was read of each file: plugins that share a module get
// the same version of it.
type modules map[string][]byte

func (m modules) read(path string) ([]byte, error) {
	if content, ok := m[path]; ok {
		return content, nil
	}
	content, err := os.ReadFile(path)
	if err == nil {
		m[path] = content
	}
	return content, err
}

// loadPlugin reads the entry's module and loads it, unless old is that
// already.
func (d *Daemon) loadPlugin(ctx context.Context, entry config.Plugin, old *loaded, modules modules) (*loaded, error) {
	module, err := modules.read(entry.Module)
	if err != nil {
		return nil, err
	}
	d.watcher.applied(entry.Module, module)
	hash := sha256.Sum256(module)
	if old != nil && old.hash == hash {
		return old, nil
	}
	if sum := hex.EncodeToString(hash[:]); entry.SHA256 != "" && entry.SHA256 != sum {
		return nil, &wrongHash{entry.Module, sum, entry.SHA256}
	}
	version, err := plugin.Load(ctx, plugin.Options{
		Name: entry.Name, Module: module, Config: entry.Config, Headers: entry.Headers,
		Limits:  plugin.Limits{Memory: int64(entry.Limits.Memory), Time: entry.Limits.Time, Instances: entry.Limits.Instances},
		Cache:   d.compiled,
		Logger:  d.log,
		Metrics: d.audit,
		Now:     d.now,

		Isolated: entry.Isolation == config.IsolationRequest,
	})
	if err != nil {
		return nil, err
	}
	return &loaded{entry: entry, hash: hash, version: version}, nil
}

// missingFrom returns the plugins of a that b does not use.
func missingFrom(a, b map[string]*loaded) []*loaded {
	var list []*loaded
	for name, p := range a {
		if b[name] != p {
			list = append(list, p)
		}
	}
	return list
}

func closePlugins(ctx context.Context, log *slog.Logger, list []*loaded) {
	for _, p := range list {
		if err := p.version.Close(ctx); err != nil {
			log.LogAttrs(ctx, slog.LevelError, "plugin did not close", slog.String("plugin", p.entry.Name), slog.Any("reason", err))
		}
	}
}

// pluginHeaders returns every header that any plugin declares.
func pluginHeaders(c *config.Config) []string {
	var all []string
	for _, p := range c.Plugins {
		all = append(all, p.Headers...)
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
