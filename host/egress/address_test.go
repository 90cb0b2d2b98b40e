package egress_test

import (
	"net/netip"
	"testing"

	"github.com/authhost/authhost/host/egress"
)

// An address of each range of the IANA registries of special-purpose
// addresses, at both ends, with the ordinary neighbours.
func TestSpecialAddresses(t *testing.T) {
	for _, a := range []string{
		"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255",
		"127.0.0.0", "127.255.255.255", "::1", "100.64.0.0", "100.127.255.255", "fc00::", "fdff:ffff::1",
	} {
		check(t, a, false, true)
	}
	for _, a := range []string{
		"0.0.0.0", "0.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255",
		"192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1", "198.18.0.0", "198.19.255.255", "198.51.100.1",
		"203.0.113.1", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255",
		"100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254",
		"::", "::7f00:1", "::a00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b::808:808",
		"64:ff9b:1::1", "100::1", "100:0:0:1::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1",
		"2001:1ff:ffff::", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2620:4f:8000::1", "3fff::1", "3fff:fff::", "5f00::1",
		"fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "ff0e::1", "4000::1", "2606:4700::1111%eth0",
	} {
		check(t, a, false, false)
	}
	for _, a := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00::1", "3ffe::1",
	} {
		check(t, a, true, true)
	}
}

func check(t *testing.T, text string, public, granted bool) {
	t.Helper()
	a := netip.MustParseAddr(text)
	if got := egress.May(a, false); got != public {
		t.Errorf("%s: may be dialled: %v", text, got)
	}
	if got := egress.May(a, true); got != granted {
		t.Errorf("%s, private granted: may be dialled: %v", text, got)
	}
}
