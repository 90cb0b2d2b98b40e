// Command asker is a guest for tests: it asks a server.
package main

import (
	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/fetch"
)

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		got, ok := r.Fetched()
		if !ok {
			return authorize.Fetch(fetch.Get("https://policy.example" + r.Path()).Keep(r.Method()))
		}
		return authorize.Deny(got.State + " " + got.Body)
	})
}

func main() {}
