package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/authhost/authhost/host"
)

// Recorder is told of each request once, when it has been answered or, behind
// the reverse proxy, when it was decided. The event's Request is never nil;
// after a BadRequest it holds what could be read. Record must not keep ev.
type Recorder interface {
	Record(ctx context.Context, ev *host.Event)
}

// Options configure an Edge.
type Options struct {
	Pipeline *host.Pipeline // required
	Recorder Recorder       // nil: nothing is recorded
	Logger   *slog.Logger   // nil: nothing is logged
}

// Edge answers gateways and proxies requests by one pipeline. It is safe for
// concurrent use.
type Edge struct {
	pipeline *host.Pipeline
	recorder Recorder
	log      *slog.Logger
}

// New returns an Edge.
func New(o Options) *Edge {
	e := &Edge{pipeline: o.Pipeline, recorder: o.Recorder, log: o.Logger}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	return e
}

// exchange is one request and all that is known of it, in one piece of memory.
type exchange struct {
	event    host.Event
	request  host.Request
	plugin   []string // headers that plugins declare
	upstream *url.URL // of the reverse proxy
	peer     netip.Addr
	trusted  bool // peer is a gateway of ours
}

// reader fills in x.request from r by one convention. Its errors are
// *host.Error of kind BadRequest.
type reader func(s *host.Snapshot, r *http.Request, x *exchange) error

// decide reads and decides r. It does not panic, whatever is called below
// does; what was decided is in the event.
func (e *Edge) decide(r *http.Request, edge string, read reader) (x *exchange) {
	x = &exchange{}
	x.event = host.Event{Start: e.pipeline.Now(), Edge: edge, Peer: peerText(r.RemoteAddr), Request: &x.request}
	x.request.Header = r.Header
	defer func() {
		if v := recover(); v != nil {
			x.event.Cause = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			x.event.Decision = host.Decision{Kind: host.Unavailable, Reason: "internal error"}
		}
		x.event.Status = Status(x.event.Decision.Kind)
		x.event.Elapsed = e.pipeline.Now().Sub(x.event.Start)
	}()

	s := e.pipeline.Acquire()
	if s == nil {
		x.event.Decision.Reason = "starting"
		return x
	}
	defer s.Release()
	x.plugin = s.PluginHeaders
	x.peer = parsePeer(r.RemoteAddr)
	x.trusted = x.peer.IsValid() && s.Trusts(x.peer)
	if err := read(s, r, x); err != nil {
		x.event.Cause = err
		x.event.Decision.Kind, x.event.Decision.Reason = host.Explain(err)
		return x
	}
	e.pipeline.Decide(r.Context(), s, &x.request, &x.event)
	return x
}

func (e *Edge) record(ctx context.Context, x *exchange) {
	if e.recorder != nil {
		e.recorder.Record(ctx, &x.event)
	}
}

// answer returns the handler of one forward-auth convention, which trusted
// gateways alone may speak.
func (e *Edge) answer(edge string, read reader) http.Handler {
	readTrusted := func(s *host.Snapshot, r *http.Request, x *exchange) error {
		if !x.trusted {
			return refuse("untrusted_peer", "peer %s is not in trusted_proxies", x.event.Peer)
		}
		return read(s, r, x)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := e.decide(r, edge, readTrusted)
		if !x.trusted && x.event.Decision.Kind == host.BadRequest {
			e.log.Warn("a peer that is no trusted gateway asked for a decision; if it is yours, list it in trusted_proxies",
				"edge", edge, "peer", x.event.Peer)
		}
		if x.event.Decision.Kind == host.Allowed {
			grant(w.Header(), x.plugin, &x.event.Decision)
			setOne(w.Header(), "Cache-Control", "no-store")
			w.WriteHeader(http.StatusOK)
		} else {
			deny(w, x.plugin, &x.event.Decision)
		}
		e.record(r.Context(), x)
	})
}

// Paths of the forward-auth endpoints on the public listener.
const (
	ForwardAuthPath = "/authz/forward-auth"
	AuthRequestPath = "/authz/auth-request"
	ExtAuthzPath    = "/authz/ext-authz"
)

// Public returns the handler of the public listener: the forward-auth
// endpoints, and next for everything else. It stands before any
// http.ServeMux, which would answer an Envoy request for "//admin" with a
// redirect.
func (e *Edge) Public(next http.Handler) http.Handler {
	forwardAuth, authRequest, extAuthz := e.ForwardAuth(), e.AuthRequest(), e.ExtAuthz()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.RequestURI, ExtAuthzPath) && extAuthzRest(r.RequestURI):
			extAuthz.ServeHTTP(w, r)
		case r.URL.Path == ForwardAuthPath:
			forwardAuth.ServeHTTP(w, r)
		case r.URL.Path == AuthRequestPath:
			authRequest.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// extAuthzRest says whether ExtAuthzPath ends at a segment's end of uri.
func extAuthzRest(uri string) bool {
	rest := uri[len(ExtAuthzPath):]
	return rest == "" || rest[0] == '/' || rest[0] == '?'
}
