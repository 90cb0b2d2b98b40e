package config

import (
	"encoding/hex"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/signature"
)

// identityPrefix begins the names of the headers that authhost alone sets.
const identityPrefix = "X-Auth-Request-"

// reservedHeaders belong to the connection, or to those who carry it.
var reservedHeaders = []string{
	"Connection", "Content-Length", "Cookie", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// isReserved says whether a header, named canonically, is nobody's to
// configure.
func isReserved(name string) bool {
	return strings.HasPrefix(name, identityPrefix) || slices.Contains(reservedHeaders, name) ||
		strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Original-")
}

// The bounds of a plugin's memory: one WebAssembly page, and half of what 32
// bits address; and those of its calls.
const (
	minMemory    = 64 << 10
	maxMemory    = 2 << 30
	maxTime      = 24 * time.Hour
	maxInstances = 10_000
)

func checkPlugins(r *report, plugins []Plugin) {
	names := map[string]bool{}
	for i := range plugins {
		p, key := &plugins[i], fmt.Sprintf("plugins[%d]", i)
		checkName(r, key+".name", p.Name, names)
		if p.Module == "" {
			r.add(key+".module", "is required")
		}
		p.SHA256 = strings.ToLower(p.SHA256)
		if sum, err := hex.DecodeString(p.SHA256); p.SHA256 != "" && (err != nil || len(sum) != 32) {
			r.add(key+".sha256", "must be 64 hexadecimal digits")
		}
		checkPluginHeaders(r, key+".headers", p.Headers)
		checkLimits(r, key+".limits", &p.Limits)
		checkRollout(r, key, p)
		oneOf(r, key+".isolation", p.Isolation, IsolationNone, IsolationRequest)
		checkCapabilities(r, key+".capabilities", &p.Capabilities)
	}
}

// checkRollout judges what a new version must pass.
func checkRollout(r *report, key string, p *Plugin) {
	if p.MaxChanged < -1 {
		r.add(key+".max_changed", "must be a number of decisions, or -1 for any")
	}
	for i, text := range p.PublicKeys {
		k := fmt.Sprintf("%s.public_keys[%d]", key, i)
		if _, err := signature.ParseKey(text); err != nil {
			r.add(k, "%s", err)
		} else if slices.Contains(p.PublicKeys[:i], text) {
			r.add(k, "is listed already")
		}
	}
}

// checkPluginHeaders judges the headers that a plugin may set and makes their
// names canonical, in place.
func checkPluginHeaders(r *report, key string, headers []string) {
	for i, h := range headers {
		k := fmt.Sprintf("%s[%d]", key, i)
		headers[i] = textproto.CanonicalMIMEHeaderKey(h)
		switch {
		case !host.IsToken(h):
			r.add(k, "%q is not a header name", h)
		case strings.Contains(h, "_"):
			r.add(k, "%s: upstreams read _ and - alike, gateways do not; use -", h)
		case isReserved(headers[i]):
			r.add(k, "%s is not a plugin's to set", h)
		case slices.Contains(headers[:i], headers[i]):
			r.add(k, "%s is listed already", h)
		}
	}
}

func checkLimits(r *report, key string, l *Limits) {
	if l.Memory < minMemory || l.Memory > maxMemory {
		r.add(key+".memory", "must be from 64KiB to 2GiB")
	}
	if positive(r, key+".time", l.Time); l.Time > maxTime {
		r.add(key+".time", "must be at most 24h")
	}
	if notNegative(r, key+".instances", l.Instances); l.Instances > maxInstances {
		r.add(key+".instances", "must be at most %d", maxInstances)
	}
}

// checkPluginList judges a list of plugins that are asked in its order.
func checkPluginList(r *report, key string, plugins []Plugin, names []string) {
	for j, name := range names {
		k := fmt.Sprintf("%s[%d]", key, j)
		if !slices.ContainsFunc(plugins, func(p Plugin) bool { return p.Name == name }) {
			r.add(k, "there is no plugin %q", name)
		} else if slices.Contains(names[:j], name) {
			r.add(k, "%q is listed already", name)
		}
	}
}

func checkRoutes(r *report, c *Config) {
	for i := range c.Routes {
		route, key := &c.Routes[i], fmt.Sprintf("routes[%d]", i)
		if route.Path.String() == "" {
			r.add(key+".path", "is required")
		}
		if route.Realm != "" && !slices.ContainsFunc(c.Realms, func(realm Realm) bool { return realm.Name == route.Realm }) {
			r.add(key+".realm", "there is no realm %q", route.Realm)
		}
		checkHosts(r, key+".hosts", route.Hosts)
		for j, m := range route.Methods {
			if !host.IsMethod(m) {
				r.add(fmt.Sprintf("%s.methods[%d]", key, j), "%q is not a method in upper case", m)
			}
		}
		checkPluginList(r, key+".plugins", c.Plugins, route.Plugins)
		oneOf(r, key+".default", route.Default, DefaultAllow, DefaultDeny)
		if route.Authenticate == host.None && len(route.Plugins) > 0 {
			r.add(key+".plugins", "authenticate: none asks no plugin; use optional to let them see anonymous requests")
		}
		if route.Authenticate == host.None && route.Default == DefaultDeny && r.has(key+".default") {
			r.add(key+".default", "authenticate: none lets every request pass; deny would not count")
		}
	}
}
