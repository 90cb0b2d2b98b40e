package rollout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
)

// trial stands between a version and what is real. Until the version is asked
// by requests it counts nothing, and what it keeps is in a world of its own.
type trial struct {
	live atomic.Bool

	counts   plugin.Counts
	kv       plugin.KV
	sessions plugin.Sessions
	http     plugin.Fetcher
	world    cases.World

	mu       sync.Mutex
	declared map[string]bool // counters, until the version serves
}

// options has a version use what the entry grants it, through a trial.
func (r *Rollout) options(spec Spec, o *plugin.Options) (*trial, error) {
	t := &trial{counts: r.opts.Counts, sessions: r.opts.Sessions, world: cases.World{Keys: spec.Grants.Keys}}
	if t.counts != nil {
		o.Counts = t
	}
	if spec.Grants.Keys > 0 {
		var err error
		if t.kv, err = r.opts.KV(spec.Name, spec.Grants.Keys); err != nil {
			return nil, err
		}
	}
	if len(spec.Grants.Hosts) > 0 {
		t.http = r.opts.HTTP(spec.Grants.Hosts, spec.Grants.Private)
	}
	spec.Grants.give(o, t)
	return t, nil
}

// world is all that a plugin can be granted.
type world interface {
	plugin.KV
	plugin.Sessions
	plugin.Fetcher
}

// give has a plugin use what is granted.
func (g Grants) give(o *plugin.Options, world world) {
	o.Credentials = g.Credentials
	if g.Keys > 0 {
		o.KV = world
	}
	if g.Session {
		o.Sessions = world
	}
	if len(g.Hosts) > 0 {
		o.HTTP = world
	}
}

// keys is what holds the plugin's keys now.
func (t *trial) keys() plugin.KV {
	if t.live.Load() {
		return t.kv
	}
	return &t.world
}

func (t *trial) attributes() plugin.Sessions {
	if t.live.Load() {
		return t.sessions
	}
	return &t.world
}

// Fetch implements plugin.Fetcher.
func (t *trial) Fetch(ctx context.Context, r host.Fetch) host.Fetched {
	if t.live.Load() {
		return t.http.Fetch(ctx, r)
	}
	return t.world.Fetch(ctx, r)
}

// Get implements plugin.KV.
func (t *trial) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return t.keys().Get(ctx, key)
}

// Set implements plugin.KV.
func (t *trial) Set(ctx context.Context, key string, old, next []byte, force bool, ttl time.Duration) (bool, error) {
	return t.keys().Set(ctx, key, old, next, force, ttl)
}

// Add implements plugin.KV.
func (t *trial) Add(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, bool, error) {
	return t.keys().Add(ctx, key, delta, ttl)
}

// Attributes implements plugin.Sessions.
func (t *trial) Attributes(ctx context.Context, realm, userID, sessionID string) (map[string]string, error) {
	return t.attributes().Attributes(ctx, realm, userID, sessionID)
}

// ChangeAttributes implements plugin.Sessions.
func (t *trial) ChangeAttributes(ctx context.Context, realm, userID, sessionID string, change func(map[string]string) error) error {
	return t.attributes().ChangeAttributes(ctx, realm, userID, sessionID, change)
}

// PluginMetric implements plugin.Counts. A declaration, which adds nothing, is
// kept for when the version serves.
func (t *trial) PluginMetric(name, metric string, delta int64) {
	if t.live.Load() {
		t.counts.PluginMetric(name, metric, delta)
	} else if delta == 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.declared == nil {
			t.declared = map[string]bool{}
		}
		t.declared[metric] = true
	}
}

// serves notes that the version is in force: its counters begin to be there.
func (t *trial) serves(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for metric := range t.declared {
		t.counts.PluginMetric(name, metric, 0)
	}
	t.declared = nil
}

// PluginFetch implements plugin.Counts.
func (t *trial) PluginFetch(name, result string) {
	if t.live.Load() {
		t.counts.PluginFetch(name, result)
	}
}

// PluginState implements plugin.Counts.
func (t *trial) PluginState(name, state, op, result string) {
	if t.live.Load() {
		t.counts.PluginState(name, state, op, result)
	}
}

// replayed asks a version on trial, each time as if nothing had been kept yet.
type replayed struct {
	host.Authorizer
	trial *trial
}

// Authorize implements host.Authorizer.
func (r replayed) Authorize(ctx context.Context, c *host.Call) (host.Opinion, error) {
	r.trial.world.Clear()
	return r.Authorizer.Authorize(ctx, c)
}
