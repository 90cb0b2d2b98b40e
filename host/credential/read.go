package credential

import (
	"net/http"
	"net/url"
	"strings"
)

// header reads a header that carries a token: behind the scheme Bearer in
// Authorization (RFC 6750, section 2.1), bare in any other. A value that it
// cannot read is empty, which no token is.
func header(h http.Header, name string) (value string, times int) {
	lines := h[name]
	if len(lines) != 1 {
		return "", len(lines)
	}
	if name != "Authorization" {
		return lines[0], 1
	}
	const scheme = "bearer"
	line := lines[0]
	if len(line) <= len(scheme) || !strings.EqualFold(line[:len(scheme)], scheme) || line[len(scheme)] != ' ' {
		return "", 1
	}
	return strings.TrimLeft(line[len(scheme):], " "), 1
}

// cookie reads a cookie out of the raw Cookie lines: pairs are separated by
// ";" and lose the blanks around them, the first "=" ends the name (RFC 6265,
// section 4.2.1). Everything behind it is the value: quotes are not taken off,
// since some applications do and some do not, and so make it Malformed. So
// does a name without "=", which is a cookie to some and a nameless value to
// others. The last value counts; times tells of more than one.
func cookie(lines []string, name string) (value string, times int) {
	for _, line := range lines {
		if !strings.Contains(line, name) {
			continue
		}
		for more := true; more; {
			var pair string
			pair, line, more = strings.Cut(line, ";")
			pair = strings.Trim(pair, " \t")
			rest, ok := strings.CutPrefix(pair, name)
			if !ok {
				continue
			}
			rest = strings.TrimLeft(rest, " \t")
			if rest == "" {
				value, times = "", times+1
			} else if rest[0] == '=' {
				value, times = rest[1:], times+1
			}
		}
	}
	return value, times
}

// strike reads a parameter out of a query and cuts every pair of that name
// out of it, leaving the bytes and the order of the others. Pairs are
// separated by "&" alone; names are compared decoded, and the value is
// returned decoded, empty if its escapes are broken.
func strike(query, name string) (value string, times int, rest string) {
	if !strings.Contains(query, name) && strings.IndexByte(query, '%') < 0 {
		return "", 0, query
	}
	kept, pairs := make([]byte, 0, len(query)), 0
	for pair := range strings.SplitSeq(query, "&") {
		key, raw, _ := strings.Cut(pair, "=")
		if sameName(key, name) {
			value, _ = url.QueryUnescape(raw)
			times++
			continue
		}
		if pairs++; pairs > 1 {
			kept = append(kept, '&')
		}
		kept = append(kept, pair...)
	}
	if times == 0 {
		return "", 0, query
	}
	return value, times, string(kept)
}

// sameName says whether a raw parameter name stands for name.
func sameName(raw, name string) bool {
	if raw == name {
		return true
	}
	if strings.IndexByte(raw, '%') < 0 {
		return false
	}
	decoded, err := url.QueryUnescape(raw)
	return err == nil && decoded == name
}
