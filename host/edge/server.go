package edge

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of every listener.
const (
	maxHeader  = 64 << 10 // bytes
	maxOwnBody = 64 << 10 // bytes, of what our own endpoints read
	// readTimeout is for headers, and where bodies are bounded for these too:
	// one deadline a request.
	readTimeout  = 10 * time.Second
	writeTimeout = 60 * time.Second
	idleTimeout  = 120 * time.Second
)

// NewServer returns a server for our own endpoints: bounded in time, headers
// and bodies. A handler that streams lifts its write deadline by
// http.ResponseController. What the server itself complains of goes to log;
// nil: nowhere.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	s := NewStreamServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, maxOwnBody)
		}
		h.ServeHTTP(w, r)
	}), log)
	s.ReadTimeout, s.WriteTimeout = readTimeout, writeTimeout
	return s
}

// NewStreamServer returns a server for what is proxied: bodies are of any
// length, and neither those that are forwarded nor answers are bounded in time.
func NewStreamServer(h http.Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		// Without this, net/http answers "OPTIONS *" by a 200 of its own.
		DisableGeneralOptionsHandler: true,
	}
}
