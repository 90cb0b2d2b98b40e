// Command door is a plugin that lets nobody log in from one network, slows down
// who comes from another, and gives guests half a minute.
package main

import (
	"strings"

	"github.com/authhost/authhost/sdk/login"
)

func init() {
	login.Handle(func(r *login.Request) login.Decision {
		switch {
		case strings.HasPrefix(r.Client(), "203.0.113."):
			return login.Refuse("not from this network")
		case strings.HasPrefix(r.Client(), "198.51.100."):
			return login.Refuse("slow down").Status(429).Header("Retry-After", "17")
		case strings.HasPrefix(r.Client(), "192.0.2."):
			return login.Refuse("who are you?").Status(401)
		case r.HasRole("later"):
			return login.GoOn().Absolute(r.Absolute() + 1) // which none may
		case r.HasRole("guest"):
			return login.GoOn().Absolute(min(r.Absolute(), r.Time()*1000+30_000)).Attribute("tier", "guest")
		case r.HasRole("brief"):
			return login.GoOn().Idle(r.Time()*1000 + 8_000)
		}
		return login.GoOn().Attribute("tier", "member")
	})
}

func main() {}
