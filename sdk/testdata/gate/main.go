// Command gate is the plugin that the README shows.
package main

import "github.com/authhost/authhost/sdk/authorize"

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		if r.Method() == "DELETE" && !r.HasRole("admin") {
			return authorize.Deny("deleting needs admin")
		}
		return authorize.Abstain()
	})
}

func main() {}
