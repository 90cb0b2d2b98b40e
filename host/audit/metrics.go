package audit

import (
	"maps"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/authhost/authhost/host"
)

// Upper bounds of the histograms' buckets, in seconds. A decision takes some
// ten microseconds when all is remembered, a plugin's call less, a key set or
// a cache that must be asked milliseconds.
var (
	requestBuckets = []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5}
	pluginBuckets  = []float64{2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25}
	cacheBuckets   = []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, .1, .5, 1, 2.5}
)

const (
	sources  = int(host.FromQuery) + 1
	verdicts = int(host.Revoked) + 1
)

// metrics holds every series. Children are resolved once and found without a
// lock or an allocation from then on.
type metrics struct {
	registry *prometheus.Registry
	ready    prometheus.Gauge
	verdicts [sources][verdicts]prometheus.Counter

	requests children[requestKey, requestSeries]
	plugins  children[pluginKey, pluginSeries]
	reloads  children[string, reloadSeries]
	cacheOps children[string, cacheSeries]

	refused    *prometheus.CounterVec
	served     *prometheus.GaugeVec
	generation *prometheus.GaugeVec

	endedEvents   *prometheus.CounterVec
	endedMessages *prometheus.CounterVec
	endedWaiting  prometheus.Gauge

	near Near

	counted children[pluginMetric, prometheus.Counter]
	state   children[pluginState, prometheus.Counter]
	fetches children[pluginFetch, prometheus.Counter]
}

type (
	requestKey struct {
		route  string
		status int
	}
	requestSeries struct {
		total    prometheus.Counter
		duration prometheus.Observer
	}
	pluginKey    struct{ plugin, hook string }
	pluginMetric struct{ plugin, name string }
	pluginFetch  struct{ plugin, result string }
	pluginState  struct{ plugin, state, op, result string }
	pluginSeries struct {
		errors   prometheus.Counter
		duration prometheus.Observer
		open     prometheus.Gauge
	}
	reloadSeries struct {
		ok, failed prometheus.Counter
		success    prometheus.Gauge
	}
	cacheSeries struct {
		ok, failed prometheus.Counter
		duration   prometheus.Observer
	}
)

