package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/authhost/authhost/host"
)

// Proxy returns the reverse proxy in front of the snapshot's upstream. It cleans
// each request's path, decides, and forwards exactly what it judged, to the
// upstream of the snapshot that it judged by: the path, the query without
// credentials, its own identity and forwarding headers and none of the client's.
// Upgrades pass, answers are flushed as they come, bodies are of any length.
func (e *Edge) Proxy() http.Handler {
	return &proxy{edge: e, template: httputil.ReverseProxy{
		Transport:     newTransport(),
		FlushInterval: -1,
		BufferPool:    &buffers{},
		ErrorLog:      slog.NewLogLogger(e.log.Handler(), slog.LevelWarn),
		ErrorHandler:  e.upstreamFailed,
	}}
}

// ParseUpstream reads where a proxy may forward to. Its error does not repeat
// the text, which may hold a password.
func ParseUpstream(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, errors.New("must be http:// or https:// and a host alone")
	}
	return u, nil
}

type proxy struct {
	edge     *Edge
	template httputil.ReverseProxy
}

// newTransport returns a transport to upstreams, and to them alone: proxies
// that the environment names are not for it.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   256,
		DisableCompression:    true, // the client's own Accept-Encoding is what counts
	}
}

// ServeHTTP decides, records, and then denies or forwards: a stream is
// recorded when it was let through, not when it ends.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.edge.decide(r, "proxy", readDirect)
	p.edge.record(r.Context(), x)
	if x.event.Decision.Kind != host.Allowed {
		boundRest(w, r)
		deny(w, x.plugin, &x.event.Decision)
		return
	}
	forward := p.template
	forward.Rewrite = func(pr *httputil.ProxyRequest) { rewrite(pr, x) }
	forward.ServeHTTP(w, r)
}

func readDirect(s *host.Snapshot, r *http.Request, x *exchange) error {
	if x.upstream = s.Upstream; x.upstream == nil {
		return host.Errorf(host.Unavailable, "no upstream", "the configuration has none")
	}
	strike(r.Header, s.PluginHeaders, x.trusted)
	t, err := cleanTarget(r.RequestURI)
	if err != nil {
		return err
	}
	return direct(s, r, &x.request, t, x.peer, x.trusted)
}

// rewrite makes the upstream's request of what was judged.
func rewrite(pr *httputil.ProxyRequest, x *exchange) {
	out, req := pr.Out, &x.request
	out.URL = &url.URL{Scheme: x.upstream.Scheme, Host: x.upstream.Host,
		Path: req.Path, RawPath: req.RawPath, RawQuery: x.event.Decision.Query}
	out.Host = req.Authority
	out.Trailer = nil // some applications take trailers for headers

	grant(out.Header, x.plugin, &x.event.Decision)
	if x.trusted {
		out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
	}
	pr.SetXForwarded()
	setOne(out.Header, "X-Forwarded-Host", req.Authority)
	setOne(out.Header, "X-Forwarded-Proto", req.Scheme)
}

// upstreamFailed answers for an upstream that is away or does not speak HTTP.
func (e *Edge) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, context.Canceled) { // the client left: nobody's fault
		e.log.Warn("upstream does not answer", "error", err)
	}
	boundRest(w, r)
	Problem{Status: http.StatusBadGateway, Reason: "upstream_unavailable"}.Write(w)
}

// boundRest ends the patience with a body that goes nowhere: the server reads
// what is left of it before it answers, and would wait for it without end.
func boundRest(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// What is no connection of a server, such as a recorder, waits for nothing.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout))
	}
}

// buffers lends the buffers that bodies are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
