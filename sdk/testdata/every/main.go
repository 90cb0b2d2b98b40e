// Command every is a guest for tests: it answers every hook and reads whatever
// there is to read.
package main

import (
	"errors"
	"strings"

	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/configure"
	"github.com/authhost/authhost/sdk/credential"
)

var cookie string

func init() {
	configure.Handle(func(config []byte) error {
		name, ok := strings.CutPrefix(string(config), `{"cookie":"`)
		if cookie, _, _ = strings.Cut(name, `"`); !ok || cookie == "" {
			return errors.New("cookie: a name is required")
		}
		return nil
	})
	credential.Handle(func(r *credential.Request) credential.Choice {
		var failed string
		for c := range r.Candidates {
			switch {
			case c.Tried():
				failed = c.UserID
			case c.Source == credential.Cookie && c.Name == cookie && (failed == "" || failed == c.UserID):
				return credential.Try(c).Reason("the cookie stands in")
			}
		}
		return credential.Stop()
	})
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		team, ok := r.Header("X-Wanted-Team")
		if !ok {
			team, _ = r.Claim("team")
		}
		for role := range r.Roles {
			if role == "guest" {
				sdk.Warn("a guest on " + r.Path())
				return authorize.Deny(r.Path()).Status(404).Header("Retry-After", "30")
			}
		}
		return authorize.Allow().Header("X-Team", team)
	})
}

func main() {}
