package audit

import (
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Telemetry says what the telemetry listener tells beside the metrics.
type Telemetry struct {
	// Checks must all pass for /readyz to answer 200. Without any it is 503.
	Checks []Check
	// OAuthConfigured says whether login by OIDC has a client id and a
	// secret; nil: it has not.
	OAuthConfigured func() bool
}

// Handler serves GET and HEAD of /metrics (Prometheus text), /healthz (200
// while the process lives) and /readyz (200 when every check passes, else
// 503). It shows no secret, but is meant for operators alone.
func (a *Audit) Handler(t Telemetry) http.Handler {
	ready := &readiness{audit: a, checks: t.Checks, busy: make([]atomic.Bool, len(t.Checks))}
	registry := a.Registry()
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})

	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		ready.status(r.Context()) // so that authhost_ready is of now
		metrics.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, struct {
			Status string `json:"status"`
			OAuth  bool   `json:"oauth_configured"`
		}{"ok", t.OAuthConfigured != nil && t.OAuthConfigured()})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, now := http.StatusOK, ready.status(r.Context())
		if !now.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, now)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// Nobody is left to be told when the client has gone.
	_ = json.NewEncoder(w).Encode(body)
}
