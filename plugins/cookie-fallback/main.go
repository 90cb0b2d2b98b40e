// Command cookie-fallback is a plugin: when the credential in a header has
// failed, a cookie may stand in for it.
//
// It owns the choice of that cookie. Whether the cookie counts the host finds
// out; the plugin sees no value of a credential.
package main

import (
	"github.com/authhost/authhost/sdk/configure"
	"github.com/authhost/authhost/sdk/credential"
)

// live is nil until the host has configured the plugin, which it does before
// it asks anything: a call that came earlier would fail and be answered 503.
var live *policy

// room holds the candidates of one call, so that a usual call allocates
// nothing; there is one call at a time.
var room [16]credential.Candidate

func init() {
	configure.Handle(func(config []byte) (err error) {
		live, err = parseConfig(config)
		return err
	})
	credential.Handle(func(r *credential.Request) credential.Choice {
		all := room[:0]
		for c := range r.Candidates {
			all = append(all, c)
		}
		next, what := live.choose(all)
		switch what {
		case try:
			return credential.Try(next).Reason("a header or cookie before it failed")
		case stop:
			return credential.Stop().Reason("a cookie names another user")
		}
		return credential.Abstain()
	})
}

func main() {}
