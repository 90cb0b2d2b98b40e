// Command echo is the echo guest of abi/conformance: its README says what it
// does.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/configure"
	"github.com/authhost/authhost/sdk/credential"
)

func named(name, value string) {
	if value != "" {
		item(name, value)
	}
}

func item(name, value string) {
	sdk.Debug(name)
	sdk.Info(value)
}

func number(name string, n uint64) {
	if n != 0 {
		item(name, strconv.FormatUint(n, 10))
	}
}

func decimal(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func request(r *sdk.Request) {
	named("method", r.Method())
	named("scheme", r.Scheme())
	named("host", r.Host())
	named("path", r.Path())
	named("raw_path", r.RawPath())
	named("query", r.Query())
	named("client", r.Client())
	number("time", uint64(r.Time()))
	named("route", r.Route())
	named("realm", r.Realm())
}

// common carries out what both hooks know.
func common(r *sdk.Request, claim func(string) (string, bool), order string) {
	switch order[0] {
	case '!':
		panic("as told")
	case 'l':
		say := [...]func(string){sdk.Debug, sdk.Info, sdk.Warn, sdk.Error}[order[1]-'0']
		say(order[2:])
	case '?':
		name, index := order[3:], int(order[2]-'0')
		var value string
		var ok bool
		switch order[1] {
		case '1':
			value, ok = r.HeaderAt(name, index)
		case '2':
			value, ok = r.CookieAt(name, index)
		case '3':
			value, ok = r.QueryParamAt(name, index)
		case '4':
			value, ok = claim(name)
		}
		sdk.Debug(order)
		if ok {
			sdk.Info(value)
		} else {
			sdk.Warn("")
		}
	default:
		panic("unknown order")
	}
}

func init() {
	configure.Handle(func(config []byte) error {
		named("config", string(config))
		if reason, ok := strings.CutPrefix(string(config), "refuse:"); ok {
			return errors.New(reason)
		}
		return nil
	})
	credential.Handle(choose)
	authorize.Handle(decide)
}

func decide(r *authorize.Request) authorize.Decision {
	request(&r.Request)
	if r.Anonymous() {
		sdk.Debug("anonymous")
	}
	named("user_id", r.UserID())
	named("issuer", r.Issuer())
	named("subject", r.Subject())
	for role := range r.Roles {
		item("role", role)
	}
	for group := range r.Groups {
		item("group", group)
	}
	named("email", r.Email())
	named("session_id", r.SessionID())
	named("credential", r.Credential())
	number("expires", uint64(r.Expires()))

	d := authorize.Abstain()
	for i := 0; ; i++ {
		order, ok := r.HeaderAt("X-Echo", i)
		if !ok {
			return d
		}
		switch rest := order[1:]; order[0] {
		case '=':
			d = map[string]authorize.Decision{"0": authorize.Abstain(), "1": authorize.Allow(), "2": authorize.Deny("")}[rest]
		case 's':
			d = d.Status(decimal(rest))
		case 'r':
			d = d.Reason(rest)
		case 'h':
			name, value, _ := strings.Cut(rest, ":")
			d = d.Header(name, value)
		default:
			common(&r.Request, r.Claim, order)
		}
	}
}

func choose(r *credential.Request) credential.Choice {
	request(&r.Request)
	for c := range r.Candidates {
		sdk.Debug("candidate")
		number("source", uint64(c.Source))
		number("kind", uint64(c.Kind))
		number("verdict", uint64(c.Verdict))
		named("name", c.Name)
		named("user_id", c.UserID)
	}
	noClaim := func(string) (string, bool) { return "", false }
	choice := credential.Abstain()
	for i := 0; ; i++ {
		order, ok := r.HeaderAt("X-Echo", i)
		if !ok {
			return choice
		}
		switch rest := order[1:]; order[0] {
		case '=':
			choice = map[string]credential.Choice{"0": credential.Abstain(), "2": credential.Stop()}[rest]
		case 'c':
			choice = credential.Try(candidate(r, decimal(rest)))
		case 'r':
			choice = choice.Reason(rest)
		default:
			common(&r.Request, noClaim, order)
		}
	}
}

func candidate(r *credential.Request, index int) credential.Candidate {
	for c := range r.Candidates {
		if index--; index < 0 {
			return c
		}
	}
	panic("no such candidate")
}

func main() {}
