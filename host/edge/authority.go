package edge

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the longest host name in bytes (RFC 1035, section 2.3.4).
const maxHost = 253

// parseHost reads an authority as a client named it (RFC 9110, section 7.2)
// and returns its host: lower case, no port, no final dot, an IPv6 literal in
// brackets and canonical.
func parseHost(authority string) (string, error) {
	host, port := authority, ""
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return "", errHost
		}
		addr, err := netip.ParseAddr(authority[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", errHost
		}
		host, port = "["+addr.String()+"]", authority[end+1:]
	} else {
		if i := strings.IndexByte(authority, ':'); i >= 0 {
			host, port = authority[:i], authority[i:]
		}
		host = strings.TrimSuffix(host, ".")
		if !isHostName(host) {
			return "", errHost
		}
		host = strings.ToLower(host)
	}
	if port != "" {
		if n, err := strconv.ParseUint(port[1:], 10, 16); port[0] != ':' || err != nil || n == 0 {
			return "", errHost
		}
	}
	return host, nil
}

var errHost = refuse("bad_host", "the host is missing or not a host name with an optional port")

// isHostName says whether s is letters, digits, "-" and "_" in labels of one
// or more, with dots between.
func isHostName(s string) bool {
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
	}
	return label > 0 && len(s) <= maxHost
}

// parseScheme returns http or https; a WebSocket's scheme is that of its
// handshake.
func parseScheme(s string) (string, error) {
	switch s {
	case "http", "ws":
		return "http", nil
	case "https", "wss":
		return "https", nil
	}
	return "", refuse("bad_scheme", "the scheme is not one of http, https, ws, wss")
}
