package host

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// Authentication says whether a route asks who it is.
type Authentication uint8

// The modes of a route. The zero value is Required.
const (
	Required Authentication = iota
	Optional
	None
)

// Plugin is one loaded plugin as a route uses it: the hooks that it lacks are
// nil.
type Plugin struct {
	Name       string
	Chooser    Chooser
	Authorizer Authorizer
	Admitter   Admitter
	Notifier   Notifier
}

// Route binds requests to a mode and to plugins. Empty Realm, Hosts or Methods
// match any.
type Route struct {
	Pattern      Pattern
	Realm        string
	Hosts        []string // exact or "*.suffix"
	Methods      []string
	Authenticate Authentication
	Plugins      []Plugin
	AllowDefault bool // when every plugin abstains
}

// matches says whether the route covers the request. A route that asks for no
// credential sees raw bytes alone, so that no spelling of another path can
// pass for its own.
func (r *Route) matches(realm string, req *Request) bool {
	path := req.Path
	if r.Authenticate == None {
		path = req.RawPath
	}
	return (r.Realm == "" || r.Realm == realm) &&
		(len(r.Methods) == 0 || slices.Contains(r.Methods, req.Method)) &&
		(len(r.Hosts) == 0 || slices.ContainsFunc(r.Hosts, func(h string) bool { return matchHost(h, req.Host) })) &&
		r.Pattern.Match(path)
}

// route returns the first route that covers the request and its index; -1 and
// a route that asks for a credential and denies, if none does.
func (s *Snapshot) route(realm string, req *Request) (int, *Route) {
	for i := range s.Routes {
		if s.Routes[i].matches(realm, req) {
			return i, &s.Routes[i]
		}
	}
	return -1, &noRoute
}

var noRoute Route

// matchHost matches an exact host, "*.suffix" or "*".
func matchHost(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return pattern == host
}

// Realm is a tenant as the pipeline sees it.
type Realm struct {
	Name     string
	Hosts    []string // exact, "*.suffix" or "*"
	Finder   Finder
	Tokens   TokenValidator
	Sessions SessionResolver
	Revoked  RevocationChecker
	Plugins  []Plugin // asked at a login and when access has ended, in this order
}

// Snapshot is configuration, routes and plugin chains of one moment. It is
// immutable once handed to Pipeline.Swap; a request uses one from start to
// decision.
type Snapshot struct {
	Generation     uint64
	Realms         []*Realm
	Routes         []Route
	TrustedProxies []netip.Prefix
	PluginHeaders  []string // canonical names, every one that any plugin declares
	Upstream       *url.URL // where the reverse proxy forwards to: a scheme and a host; nil: nowhere

	users atomic.Int64  // requests under way, plus one while it is current
	idle  chan struct{} // closed when users reaches zero
}

// RealmFor returns the realm that serves host: an exact name before the
// longest "*.suffix" before "*"; nil if none does.
func (s *Snapshot) RealmFor(host string) *Realm {
	var best *Realm
	length := -1
	for _, r := range s.Realms {
		for _, h := range r.Hosts {
			n := len(h)
			if !strings.HasPrefix(h, "*") {
				n = 1 << 16
			}
			if n > length && matchHost(h, host) {
				best, length = r, n
			}
		}
	}
	return best
}

// Trusts says whether addr is one of the trusted gateways.
func (s *Snapshot) Trusts(addr netip.Addr) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Release ends one use of the snapshot.
func (s *Snapshot) Release() {
	if s.users.Add(-1) == 0 {
		close(s.idle)
	}
}

// acquire begins a use, unless the last one has ended.
func (s *Snapshot) acquire() bool {
	for {
		n := s.users.Load()
		if n <= 0 {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Idle is closed once the snapshot was replaced and its last request decided.
func (s *Snapshot) Idle() <-chan struct{} { return s.idle }
