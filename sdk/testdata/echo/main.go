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
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/login"
	"github.com/authhost/authhost/sdk/logout"
	"github.com/authhost/authhost/sdk/metric"
)

var echoed = metric.New("echo")

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

func decimal(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
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

func identity(i *sdk.Identity) {
	named("user_id", i.UserID())
	named("issuer", i.Issuer())
	named("subject", i.Subject())
	for role := range i.Roles {
		item("role", role)
	}
	for group := range i.Groups {
		item("group", group)
	}
	named("email", i.Email())
	named("session_id", i.SessionID())
	named("credential", i.Credential())
	number("expires", uint64(i.Expires()))
}

func fetched(r *sdk.Request) {
	got, ok := r.Fetched()
	if !ok {
		return
	}
	sdk.Debug("fetched")
	number("fetch_status", uint64(got.Status))
	named("fetch_body", got.Body)
	named("fetch_blob", got.State)
	named("fetch_error", string(got.Error))
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
	login.Handle(admit)
	logout.Handle(tell)
}

func decide(r *authorize.Request) authorize.Decision {
	request(&r.Request)
	if r.Anonymous() {
		sdk.Debug("anonymous")
	}
	identity(&r.Identity)
	fetched(&r.Request)

	var asked fetch.Request
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
			d = d.Status(int(decimal(rest)))
		case 'r':
			d = d.Reason(rest)
		case 'h':
			name, value, _ := strings.Cut(rest, ":")
			d = d.Header(name, value)
		case 'f', '+':
			compose(&asked, order)
			d = authorize.Fetch(asked)
		case '?':
			get(&r.Request, r.Claim, order)
		default:
			common(order)
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
	fetched(&r.Request)

	noClaim := func(string) (string, bool) { return "", false }
	var asked fetch.Request
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
			choice = credential.Try(candidate(r, int(decimal(rest))))
		case 'r':
			choice = choice.Reason(rest)
		case 'f', '+':
			compose(&asked, order)
			choice = credential.Fetch(asked)
		case '?':
			get(&r.Request, noClaim, order)
		default:
			common(order)
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

func admit(r *login.Request) login.Decision {
	request(&r.Request)
	identity(&r.Identity)
	number("idle", uint64(r.Idle()))
	number("absolute", uint64(r.Absolute()))
	fetched(&r.Request)

	var asked fetch.Request
	d := login.GoOn()
	for i := 0; ; i++ {
		order, ok := r.HeaderAt("X-Echo", i)
		if !ok {
			return d
		}
		rest := order[1:]
		name, value, _ := strings.Cut(rest, ":")
		switch order[0] {
		case '=':
			d = map[string]login.Decision{"0": login.GoOn(), "2": login.Refuse("")}[rest]
		case 's':
			d = d.Status(int(decimal(rest)))
		case 'r':
			d = d.Reason(rest)
		case 'h':
			d = d.Header(name, value)
		case 'i':
			d = d.Idle(decimal(rest))
		case 'd':
			d = d.Absolute(decimal(rest))
		case 't':
			d = d.Attribute(name, value)
		case 'f', '+':
			compose(&asked, order)
			d = login.Fetch(asked)
		case '?':
			get(&r.Request, r.Claim, order)
		default:
			common(order)
		}
	}
}

func tell(e *logout.Event) logout.Answer {
	named("realm", e.Realm())
	named("user_id", e.UserID())
	named("issuer", e.Issuer())
	named("subject", e.Subject())
	named("session_id", e.SessionID())
	named("event_id", e.ID())
	named("why", e.Why())
	named("by_rank", e.ByRank())
	named("by_id", e.ByID())
	number("ended", uint64(e.At()))
	named("what", e.What())
	for id := range e.Sessions {
		item("session", id)
	}

	reason, calls := "", []fetch.Request{}
	for order := range e.Sessions {
		switch {
		case strings.HasPrefix(order, "ses_"):
		case order[0] == 'r':
			reason = order[1:]
		case order[0] == 'f':
			calls = append(calls, fetch.Request{})
			compose(&calls[len(calls)-1], order)
		case order[0] == '+':
			compose(&calls[len(calls)-1], order)
		default:
			common(order)
		}
	}
	return logout.Send(calls...).Reason(reason)
}

func main() {}
