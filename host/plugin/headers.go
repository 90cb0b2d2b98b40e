package plugin

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
)

// Headers that no plugin may declare, in canonical form: those that belong to
// one connection (RFC 9110, section 7.6.1), those that say where a message
// goes or what it holds, and those that carry credentials or are written by
// authhost and its gateways.
var (
	reservedHeaders = []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Host", "Expect", "Date", "Location", "Via", "Forwarded", "X-Real-Ip", "Http2-Settings",
		"Authorization", "Cookie", "Cookie2", "Set-Cookie", "Set-Cookie2", "Www-Authenticate", "Retry-After",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override", "X-Rewrite-Url",
	}
	reservedPrefixes = []string{"Content-", "X-Auth-Request-", "X-Forwarded-", "X-Original-", "X-Envoy-", "X-Accel-", "Sec-", "Access-Control-"}
	denyHeaders      = []string{"Retry-After", "Www-Authenticate"}
)

// declared canonicalises the headers that a plugin may set and refuses, by
// name, those that none may.
func declared(names []string) ([]string, error) {
	var list []string
	for _, name := range names {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isHeaderName(name):
			return nil, fmt.Errorf("header %q is not a name of letters, digits and dashes", name)
		case slices.Contains(reservedHeaders, canonical),
			slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(canonical, p) }):
			return nil, fmt.Errorf("header %s is not one that a plugin may set", canonical)
		case slices.Contains(list, canonical):
			return nil, fmt.Errorf("header %s is declared twice", canonical)
		}
		list = append(list, canonical)
	}
	return list, nil
}

// MayDeclare says whether a header is one that a plugin may be allowed to set.
func MayDeclare(name string) bool {
	_, err := declared([]string{name})
	return err == nil
}

// isHeaderName leaves out what gateways and upstreams may read as another
// name, the underscore above all.
func isHeaderName(name string) bool {
	if name == "" || len(name) > abi.MaxHeaderName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// headers judges the headers of an answer: only what is declared, a deny also
// what tells the client how to go on, and none twice.
func (p *Plugin) headers(answer []abi.Header, deny bool) ([]host.Header, error) {
	var list []host.Header
	for _, h := range answer {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		if !slices.Contains(p.opts.Headers, name) && (!deny || !slices.Contains(denyHeaders, name)) {
			return nil, fmt.Errorf("header %s is not declared", name)
		}
		if slices.ContainsFunc(list, func(set host.Header) bool { return set.Name == name }) {
			return nil, fmt.Errorf("header %s is set twice", name)
		}
		list = append(list, host.Header{Name: name, Value: h.Value})
	}
	return list, nil
}
