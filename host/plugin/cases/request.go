package cases

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/authhost/authhost/host"
)

var method = regexp.MustCompile(`^[A-Z][A-Z0-9_-]*$`)

func readRequest(v value, call *host.Call) {
	if !v.there() {
		v.fail("is required")
		return
	}
	f := v.fields("method", "url", "scheme", "host", "path", "query", "headers", "client", "realm", "route")
	r := &host.Request{Method: f["method"].or(http.MethodGet), Client: defaultClient, Header: http.Header{}}
	if !method.MatchString(r.Method) {
		f["method"].fail("must be a method in upper case")
	}
	readURL(f, r)
	for _, p := range f["headers"].pairs() {
		readHeader(p, r.Header)
	}
	if client := f["client"]; client.there() {
		addr, err := netip.ParseAddr(client.text())
		if err != nil || addr.Zone() != "" {
			client.fail("must be an IP address")
		}
		r.Client = addr
	}
	call.Request, call.Query = r, r.RawQuery
	call.Realm, call.Route = f["realm"].or("main"), f["route"].or("/**")
}

// readURL reads where a request goes to: url, or its parts.
func readURL(f map[string]value, r *host.Request) {
	whole := f["url"]
	at, text := whole, whole.text()
	if whole.there() {
		for _, part := range []string{"scheme", "host", "path", "query"} {
			if f[part].there() {
				f[part].fail("is part of url, which is there too")
			}
		}
	} else {
		at = f["path"]
		place, path := f["host"].or(defaultHost), at.need()
		if path != "" && path[0] != '/' || strings.Contains(path, "?") || strings.ContainsAny(place, "/?") {
			at.fail("host is a name alone, path begins with / and has no query")
			return
		}
		text = f["scheme"].or("https") + "://" + place + path
		if f["query"].there() {
			text += "?" + f["query"].text()
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Contains(text, "#") || !strings.HasPrefix(u.Path, "/") {
		at.fail("must make an address, such as https://%s/api/sync?dry=1, without user and fragment", defaultHost)
		return
	}
	raw, query, _ := strings.Cut(text[strings.Index(text, "://")+3:], "?")
	raw = raw[strings.Index(raw, "/"):]
	if !passes(raw, u.Path) {
		at.fail("the host lets no such path through, so that the plugin is never asked")
	}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	r.Scheme, r.Authority, r.Host = u.Scheme, u.Host, name
	r.Path, r.RawPath, r.RawQuery = u.Path, raw, query
}

// passes says whether a path, raw and decoded, has none of what the host
// refuses whatever the configuration: what gateway and upstream could read in
// two ways.
func passes(raw, decoded string) bool {
	return strings.Count(raw, "/") == strings.Count(decoded, "/") &&
		!strings.Contains(raw, " ") && !strings.ContainsAny(decoded, `\;?#`) &&
		!strings.ContainsFunc(decoded, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\ufffd' }) &&
		(decoded == "/" || path.Clean(decoded) == strings.TrimSuffix(decoded, "/"))
}

var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// readHeader reads a header's value or list of values.
func readHeader(p pair, into http.Header) {
	if !token.MatchString(p.name) {
		p.value.fail("is not a header's name")
	}
	name := textproto.CanonicalMIMEHeaderKey(p.name)
	if p.value.isList() {
		into[name] = append(into[name], p.value.texts()...)
	} else {
		into[name] = append(into[name], p.value.text())
	}
}
