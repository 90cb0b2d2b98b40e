// Command team is a plugin that sets the header X-Team on some of its answers
// only: to the last part of the path, unless that is "none". It denies
// "denied".
package main

import (
	"strings"

	"github.com/authhost/authhost/sdk/authorize"
)

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		team := strings.TrimPrefix(r.Path(), "/team/")
		switch team {
		case "none":
			return authorize.Allow()
		case "denied":
			return authorize.Deny("no such team").Header("X-Team", team)
		}
		return authorize.Allow().Header("X-Team", team)
	})
}

func main() {}
