package egress_test

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/egress"
)

// Whatever the text, what is let through goes to a host on the list, over
// TLS, and its name is none that could be taken for an address.
func FuzzURL(f *testing.F) {
	for _, host := range literals {
		f.Add("https://" + host + "/")
	}
	f.Add("https://hooks.example/a?b=%20")
	f.Add("https://a.team.example:8443")
	p := egress.Policy{Hosts: []string{"hooks.example", "*.team.example:8443"}}
	f.Fuzz(func(t *testing.T, text string) {
		host, port, ok := egress.Dialled(p, get(text))
		if !ok {
			return
		}
		if (host != "hooks.example" || port != "443") && (!strings.HasSuffix(host, ".team.example") || port != "8443") {
			t.Fatalf("%q goes to %s port %s", text, host, port)
		}
		if _, err := netip.ParseAddr(host); err == nil || net.ParseIP(host) != nil {
			t.Fatalf("%q goes to an address", text)
		}
		u, err := url.Parse(text)
		if err != nil || u.User != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), host) {
			t.Fatalf("%q is read as %v, %v", text, u, err)
		}
	})
}

// Whatever the address, one that package net calls anything but global
// unicast is not dialled.
func FuzzAddress(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte(net.ParseIP("::ffff:10.0.0.1")))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok || !egress.May(a, false) {
			return
		}
		plain := a.Unmap()
		if !plain.IsGlobalUnicast() || plain.IsPrivate() || plain.IsLoopback() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || a.Is4In6() {
			t.Fatalf("%s may be dialled", a)
		}
	})
}
