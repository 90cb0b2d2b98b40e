package rollout

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/replay"
)

// Version is one generation of a plugin, loaded. It is immutable.
type Version struct {
	Generation
	plugin  *plugin.Plugin
	spec    Spec
	print   imprint
	recent  *replay.Recorder // its decisions; nil without on_authorize
	metrics *muted           // nil: nothing is counted
	trial   *trial
}

// Generation is what is told of a version.
type Generation struct {
	Number  int
	SHA256  string // of the module, in hex
	Version string // that the signature names; empty if none was judged
	Loaded  time.Time
	Hooks   []string
}

// Host returns the plugin as a route uses it. What it decides is kept for the
// version that may follow.
func (v *Version) Host() host.Plugin {
	h := v.plugin.Host()
	if h.Authorizer != nil {
		h.Authorizer = recording{h.Authorizer, v.recent}
	}
	return h
}

// Sender sends messages for the plugin; nil if it may not send any.
func (v *Version) Sender() plugin.Fetcher {
	if len(v.spec.Grants.Hosts) == 0 {
		return nil
	}
	return v.trial
}

// Headers returns the headers that the plugin may set, canonical.
func (v *Version) Headers() []string { return v.plugin.Headers() }

// Instances returns how many instances exist now, and how many were ever made.
func (v *Version) Instances() (now int, ever int64) { return v.plugin.Instances() }

// Health tells how the plugin is at this moment.
func (v *Version) Health() plugin.Health { return v.plugin.Health() }

// serves notes whether the version is in force.
func (v *Version) serves(live bool) {
	if v.metrics != nil {
		v.metrics.serves(live)
	}
	if live {
		v.trial.serves(v.spec.Name)
	}
}

// Close frees the version; see [plugin.Plugin.Close].
func (v *Version) Close(ctx context.Context) error { return v.plugin.Close(ctx) }

// is says whether t would make v again.
func (v *Version) is(t tried) bool { return v.print == t.print && v.spec.sameRun(t.spec) }

// differs says whether v behaves otherwise than w, and is not the same loaded
// again.
func (v *Version) differs(w *Version) bool {
	a, b := v.spec, w.spec
	for _, s := range []*Spec{&a, &b} { // where it comes from does not matter
		s.Module, s.SHA256, s.PublicKeys, s.Asked = "", "", nil, Asked{}
	}
	return v.print.module != w.print.module || !a.sameRun(b)
}

// recording notes what a plugin decides.
type recording struct {
	plugin host.Authorizer
	to     *replay.Recorder
}

// Authorize implements host.Authorizer.
func (r recording) Authorize(ctx context.Context, c *host.Call) (host.Opinion, error) {
	o, err := r.plugin.Authorize(ctx, c)
	if err == nil {
		r.to.Record(c, o)
	}
	return o, err
}

// muted counts what a version does once it has been in force, and not what it
// does on trial. Its open breakers show while it is in force.
type muted struct {
	plugin.Metrics
	name  string
	tried atomic.Bool

	mu   sync.Mutex
	live bool
	open map[string]bool // by hook
}

func (m *muted) PluginCall(name, hook string, d time.Duration) {
	if m.tried.Load() {
		m.Metrics.PluginCall(name, hook, d)
	}
}

func (m *muted) PluginError(name, hook string) {
	if m.tried.Load() {
		m.Metrics.PluginError(name, hook)
	}
}

func (m *muted) PluginBreaker(name, hook string, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[hook] = open
	if m.live {
		m.Metrics.PluginBreaker(name, hook, open)
	}
}

// serves says whether the version is in force.
func (m *muted) serves(live bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live == live {
		return
	}
	m.live = live
	for hook, open := range m.open {
		if open {
			m.Metrics.PluginBreaker(m.name, hook, live)
		}
	}
}
