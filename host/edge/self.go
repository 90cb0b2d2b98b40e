package edge

import (
	"net/http"
	"net/netip"

	"github.com/authhost/authhost/host"
)

// SelfRequest reads a request to one of our own endpoints as the host.Request
// that it is: its own target, judged as strictly as a forwarded one, and its
// own Host. Behind a trusted gateway, X-Forwarded-For and -Proto say client
// and scheme. Errors are of kind BadRequest.
func SelfRequest(r *http.Request, s *host.Snapshot) (*host.Request, error) {
	t, err := parseTarget(r.RequestURI)
	if err != nil {
		return nil, err
	}
	peer := parsePeer(r.RemoteAddr)
	req := &host.Request{Header: r.Header}
	return req, direct(s, r, req, t, peer, peer.IsValid() && s.Trusts(peer))
}

// ParseURL reads a method, an absolute URL and headers as a gateway would
// forward them, and judges them as strictly, for a request that comes from
// nowhere, such as that of a dry run. Errors are of kind BadRequest.
func ParseURL(s *host.Snapshot, method, url string, h http.Header, client netip.Addr) (*host.Request, error) {
	scheme, authority, uri, err := splitURL(url)
	if err != nil {
		return nil, err
	}
	t, err := parseTarget(uri)
	if err != nil {
		return nil, err
	}
	req := &host.Request{Header: h, Client: client}
	if err := fill(req, method, scheme, authority, t); err != nil {
		return nil, err
	}
	return req, refuseSpoofed(h, s)
}

// direct fills in req for a request whose target is its own: Host is its Host,
// and what a gateway says counts only if the peer is one.
func direct(s *host.Snapshot, r *http.Request, req *host.Request, t target, peer netip.Addr, trusted bool) error {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	req.Client = peer
	if trusted {
		var err error
		if req.Client, err = clientAddr(s, r.Header, peer); err != nil {
			return err
		}
		if len(r.Header["X-Forwarded-Proto"]) > 0 {
			if scheme, err = one(r.Header, "X-Forwarded-Proto"); err != nil {
				return err
			}
		}
	}
	return fill(req, r.Method, scheme, r.Host, t)
}
