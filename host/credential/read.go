package credential

import (
	"net/http"
	"net/url"
	"strings"
)

// values is what one source of a request holds. A usual one, with one value,
// allocates nothing.
type values struct {
	last  string
	more  []string // those before the last
	times int
}

func (v *values) add(value string) {
	if v.times > 0 {
		v.more = append(v.more, v.last)
	}
	v.last, v.times = value, v.times+1
}

// header reads a header that carries a token: behind the scheme Bearer in
// Authorization (RFC 6750, section 2.1), bare in any other. A value that it
// cannot read is empty, which no token is.
func header(h http.Header, name string, v *values) {
	for _, line := range h[name] {
		if name == "Authorization" {
			line = bearer(line)
		}
		v.add(line)
	}
}

func bearer(line string) string {
	const scheme = "bearer"
	if len(line) <= len(scheme) || !strings.EqualFold(line[:len(scheme)], scheme) || line[len(scheme)] != ' ' {
		return ""
	}
	return strings.TrimLeft(line[len(scheme):], " ")
}

// cookie reads a cookie out of the raw Cookie lines: pairs are separated by
// ";" and lose the blanks around them, the first "=" ends the name (RFC 6265,
// section 4.2.1). Everything behind it is the value: quotes are not taken off,
// since some applications do and some do not, and so make it Malformed. So
// does a name without "=", which is a cookie to some and a nameless value to
// others.
func cookie(lines []string, name string, v *values) {
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
				v.add("")
			} else if rest[0] == '=' {
				v.add(rest[1:])
			}
		}
	}
}

// strike reads a parameter out of a query and returns the query without any
// pair of that name, leaving the bytes and the order of the others. Pairs are
// separated by "&" alone; names are compared decoded, and a value is read
// decoded, empty if its escapes are broken.
func strike(query, name string, v *values) (rest string) {
	if !strings.Contains(query, name) && strings.IndexByte(query, '%') < 0 {
		return query
	}
	kept, pairs := make([]byte, 0, len(query)), 0
	for pair := range strings.SplitSeq(query, "&") {
		key, raw, _ := strings.Cut(pair, "=")
		if sameName(key, name) {
			value, err := url.QueryUnescape(raw)
			if err != nil {
				value = ""
			}
			v.add(value)
			continue
		}
		if pairs++; pairs > 1 {
			kept = append(kept, '&')
		}
		kept = append(kept, pair...)
	}
	if v.times == 0 {
		return query
	}
	return string(kept)
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
