package edge

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/authhost/authhost/host"
)

// target is what a request line asks for, apart from scheme and authority.
type target struct {
	path    string // decoded once
	rawPath string // as it will be forwarded
	query   string // without "?", untouched
}

// What a byte of a raw path means.
const (
	refused = 1 << iota // cannot be there, escaped or not
	coded               // begins an escape
	high                // part of a character beyond ASCII
	exotic              // written as an escape by the reverse proxy
)

var pathBytes = func() (t [256]byte) {
	for c := range t {
		switch {
		case c <= 0x20 || c == 0x7f || c == '#' || c == ';' || c == '\\':
			t[c] = refused
		case c == '%':
			t[c] = coded
		case c >= 0x80:
			t[c] = high | exotic
		case strings.IndexByte(`"<>[]^`+"`{|}", byte(c)) >= 0:
			t[c] = exotic
		}
	}
	return t
}()

// parseTarget reads a raw request target (path and query, RFC 9112, section
// 3.2.1) that a gateway will forward as it is. Whatever gateway, authhost and
// upstream could read differently is an error.
func parseTarget(raw string) (target, error) {
	t, err := splitTarget(raw)
	if err != nil {
		return target{}, err
	}
	if err := irregular(t.path); err != nil {
		return target{}, err
	}
	return t, nil
}

// cleanTarget reads a raw request target that authhost forwards itself: dot
// segments and repeated slashes are resolved (RFC 3986, section 5.2.4),
// needless escapes decoded, and the path encoded again in one way. The result
// is what is judged and what is forwarded. What has no one meaning to clean
// towards is an error, as in parseTarget.
func cleanTarget(raw string) (target, error) {
	t, err := splitTarget(raw)
	if err != nil {
		return target{}, err
	}
	t.path = resolve(t.path)
	t.rawPath = encodePath(t.path)
	return t, nil
}

// splitTarget cuts raw at the first "?" and decodes the path, refusing all
// that no cleaning could mend.
func splitTarget(raw string) (target, error) {
	if raw == "" || raw[0] != '/' {
		return target{}, refuse("not_a_path", "the request target does not begin with /")
	}
	rawPath, query, _ := strings.Cut(raw, "?")
	for i := range len(query) {
		if c := query[i]; c <= 0x20 || c == 0x7f || c == '#' {
			return target{}, refuse("bad_query", "the query holds a control character, a space or #")
		}
	}
	seen := byte(0)
	for i := range len(rawPath) {
		seen |= pathBytes[rawPath[i]]
	}
	if seen&refused != 0 {
		return target{}, refuse("bad_path", "the path holds one of # ; \\ space or a control character")
	}
	t := target{path: rawPath, rawPath: rawPath, query: query}
	if seen&coded != 0 {
		var err error
		if t.path, err = decodePath(rawPath); err != nil {
			return target{}, err
		}
	}
	if seen&(coded|high) != 0 && !utf8.ValidString(t.path) {
		return target{}, refuse("not_utf8", "the decoded path is not UTF-8")
	}
	return t, nil
}

// decodePath decodes the escapes of a raw path once.
func decodePath(raw string) (string, error) {
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if !isEscape(raw[i:]) {
				return "", refuse("bad_escape", "the path has an invalid escape")
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
			if c == '/' || c == '?' || pathBytes[c]&refused != 0 && c != ' ' {
				return "", refuse("encoded_delimiter", "the path has an escaped / \\ ; ? # or control character")
			}
		}
		b = append(b, c)
	}
	path := string(b)
	for i := range len(path) {
		if path[i] == '%' && isEscape(path[i:]) {
			return "", refuse("double_encoding", "the decoded path still holds an escape")
		}
	}
	return path, nil
}

// irregular returns what there is to resolve in a decoded path.
func irregular(path string) error {
	if strings.Contains(path, "//") {
		return errEmptySegment
	}
	if strings.Contains(path, "/.") {
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "." || segment == ".." {
				return errDotSegment
			}
		}
	}
	return nil
}

var (
	errEmptySegment = refuse("empty_segment", "the path has an empty segment")
	errDotSegment   = refuse("dot_segment", "the path has a dot segment")
)

// resolve removes dot segments and repeated slashes of a decoded path.
func resolve(path string) string {
	if irregular(path) == nil {
		return path
	}
	b := make([]byte, 0, len(path))
	for rest, more := path[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch segment {
		case "", ".":
		case "..":
			b = b[:max(0, bytes.LastIndexByte(b, '/'))]
		default:
			b = append(append(b, '/'), segment...)
			continue
		}
		if !more { // the last segment names a directory
			b = append(b, '/')
		}
	}
	return string(b)
}

// encodePath writes a decoded path as it is forwarded: what RFC 3986 allows in
// a path as it is, everything else as %XX in upper case.
func encodePath(path string) string {
	extra := 0
	for i := range len(path) {
		if encoded(path[i]) {
			extra += 2
		}
	}
	if extra == 0 {
		return path
	}
	b := make([]byte, 0, len(path)+extra)
	for i := range len(path) {
		if c := path[i]; encoded(c) {
			b = appendEscape(b, c)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func encoded(c byte) bool { return pathBytes[c] != 0 || c == '?' }

const hexDigits = "0123456789ABCDEF"

func appendEscape(b []byte, c byte) []byte {
	return append(b, '%', hexDigits[c>>4], hexDigits[c&15])
}

// isEscape says whether s begins with a percent sign and two hex digits.
func isEscape(s string) bool {
	return len(s) >= 3 && s[0] == '%' && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}

// refuse makes the error of a request that cannot be read one way only: a
// short public code, and for the log what is wrong.
func refuse(code, format string, args ...any) *host.Error {
	return host.Errorf(host.BadRequest, code, format, args...)
}
