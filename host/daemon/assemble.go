package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/edge"
	"github.com/authhost/authhost/host/plugin/rollout"
)

// assembly is everything that one configuration stands for, put together. It
// is immutable once it serves.
type assembly struct {
	config    *config.Config
	realms    map[string]*realm
	plugins   map[string]plugged
	operators admin.Operators
	clients   admin.Clients
	upstream  *url.URL   // of the reverse proxy; nil: there is none
	near      *nearCache // nil: every read goes to the cache
	told      map[string]told
	snapshot  *host.Snapshot
}

// assemble makes everything that c stands for, using again what running has
// and c still wants. On an error running is as it was.
func (d *Daemon) assemble(ctx context.Context, c *config.Config, running *assembly) (*assembly, error) {
	if running == nil {
		running = &assembly{}
	}
	next := &assembly{config: c}
	var err error
	if next.operators, err = d.readOperators(c, running); err != nil {
		return nil, err
	}
	if next.clients, err = d.readClients(c, running); err != nil {
		return nil, err
	}
	if c.Upstream != "" {
		if next.upstream, err = edge.ParseUpstream(c.Upstream); err != nil {
			return nil, c.Problem("upstream", err)
		}
	}
	if next.near, err = d.makeNear(c, running); err != nil {
		return nil, err
	}
	if next.realms, err = d.makeRealms(c, running, next.near); err == nil {
		next.plugins, err = d.loadPlugins(ctx, c, running.plugins)
	}
	if err != nil {
		d.close(ctx, retirement{realms: next.realmsMissingFrom(running), near: next.nearMissingFrom(running)})
		return nil, err
	}
	next.snapshot, next.told = next.makeSnapshot(), next.toldOf()
	if running.config != nil {
		awaitKeys(ctx, next.realmsMissingFrom(running))
		next.snapshot.Generation = running.snapshot.Generation + 1
	}
	return next, nil
}

// with returns the assembly with other versions of its plugins.
func (a *assembly) with(plugins map[string]plugged) *assembly {
	next := *a
	next.plugins = plugins
	next.snapshot, next.told = next.makeSnapshot(), next.toldOf()
	next.snapshot.Generation = a.snapshot.Generation + 1
	return &next
}

// makeSnapshot binds routes to realms and plugins.
func (a *assembly) makeSnapshot() *host.Snapshot {
	s := &host.Snapshot{TrustedProxies: a.config.TrustedProxies, PluginHeaders: pluginHeaders(a.config, a.plugins), Upstream: a.upstream}
	for _, r := range a.config.Realms {
		realm := *a.realms[r.Name].host
		for _, name := range r.Plugins {
			realm.Plugins = append(realm.Plugins, a.plugins[name].Version.Host())
		}
		s.Realms = append(s.Realms, &realm)
	}
	for _, r := range a.config.Routes {
		route := host.Route{
			Pattern: r.Path, Realm: r.Realm, Hosts: r.Hosts, Methods: r.Methods,
			Authenticate: r.Authenticate, AllowDefault: r.Default == config.DefaultAllow,
		}
		for _, name := range r.Plugins {
			route.Plugins = append(route.Plugins, a.plugins[name].Version.Host())
		}
		s.Routes = append(s.Routes, route)
	}
	return s
}

// spec returns what the entry of a plugin of a asks for.
func (a *assembly) spec(name string) rollout.Spec {
	i := slices.IndexFunc(a.config.Plugins, func(p config.Plugin) bool { return p.Name == name })
	return specOf(a.config, a.config.Plugins[i])
}

// files returns what to watch.
func (a *assembly) files() []string {
	files := a.config.Files()
	for _, p := range a.config.Plugins {
		spec := specOf(a.config, p)
		files = append(files, spec.Files()...)
	}
	return files
}

// awaited returns every file whose change may make a refused configuration a
// good one. Those of issuers are watched by the realm once it is made.
func awaited(c *config.Config) []string {
	files := (&assembly{config: c}).files()
	for _, r := range c.Realms {
		for _, i := range r.Issuers {
			for _, f := range []string{i.JWKSFile, i.SecretFile} {
				if f != "" {
					files = append(files, f)
				}
			}
		}
	}
	return files
}

// nearMissingFrom returns the memory of a if b does not use it.
func (a *assembly) nearMissingFrom(b *assembly) *nearCache {
	if b != nil && a.near == b.near {
		return nil
	}
	return a.near
}

// realmsMissingFrom returns the realms of a that b does not use.
func (a *assembly) realmsMissingFrom(b *assembly) []*realm {
	var list []*realm
	for _, name := range slices.Sorted(maps.Keys(a.realms)) {
		if r := a.realms[name]; b == nil || b.realms[name] != r {
			list = append(list, r)
		}
	}
	return list
}

// ready is the readiness check of the key sets.
func (a *assembly) keySetsReady(ctx context.Context) error {
	var away []error
	for _, name := range slices.Sorted(maps.Keys(a.realms)) {
		for _, issuer := range a.realms[name].tokens.Ready(ctx) {
			away = append(away, fmt.Errorf("realm %s: no key set of %s", name, issuer))
		}
	}
	if err := errors.Join(away...); err != nil {
		return &host.Error{Kind: host.Unavailable, Public: "not loaded", Cause: err}
	}
	return nil
}
