// Package metric counts. What a plugin counts is in the host's /metrics as
// authhost_plugin_metric_total, with the plugin's name and the counter's.
//
//	var denied = metric.New("denied")
//
// A counter is declared before the plugin serves: in a variable, an init
// function or the handler of configure.
package metric

import "github.com/authhost/authhost/sdk/internal/guest"

// Counter is one number that only grows.
type Counter struct{ name string }

// New declares a counter: 1 to 64 of a-z, 0-9 and _, at most 32 of a plugin. In
// the middle of a request it fails the call.
func New(name string) Counter {
	guest.Metric(name, 0)
	return Counter{name}
}

// Inc adds one.
func (c Counter) Inc() { guest.Metric(c.name, 1) }

// Add adds n, which must not be negative.
func (c Counter) Add(n int64) { guest.Metric(c.name, n) }
