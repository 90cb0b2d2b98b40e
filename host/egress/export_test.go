package egress

import (
	"context"
	"net/netip"
)

// Consider has the client take an address for one of the Internet's, so that a
// server of the test can stand there.
func (c *Client) Consider(public netip.Addr) {
	judge := c.may
	c.may = func(a netip.Addr, private bool) bool { return a == public || judge(a, private) }
}

// May is what every address that is dialled is judged by.
var May = may

// Allowed says whether a request would be sent.
func Allowed(p Policy, r Request) bool {
	_, _, ok := Dialled(p, r)
	return ok
}

// Dialled says where a request would be sent.
func Dialled(p Policy, r Request) (host, port string, ok bool) {
	req, err := judge(context.Background(), p, r)
	if err != nil {
		return "", "", false
	}
	return req.URL.Hostname(), req.URL.Port(), true
}
