// Command rbac-gitops is a plugin: which role may call which endpoint, by a
// list of rules. README.md beside the plugins tells how to write them.
//
// It owns the reading of rules and of paths. Who the caller is, and what the
// path is, the host has found out before it asks.
package main

import (
	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/configure"
)

// live is nil until the host has configured the plugin, which it does before
// it asks anything: a call that came earlier would fail and be answered 503.
var live *policy

func init() {
	configure.Handle(func(config []byte) (err error) {
		live, err = parseConfig(config)
		return err
	})
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		switch a := live.decide(r); a.effect {
		case allow:
			return authorize.Allow().Reason(a.reason)
		case deny:
			return authorize.Deny(a.reason)
		}
		return authorize.Abstain()
	})
}

func main() {}
