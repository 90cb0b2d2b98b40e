// Package audit keeps the records of authhost: one log line per request, the
// Prometheus metrics, and the telemetry listener's handlers (/metrics,
// /healthz, /readyz).
//
// It owns what is told and how: names of metrics and of log fields, their
// bounds, and that no secret is among them. It decides nothing, listens
// nowhere and measures nothing itself: other rooms tell it what happened.
package audit
