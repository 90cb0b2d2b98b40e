// Command door says who may log in, and tells of those who leave.
package main

import (
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/login"
	"github.com/authhost/authhost/sdk/logout"
)

func init() {
	login.Handle(func(r *login.Request) login.Decision {
		if r.HasRole("guest") {
			return login.GoOn().Idle(min(r.Idle(), r.Time()*1000+60_000))
		}
		return login.GoOn()
	})
	logout.Handle(func(e *logout.Event) logout.Answer {
		return logout.Send(fetch.Post("https://hooks.example/ended", "text/plain", e.UserID()))
	})
}

func main() {}
