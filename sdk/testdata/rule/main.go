// Command rule is a small rule, which the host's benchmarks ask: who has the
// role editor may call /api/gitops/sync. It abstains from all else.
package main

import "github.com/authhost/authhost/sdk/authorize"

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		if r.Path() == "/api/gitops/sync" && r.HasRole("editor") {
			return authorize.Allow()
		}
		return authorize.Abstain()
	})
}

func main() {}
