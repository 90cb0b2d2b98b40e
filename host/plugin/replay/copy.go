package replay

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/authhost/authhost/host"
)

// maxCopy bounds, in bytes of text, what is kept of one decision.
const maxCopy = 16 << 10

// copyCall copies what plugins are shown of a call, without the value of any
// credential. It is false if that would be too much, or if a credential's
// value stands where it cannot be left out.
func copyCall(c *host.Call, o *host.Opinion) (host.Call, bool) {
	in := c.Request
	room := maxCopy
	take := func(texts ...string) {
		for _, s := range texts {
			room -= len(s)
		}
	}
	header := visible(c, &room)
	take(in.Method, in.Scheme, in.Host, in.Path, in.RawPath, c.Query, c.Realm, c.Route, o.Reason)
	for _, h := range o.Headers {
		take(h.Name, h.Value)
	}
	if id := c.Identity; id != nil {
		take(id.Roles...)
		take(id.Groups...)
		room -= weight(id.Claims, room)
	}
	if room < 0 || repeats(c) {
		return host.Call{}, false
	}
	out := host.Call{
		Request: &host.Request{
			Method: clone(in.Method), Scheme: clone(in.Scheme), Host: clone(in.Host), Path: clone(in.Path), RawPath: clone(in.RawPath),
			Header: header, Client: in.Client,
		},
		Query: clone(c.Query), Now: c.Now, Realm: clone(c.Realm), Route: clone(c.Route),
		Identity:   c.Identity, // nobody changes one once it is made
		Credential: valueless(c.Credential),
	}
	for _, f := range c.Found {
		out.Found = append(out.Found, valueless(f)) // their names stay hidden
	}
	return out, true
}

var clone = strings.Clone

func valueless(c host.Credential) host.Credential {
	return host.Credential{Source: c.Source, Name: clone(c.Name), Kind: c.Kind}
}

// copyOpinion copies an answer without the value of any credential, which a
// plugin that is shown them may have put into it.
func copyOpinion(c *host.Call, o host.Opinion) host.Opinion {
	o.Reason, o.Headers = clone(c.Blank(o.Reason)), slices.Clone(o.Headers)
	for i, h := range o.Headers {
		o.Headers[i] = host.Header{Name: clone(c.Blank(h.Name)), Value: clone(c.Blank(h.Value))}
	}
	return o
}

// repeats says whether host, path or query hold a credential's value once more.
func repeats(c *host.Call) bool {
	query, err := url.QueryUnescape(c.Query)
	return c.Secret(c.Request.Host) || c.Secret(c.Request.Path) || c.Secret(c.Request.RawPath) || c.Secret(c.Query) || err == nil && c.Secret(query)
}

// visible copies the headers and cookies that plugins can read, taking their
// bytes from room; nothing once that is used up.
func visible(c *host.Call, room *int) http.Header {
	out := http.Header{}
	for name, values := range c.Request.Header {
		if name == "Cookie" {
			values = cookies(c, values)
		} else if c.Hides(host.FromHeader, name) || slices.ContainsFunc(values, c.Secret) {
			continue
		}
		for _, v := range values {
			if *room -= len(name) + len(v); *room < 0 {
				return nil
			}
			out[clone(name)] = append(out[name], clone(v))
		}
	}
	return out
}

// cookies returns Cookie headers without the cookies that plugins cannot read.
func cookies(c *host.Call, headers []string) []string {
	var out []string
	for _, line := range headers {
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(pair, "=")
			if !c.Hides(host.FromCookie, strings.TrimSpace(name)) && !c.Secret(value) && !c.Secret(name) {
				pairs = append(pairs, pair)
			}
		}
		if pairs != nil {
			out = append(out, strings.Join(pairs, ";"))
		}
	}
	return out
}

// weight returns about how many bytes a value of JSON has, and stops counting
// at most.
func weight(v any, most int) int {
	n := 8
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, item := range v {
			if n > most {
				break
			}
			n += weight(item, most-n)
		}
	case map[string]any:
		for key, item := range v {
			if n > most {
				break
			}
			n += len(key) + weight(item, most-n)
		}
	}
	return n
}
