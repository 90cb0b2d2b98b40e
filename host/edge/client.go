package edge

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/authhost/authhost/host"
)

// parsePeer returns the address of a connection's other end, invalid if it has
// none, such as on a Unix socket. A zone is dropped: prefixes have none.
func parsePeer(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// peerText is parsePeer for the log, without making a string.
func peerText(remote string) string {
	if i := strings.LastIndexByte(remote, ':'); i >= 0 {
		remote = remote[:i]
	}
	return strings.Trim(remote, "[]")
}

// clientAddr returns who stands behind the trusted gateways: the rightmost
// entry of X-Forwarded-For that is none of them, else the peer. An entry that
// is no address is an error, unless it stands left of that one, where anyone
// may have written it.
func clientAddr(s *host.Snapshot, h http.Header, peer netip.Addr) (netip.Addr, error) {
	lines := h["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		rest := strings.Trim(lines[i], " \t")
		for more := rest != ""; more; {
			entry := rest
			at := strings.LastIndexByte(rest, ',')
			if more = at >= 0; more {
				entry, rest = rest[at+1:], rest[:at]
			}
			addr, ok := parseEntry(strings.Trim(entry, " \t"))
			if !ok {
				return netip.Addr{}, refuse("bad_forwarded_for", "X-Forwarded-For has an entry that is no IP address")
			}
			if !s.Trusts(addr) {
				return addr, nil
			}
		}
	}
	return peer, nil
}

// parseEntry reads one entry of X-Forwarded-For: an address, with a port or
// without; an IPv6 address may have brackets, and with a port has them.
func parseEntry(text string) (netip.Addr, bool) {
	var addr netip.Addr
	var err error
	switch {
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		if addr, err = netip.ParseAddr(text[1 : len(text)-1]); addr.Is4() {
			return netip.Addr{}, false
		}
	case strings.HasPrefix(text, "["), strings.Count(text, ":") == 1:
		var pair netip.AddrPort
		pair, err = netip.ParseAddrPort(text)
		addr = pair.Addr()
	default:
		addr, err = netip.ParseAddr(text)
	}
	return addr.Unmap(), err == nil && addr.Zone() == ""
}
