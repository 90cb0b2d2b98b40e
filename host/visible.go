package host

import (
	"net/textproto"
	"slices"
	"strings"
)

// hiddenHeaders may hold a credential's value whatever the configuration says.
var hiddenHeaders = []string{
	"Authorization", "Proxy-Authorization", "Cookie",
	"X-Forwarded-Uri", "X-Original-Url", "X-Original-Uri", "X-Envoy-Original-Path", "X-Rewrite-Url",
}

// Hides says whether what has that source and name is not for plugins: a
// credential of the request, or a header that may hold one.
func (c *Call) Hides(source Source, name string) bool {
	if source == FromHeader && slices.Contains(hiddenHeaders, textproto.CanonicalMIMEHeaderKey(name)) {
		return true
	}
	return slices.ContainsFunc(c.Found, func(f Credential) bool {
		return f.Source == source && strings.EqualFold(f.Name, name)
	})
}

// Secret says whether s holds the value of a credential: a copy of it in a
// place that nobody configured is not for plugins either.
func (c *Call) Secret(s string) bool {
	return slices.ContainsFunc(c.Found, func(f Credential) bool {
		return f.Value != "" && strings.Contains(s, f.Value)
	})
}

// Blank returns s, or that it holds the value of a credential: what is shown
// of a call to anybody but its plugin.
func (c *Call) Blank(s string) string {
	if c.Secret(s) {
		return "(holds a credential)"
	}
	return s
}
