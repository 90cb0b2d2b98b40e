package edge

import (
	"context"
	"net/http"
	"runtime/debug"

	"github.com/authhost/authhost/host"
)

// Own returns the handler of one of our own endpoints: what h answers is
// recorded as every decision is, under the endpoint's path, and a panic in it
// is a 503. h finds the record by EventOf, and tells by Fail why it failed.
func (e *Edge) Own(route string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{}
		x.event = host.Event{Start: e.pipeline.Now(), Edge: "own", Peer: peerText(r.RemoteAddr), Route: route, Request: &x.request}
		x.request = host.Request{Method: r.Method, Host: r.Host, Path: r.URL.Path, Header: r.Header}
		o := &ownWriter{ResponseWriter: w, event: &x.event}
		defer func() {
			if v := recover(); v != nil {
				Fail(o, host.Errorf(host.Unavailable, "internal error", "panic: %v\n%s", v, debug.Stack()))
			}
			x.event.Elapsed = e.pipeline.Now().Sub(x.event.Start)
			e.record(r.Context(), x)
		}()
		h(o, r.WithContext(context.WithValue(r.Context(), eventKey{}, &x.event)))
	})
}

type eventKey struct{}

// EventOf returns the record of a request that Own handles; one that nobody
// reads for any other.
func EventOf(r *http.Request) *host.Event {
	if ev, ok := r.Context().Value(eventKey{}).(*host.Event); ok {
		return ev
	}
	return &host.Event{}
}

// ownWriter notes in the record what is answered.
type ownWriter struct {
	http.ResponseWriter
	event *host.Event
}

func (o *ownWriter) WriteHeader(status int) {
	if o.event.Status == 0 {
		o.event.Status = status
		if o.event.Cause == nil && status < 300 {
			o.event.Decision.Kind = host.Allowed
		}
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *ownWriter) Write(b []byte) (int, error) {
	if o.event.Status == 0 {
		o.WriteHeader(http.StatusOK)
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (o *ownWriter) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// failed notes why.
func (o *ownWriter) failed(err error) {
	o.event.Decision.Kind, o.event.Decision.Reason = host.Explain(err)
	o.event.Cause = err
}