func newMetrics(o Options) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}

	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge("authhost_build_info", "Always 1; the labels say what is running.", "version", "abi", "go").
		WithLabelValues(o.Version, strconv.Itoa(o.ABI), runtime.Version()).Set(1)
	m.ready = gauge("authhost_ready", "1 while /readyz answers 200, else 0.").WithLabelValues()

	verdict := counter("authhost_verdicts_total", "Credentials that were judged.", "source", "verdict")
	for s := 1; s < sources; s++ {
		for v := 1; v < verdicts; v++ {
			m.verdicts[s][v] = verdict.WithLabelValues(host.Source(s).String(), host.Verdict(v).String())
		}
	}

	requests := counter("authhost_requests_total", "Requests that were answered.", "route", "status")
	duration := histogram("authhost_request_duration_seconds", "Time from a request to its answer.", requestBuckets, "route")
	m.requests.make = func(k requestKey) *requestSeries {
		return &requestSeries{requests.WithLabelValues(k.route, statusLabel(k.status)), duration.WithLabelValues(k.route)}
	}

	pluginErrors := counter("authhost_plugin_errors_total", "Calls of a plugin that failed.", "plugin", "hook")
	pluginCalls := histogram("authhost_plugin_call_duration_seconds", "Time that calls of a plugin took.", pluginBuckets, "plugin", "hook")
	pluginOpen := gauge("authhost_plugin_breaker_open", "Versions of a plugin of which the hook is not asked, for it failed whoever asked; else 0.", "plugin", "hook")
	m.plugins.make = func(k pluginKey) *pluginSeries {
		return &pluginSeries{pluginErrors.WithLabelValues(k.plugin, k.hook), pluginCalls.WithLabelValues(k.plugin, k.hook), pluginOpen.WithLabelValues(k.plugin, k.hook)}
	}

	counted := counter("authhost_plugin_metric_total", "What plugins count, by the names that they give it.", "plugin", "name")
	m.counted.make = func(k pluginMetric) *prometheus.Counter {
		c := counted.WithLabelValues(k.plugin, k.name)
		return &c
	}
	state := counter("authhost_plugin_state_operations_total", "What plugins asked of what is kept for them: kv or session.", "plugin", "state", "op", "result")
	m.state.make = func(k pluginState) *prometheus.Counter {
		c := state.WithLabelValues(k.plugin, k.state, k.op, k.result)
		return &c
	}

	fetches := counter("authhost_plugin_fetches_total", "Requests that plugins wanted sent.", "plugin", "result")
	m.fetches.make = func(k pluginFetch) *prometheus.Counter {
		c := fetches.WithLabelValues(k.plugin, k.result)
		return &c
	}

	m.endedEvents = counter("authhost_logout_events_total", "Ends of access about which plugins were asked: asked, failed (it is repeated) or given_up.", "result")
	m.endedMessages = counter("authhost_logout_messages_total", "Tries to deliver what plugins wanted sent of an end of access: delivered, failed (it is repeated) or given_up.", "plugin", "result")
	m.endedWaiting = gauge("authhost_logout_waiting", "Users who wait for a worker of this process, for something is to be told of them.").WithLabelValues()

	reloads := counter("authhost_reloads_total", "Reloads of the configuration and of plugins.", "target", "result")
	success := gauge("authhost_reload_last_success_timestamp_seconds", "When the target was last reloaded, in Unix time; 0 if never.", "target")
	m.reloads.make = func(target string) *reloadSeries {
		return &reloadSeries{reloads.WithLabelValues(target, OK), reloads.WithLabelValues(target, Failed), success.WithLabelValues(target)}
	}

	m.refused = counter("authhost_plugin_refused_total", "New versions of a plugin that were refused, by the step at which they were.", "plugin", "step")
	m.served = gauge("authhost_plugin_info", "Always 1; the labels say what serves.", "plugin", "sha256", "version")
	m.generation = gauge("authhost_plugin_generation", "Which of a plugin's generations serves, counted from 1.", "plugin")

	cacheOps := counter("authhost_cache_operations_total", "Operations of the shared cache.", "op", "result")
	cacheTime := histogram("authhost_cache_operation_duration_seconds", "Time that operations of the shared cache took.", cacheBuckets, "op")
	m.cacheOps.make = func(op string) *cacheSeries {
		return &cacheSeries{cacheOps.WithLabelValues(op, OK), cacheOps.WithLabelValues(op, Failed), cacheTime.WithLabelValues(op)}
	}
	near := counter("authhost_cache_near_total", "What became of reads that this process may remember.", "event")
	m.near = Near{hit: near.WithLabelValues("hit"), miss: near.WithLabelValues("miss"),
		invalidated: near.WithLabelValues("invalidated"), emptied: near.WithLabelValues("emptied")}
	return m
}

// request counts one answered request and the verdicts on its way.
func (m *metrics) request(ev *host.Event) {
	route := ev.Route
	if route == "" {
		route = "none"
	}
	s := m.requests.get(requestKey{route, boundStatus(ev.Status)})
	s.total.Inc()
	s.duration.Observe(ev.Elapsed.Seconds())
	for i := range ev.Tried {
		source, verdict := int(ev.Tried[i].Credential.Source), int(ev.Tried[i].Verdict)
		if source < sources && verdict < verdicts && m.verdicts[source][verdict] != nil {
			m.verdicts[source][verdict].Inc()
		}
	}
}

// boundStatus keeps the number of series bounded: what is no HTTP status is 0.
func boundStatus(status int) int {
	if status < 100 || status > 599 {
		return 0
	}
	return status
}

func statusLabel(status int) string {
	if status == 0 {
		return "none"
	}
	return strconv.Itoa(status)
}

// children finds the series of a key. Keys come from the configuration and
// are few, so the map is copied for each new one and read without a lock.
type children[K comparable, V any] struct {
	make func(K) *V
	live atomic.Pointer[map[K]*V]
	mu   sync.Mutex // held while a key is added
}

func (c *children[K, V]) get(key K) *V {
	if m := c.live.Load(); m != nil {
		if v := (*m)[key]; v != nil {
			return v
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[K]*V{}
	if m := c.live.Load(); m != nil {
		if v := (*m)[key]; v != nil {
			return v
		}
		next = maps.Clone(*m)
	}
	v := c.make(key)
	next[key] = v
	c.live.Store(&next)
	return v
}
