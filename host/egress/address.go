package egress

import "net/netip"

// prefixes parses what is written below.
func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, s := range list {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}

var (
	// private is what platforms use within: open to who was granted it.
	private = prefixes(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
		"100.64.0.0/10",          // shared, RFC 6598
		"127.0.0.0/8", "::1/128", // loopback
		"fc00::/7", // unique local, RFC 4193
	)

	// metadata is where clouds keep a machine's own credentials, so far as the
	// ranges below do not hold it: never to be dialled.
	metadata = prefixes("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::254/128")

	// special4 is every other entry of the IANA IPv4 Special-Purpose Address
	// Registry, and multicast.
	special4 = prefixes(
		"0.0.0.0/8",       // this network
		"169.254.0.0/16",  // link-local
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.31.196.0/24", // AS112
		"192.52.193.0/24", // AMT
		"192.88.99.0/24",  // 6to4 relays
		"192.175.48.0/24", // AS112
		"198.18.0.0/15",   // benchmarking
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
	)

	// global6 is all of IPv6 that is given out as global unicast. What is outside
	// is special or nobody's: unspecified, IPv4-mapped and -compatible, NAT64
	// (64:ff9b::/96, 64:ff9b:1::/48), discard, link- and site-local, segment
	// routing, multicast.
	global6 = netip.MustParsePrefix("2000::/3")

	// special6 is what the IANA IPv6 Special-Purpose Address Registry has within
	// global6.
	special6 = prefixes(
		"2001::/23",         // protocol assignments: Teredo, benchmarking, ORCHID
		"2001:db8::/32",     // documentation
		"2002::/16",         // 6to4: an IPv4 address within
		"2620:4f:8000::/48", // AS112
		"3fff::/20",         // documentation
	)
)

// may says whether an address may be dialled.
func may(a netip.Addr, granted bool) bool {
	switch {
	case !a.IsValid() || a.Zone() != "" || within(a, metadata):
		return false
	case within(a, private):
		return granted
	case a.Is4():
		return !within(a, special4)
	}
	return global6.Contains(a) && !within(a, special6)
}

func within(a netip.Addr, ranges []netip.Prefix) bool {
	for _, p := range ranges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
