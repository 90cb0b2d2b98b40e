package egress

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Policy says whom a plugin may call. The zero value allows nobody.
type Policy struct {
	// Hosts are names ("hooks.example"), names below one ("*.example"), or IP
	// addresses ("10.1.2.3", "[fd00::1]"). A port may follow (":8443"); without
	// one it is 443, for http 80.
	Hosts []string
	// Private opens http beside https, and addresses of loopback and of
	// private networks.
	Private bool
}

// CheckHost says what is wrong with an entry of [Policy.Hosts].
func CheckHost(text string) error {
	if _, ok := parsePattern(text); !ok {
		return fmt.Errorf("%q must be a name in lower case, \"*.\" and a name, or an IP address, with a port or without", text)
	}
	return nil
}

// allows says whether the policy names a host, which is in canonical form.
func (p Policy) allows(host string, port uint16, standard bool) bool {
	for _, text := range p.Hosts {
		h, ok := parsePattern(text)
		if ok && h.names(host) && (h.port == port || h.port == 0 && standard) {
			return true
		}
	}
	return false
}

// pattern is an entry of a policy.
type pattern struct {
	name  string // canonical
	below bool   // what is below the name, and not the name
	port  uint16 // 0: the scheme's own
}

func (h pattern) names(host string) bool {
	if h.below {
		return isName(host) && strings.HasSuffix(host, "."+h.name)
	}
	return host == h.name
}

func parsePattern(text string) (pattern, bool) {
	host, port, ok := splitPort(text)
	if !ok {
		return pattern{}, false
	}
	if name, below := strings.CutPrefix(host, "*."); below {
		return pattern{name, true, port}, isName(name)
	}
	name, ok := canonical(host)
	return pattern{name, false, port}, ok
}

// splitPort takes the port off, which is 0 where there is none.
func splitPort(text string) (host string, port uint16, ok bool) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 || strings.HasSuffix(text, "]") {
		return text, 0, true
	}
	port, ok = parsePort(text[at+1:])
	return text[:at], port, ok
}

// parsePort reads a port as it is written: no sign, no zero before it.
func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0 && strconv.FormatUint(n, 10) == text
}

// canonical returns a host as policies and requests are compared by: a name in
// lower case, or an IP address in the one way in which it should be written,
// IPv6 without its brackets.
func canonical(host string) (string, bool) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		return inner, closed && err == nil && a.Is6() && !a.Is4In6() && a.Zone() == "" && a.String() == inner
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return host, a.Is4() && a.String() == host
	}
	return host, isName(host)
}

// isName says whether a text is a domain name in lower case without a final
// dot, and none that any resolver could take for an address: 127.1, 0x7f.1,
// 2130706433. Names beyond ASCII are written as they are resolved (xn--…).
func isName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	last := s
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
		last = label
	}
	return last[0] < '0' || last[0] > '9'
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
