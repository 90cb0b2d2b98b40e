package audit

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what an Audit writes to. The zero value is safe: metrics are
// kept, nothing is logged.
type Options struct {
	Requests io.Writer        // takes a line of JSON for each request, in one write; nil: none
	Logger   *slog.Logger     // of all else; nil: no log
	Now      func() time.Time // nil: time.Now
	Version  string           // of authhost, for authhost_build_info
	ABI      int              // version of the plugin ABI, for authhost_build_info
}

// Audit records what happens. Make one with New; the zero Audit records
// nothing. All methods may be called at once from any goroutine.
type Audit struct {
	requests io.Writer
	log      slog.Handler
	now      func() time.Time
	metrics  *metrics
	rooms    sync.Pool // of *[]byte, for lines
}

// New returns an Audit with a metrics registry of its own.
func New(o Options) *Audit {
	a := &Audit{requests: o.Requests, now: o.Now, metrics: newMetrics(o)}
	if o.Logger != nil {
		a.log = o.Logger.Handler()
	}
	return a
}

func (a *Audit) clock() time.Time {
	if a.now == nil {
		return time.Now()
	}
	return a.now()
}

// Registry returns the registry behind /metrics, so that other rooms can add
// collectors of their own; nil for the zero Audit.
func (a *Audit) Registry() *prometheus.Registry {
	if a.metrics == nil {
		return nil
	}
	return a.metrics.registry
}

// PluginCall records that a call of a plugin's hook took d, whatever came of
// it.
func (a *Audit) PluginCall(plugin, hook string, d time.Duration) {
	if a.metrics != nil {
		a.metrics.plugins.get(pluginKey{plugin, hook}).duration.Observe(d.Seconds())
	}
}

// PluginError records that a call of a plugin's hook failed.
func (a *Audit) PluginError(plugin, hook string) {
	if a.metrics != nil {
		a.metrics.plugins.get(pluginKey{plugin, hook}).errors.Inc()
	}
}

// PluginBreaker records that a plugin's hook is no longer asked, or is again.
func (a *Audit) PluginBreaker(plugin, hook string, open bool) {
	if a.metrics == nil {
		return
	}
	if gauge := a.metrics.plugins.get(pluginKey{plugin, hook}).open; open {
		gauge.Inc()
	} else {
		gauge.Dec()
	}
}

// PluginMetric adds to a counter of a plugin's own, which begins to be there.
func (a *Audit) PluginMetric(plugin, name string, delta int64) {
	if a.metrics != nil {
		(*a.metrics.counted.get(pluginMetric{plugin, name})).Add(float64(delta))
	}
}

// PluginFetch records a request sent for a plugin, by what came of it.
func (a *Audit) PluginFetch(plugin, result string) {
	if a.metrics != nil {
		(*a.metrics.fetches.get(pluginFetch{plugin, result})).Inc()
	}
}

// EndedEvent records what became of asking plugins about an end of access.
func (a *Audit) EndedEvent(result string) {
	if a.metrics != nil {
		a.metrics.endedEvents.WithLabelValues(result).Inc()
	}
}

// EndedMessage records what became of sending a message that tells of one.
func (a *Audit) EndedMessage(plugin, result string) {
	if a.metrics != nil {
		a.metrics.endedMessages.WithLabelValues(plugin, result).Inc()
	}
}

// EndedWaiting says of how many users something waits to be told, in this
// process.
func (a *Audit) EndedWaiting(users int) {
	if a.metrics != nil {
		a.metrics.endedWaiting.Set(float64(users))
	}
}

// PluginState records an operation on what is kept for a plugin: state kv or
// session, op and result of few fixed words.
func (a *Audit) PluginState(plugin, state, op, result string) {
	if a.metrics != nil {
		(*a.metrics.state.get(pluginState{plugin, state, op, result})).Inc()
	}
}

// Near counts what becomes of reads through the near-cache. The zero Near
// counts nothing.
type Near struct{ hit, miss, invalidated, emptied prometheus.Counter }

// Near returns the counters of the near-cache.
func (a *Audit) Near() Near {
	if a.metrics == nil {
		return Near{}
	}
	return a.metrics.near
}

// Hit records a read that was answered from what is remembered.
func (n Near) Hit() { count(n.hit) }

// Miss records a read that was sent to the cache.
func (n Near) Miss() { count(n.miss) }

// Invalidated records that a slot was forgotten because it was changed.
func (n Near) Invalidated() { count(n.invalidated) }

// Emptied records that all was forgotten.
func (n Near) Emptied() { count(n.emptied) }

func count(c prometheus.Counter) {
	if c != nil {
		c.Inc()
	}
}

// The results of a reload.
const (
	OK     = "ok"
	Failed = "failed"
)

// Reload records that target, such as "config" or a plugin's name, was
// reloaded with result OK or Failed; any other result counts as Failed.
func (a *Audit) Reload(target, result string) {
	if a.metrics == nil {
		return
	}
	t := a.metrics.reloads.get(target)
	if result != OK {
		t.failed.Inc()
		return
	}
	t.ok.Inc()
	t.success.Set(float64(a.clock().UnixMilli()) / 1000)
}

// PluginRefused records at which step a new version of a plugin was refused.
func (a *Audit) PluginRefused(plugin, step string) {
	if a.metrics != nil {
		a.metrics.refused.WithLabelValues(plugin, step).Inc()
	}
}

// PluginServes records which version of a plugin serves from now on: its
// module's hash, the version that its signature names, and its generation.
func (a *Audit) PluginServes(plugin, sha256, version string, generation int) {
	if a.metrics != nil {
		a.PluginGone(plugin)
		a.metrics.served.WithLabelValues(plugin, sha256, version).Set(1)
		a.metrics.generation.WithLabelValues(plugin).Set(float64(generation))
	}
}

// PluginGone records that a plugin serves no more.
func (a *Audit) PluginGone(plugin string) {
	if a.metrics != nil {
		a.metrics.served.DeletePartialMatch(prometheus.Labels{"plugin": plugin})
		a.metrics.generation.DeleteLabelValues(plugin)
	}
}

// CacheOp records that an operation of the shared cache took d and ended with
// err. op is one of few fixed names, such as "get".
func (a *Audit) CacheOp(op string, d time.Duration, err error) {
	if a.metrics == nil {
		return
	}
	o := a.metrics.cacheOps.get(op)
	o.duration.Observe(d.Seconds())
	if err != nil {
		o.failed.Inc()
	} else {
		o.ok.Inc()
	}
}
