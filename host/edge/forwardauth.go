package edge

import (
	"net/http"
	"strings"

	"github.com/authhost/authhost/host"
)

// ForwardAuth answers Traefik and Caddy: X-Forwarded-Method, -Proto, -Host
// and -Uri are required, X-Forwarded-For is optional. Any method will do, a
// body is not read.
func (e *Edge) ForwardAuth() http.Handler { return e.answer("forward-auth", readForwarded) }

// AuthRequest answers nginx: X-Original-Method and X-Original-URL (scheme,
// host, path and query) are required, X-Forwarded-For is optional.
func (e *Edge) AuthRequest() http.Handler { return e.answer("auth-request", readOriginal) }

// ExtAuthz answers Envoy's HTTP service with the path prefix ExtAuthzPath: the
// method and Host are the request's own, the rest of its raw target is the
// target; X-Forwarded-Proto says the scheme, http without it.
func (e *Edge) ExtAuthz() http.Handler { return e.answer("ext-authz", readExtAuthz) }

func readForwarded(s *host.Snapshot, r *http.Request, x *exchange) error {
	method, err := one(r.Header, "X-Forwarded-Method")
	if err != nil {
		return err
	}
	scheme, err := one(r.Header, "X-Forwarded-Proto")
	if err != nil {
		return err
	}
	authority, err := one(r.Header, "X-Forwarded-Host")
	if err != nil {
		return err
	}
	uri, err := one(r.Header, "X-Forwarded-Uri")
	if err != nil {
		return err
	}
	return x.read(s, method, scheme, authority, uri)
}

func readOriginal(s *host.Snapshot, r *http.Request, x *exchange) error {
	method, err := one(r.Header, "X-Original-Method")
	if err != nil {
		return err
	}
	url, err := one(r.Header, "X-Original-Url")
	if err != nil {
		return err
	}
	scheme, authority, uri, err := splitURL(url)
	if err != nil {
		return err
	}
	return x.read(s, method, scheme, authority, uri)
}

func readExtAuthz(s *host.Snapshot, r *http.Request, x *exchange) error {
	uri, ok := strings.CutPrefix(r.RequestURI, ExtAuthzPath)
	if !ok {
		return refuse("not_a_path", "the request target does not begin with %s", ExtAuthzPath)
	}
	scheme := "http"
	if len(r.Header["X-Forwarded-Proto"]) > 0 {
		var err error
		if scheme, err = one(r.Header, "X-Forwarded-Proto"); err != nil {
			return err
		}
	}
	return x.read(s, r.Method, scheme, r.Host, uri)
}

// read judges the parts of a request that a trusted gateway will forward.
func (x *exchange) read(s *host.Snapshot, method, scheme, authority, uri string) error {
	t, err := parseTarget(uri)
	if err != nil {
		return err
	}
	if err := fill(&x.request, method, scheme, authority, t); err != nil {
		return err
	}
	if err := refuseSpoofed(x.request.Header, s); err != nil {
		return err
	}
	x.request.Client, err = clientAddr(s, x.request.Header, x.peer)
	return err
}

// fill checks the parts of a request's address and puts them into req.
func fill(req *host.Request, method, scheme, authority string, t target) error {
	if !host.IsMethod(method) {
		return refuse("bad_method", "the method is not an upper-case token")
	}
	scheme, err := parseScheme(scheme)
	if err != nil {
		return err
	}
	name, err := parseHost(authority)
	if err != nil {
		return err
	}
	req.Method, req.Scheme, req.Authority, req.Host = method, scheme, authority, name
	req.Path, req.RawPath, req.RawQuery = t.path, t.rawPath, t.query
	return nil
}

// one returns the value of a header that must be there once. name is canonical.
func one(h http.Header, name string) (string, error) {
	switch lines := h[name]; len(lines) {
	case 1:
		return lines[0], nil
	case 0:
		return "", refuse("missing_header", "%s is missing: is this the endpoint for the gateway's convention?", name)
	}
	return "", refuse("repeated_header", "%s is given more than once: the gateway must set it, not add to it", name)
}

// splitURL cuts scheme://authority/path?query into its three parts, judging
// none. The authority ends at the first "/" and nowhere else.
func splitURL(url string) (scheme, authority, target string, err error) {
	scheme, rest, ok := strings.Cut(url, "://")
	slash := strings.IndexByte(rest, '/')
	if !ok || slash < 0 {
		return "", "", "", refuse("bad_url", "the URL is not scheme://host/path")
	}
	return scheme, rest[:slash], rest[slash:], nil
}
