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

const blank = "(holds a credential)"

// Blank returns s, or that it holds the value of a credential: what is shown
// of a call to anybody but its plugin.
func (c *Call) Blank(s string) string {
	if c.Secret(s) {
		return blank
	}
	return s
}

// tellingStart is how many bytes of a value's beginning tell more than its
// kind: less than that many may stand anywhere by chance.
const tellingStart = 8

// BlankCut is [Call.Blank] for a text that may have been cut off, and then ends
// in the beginning of a value.
func (c *Call) BlankCut(s string) string {
	for _, f := range c.Found {
		for n := min(len(s), len(f.Value)); n >= tellingStart; n-- {
			if strings.HasSuffix(s, f.Value[:n]) {
				return blank
			}
		}
	}
	return c.Blank(s)
}
