package edge

import (
	"net/http"
	"net/netip"

	"github.com/authhost/authhost/host"
)

// Target is what ParseTarget and CleanTarget return.
type Target struct{ Path, RawPath, Query string }

func ParseTarget(raw string) (Target, error) {
	t, err := parseTarget(raw)
	return Target{t.path, t.rawPath, t.query}, err
}

func CleanTarget(raw string) (Target, error) {
	t, err := cleanTarget(raw)
	return Target{t.path, t.rawPath, t.query}, err
}

func ParseHost(authority string) (string, error) { return parseHost(authority) }

func ClientAddr(s *host.Snapshot, h http.Header, peer netip.Addr) (netip.Addr, error) {
	return clientAddr(s, h, peer)
}

func Spoofed(h http.Header, declared []string) bool { return spoofed(h, declared) }

func Strike(h http.Header, declared []string, trusted bool) { strike(h, declared, trusted) }
