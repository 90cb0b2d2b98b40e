package host

import (
	"context"
	"fmt"
)

// usual is how many credentials a request has at most, usually: more cost
// allocations.
const usual = 4

// attempt is one request's search for a credential that counts, in one piece
// of memory.
type attempt struct {
	realm  *Realm
	call   Call
	judged []judged              // parallel to call.Found
	touch  func(context.Context) // of the credential that counts, see Validation

	foundRoom  [usual]Credential
	judgedRoom [usual]judged
	triedRoom  [usual]Tried
}

// judged is what is known of one credential before or after it was tried.
type judged struct {
	done       bool
	validation Validation
	err        error
	verdict    Verdict // Untried until it was tried
}

// authenticate finds out who the request is from: the first credential that
// is present decides, unless it fails and a plugin of the route names another
// to try. It fills in a.call; the decision is Allowed when the request may go
// on.
func (p *Pipeline) authenticate(ctx context.Context, a *attempt, route *Route, ev *Event) Decision {
	call := &a.call
	call.Found, call.Query = a.realm.Finder.Find(call.Request, a.foundRoom[:0])
	if len(call.Found) == 0 {
		ev.Tracef("no credential is present")
		if route.Authenticate == Optional {
			return Decision{Kind: Allowed, Reason: "anonymous"}
		}
		return Decision{Kind: Unauthenticated, Reason: "no_credential"}
	}
	a.judged = a.judgedRoom[:]
	if len(call.Found) > usual {
		a.judged = make([]judged, len(call.Found))
	}
	ev.Tried = a.triedRoom[:0]

	for next := 0; ; {
		v, err := a.try(ctx, next)
		if err != nil {
			return p.undecided(ev, "", err)
		}
		ev.Tried = append(ev.Tried, Tried{call.Found[next], v.Verdict, v.Why})
		if ev.Trace != nil {
			why := ""
			if v.Why != "" {
				why = " (" + v.Why + ")"
			}
			ev.Trace("%s %s %s: %s%s", call.Found[next].Source, call.Found[next].Name, call.Found[next].Kind, v.Verdict, why)
		}
		if v.Verdict == Valid {
			call.Identity, call.Credential = v.Identity, call.Found[next]
			a.touch = v.Touch
			return Decision{Kind: Allowed}
		}
		denied := Decision{Kind: Unauthenticated, Reason: v.Verdict.String()}
		if len(ev.Tried) == len(call.Found) || !hasChooser(route) {
			return denied
		}
		call.Candidates = a.candidates(ctx)
		start := p.now()
		choice, plugin, err := choose(ctx, route, call, ev)
		ev.Plugins += p.now().Sub(start)
		if err != nil {
			return p.undecided(ev, plugin, err)
		}
		if choice.Effect != Allow {
			denied.Plugin = plugin
			return denied
		}
		if i := choice.Candidate; i < 0 || i >= len(call.Found) || a.judged[i].verdict != Untried {
			return p.undecided(ev, plugin, fmt.Errorf("plugin %s: candidate %d cannot be tried", plugin, i))
		}
		next = choice.Candidate
	}
}

func hasChooser(route *Route) bool {
	for i := range route.Plugins {
		if route.Plugins[i].Chooser != nil {
			return true
		}
	}
	return false
}

// choose asks the route's plugins in order until one does not abstain.
func choose(ctx context.Context, route *Route, call *Call, ev *Event) (Choice, string, error) {
	for i := range route.Plugins {
		plugin := &route.Plugins[i]
		if plugin.Chooser == nil {
			continue
		}
		c, err := plugin.Chooser.Choose(ctx, call)
		if err != nil {
			return Choice{}, plugin.Name, err
		}
		ev.Tracef("plugin %s: on_credential %s candidate %d %s", plugin.Name, c.Effect, c.Candidate, c.Reason)
		if c.Effect != Abstain {
			return c, plugin.Name, nil
		}
	}
	return Choice{}, "", nil
}

// try judges one credential and records its verdict.
func (a *attempt) try(ctx context.Context, i int) (Validation, error) {
	v, err := a.judge(ctx, i)
	if err != nil {
		return Validation{}, err
	}
	if v.Verdict == Valid && a.call.Found[i].Kind == JWT {
		revoked, err := a.realm.Revoked.Revoked(ctx, v.Identity)
		if err != nil && !v.Identity.SkipRevocation {
			return Validation{}, err
		}
		if err == nil && revoked {
			v.Verdict = Revoked
		}
	}
	a.judged[i].verdict = v.Verdict
	return v, nil
}

// judge looks at one credential once, apart from a JWT's revocation.
func (a *attempt) judge(ctx context.Context, i int) (Validation, error) {
	j := &a.judged[i]
	if j.done {
		return j.validation, j.err
	}
	j.done = true
	switch c := a.call.Found[i]; c.Kind {
	case JWT:
		j.validation, j.err = a.realm.Tokens.Validate(ctx, c.Value)
	case Session:
		j.validation, j.err = a.realm.Sessions.Resolve(ctx, c.Value)
	case AccessToken:
		j.validation = Validation{Verdict: Unknown}
	default:
		j.validation = Validation{Verdict: BadForm, Why: "it comes twice, or is no token of a form that is known"}
	}
	return j.validation, j.err
}

// candidates shows every credential that is present, with the verdicts so far
// and whom the properly signed ones name. One that cannot be judged now names
// nobody: should a plugin choose it, there is no verdict.
func (a *attempt) candidates(ctx context.Context) []Candidate {
	list := make([]Candidate, len(a.call.Found))
	for i, c := range a.call.Found {
		list[i] = Candidate{Source: c.Source, Name: c.Name, Kind: c.Kind, Verdict: a.judged[i].verdict}
		if v, err := a.judge(ctx, i); err == nil && v.Identity != nil {
			list[i].UserID = v.Identity.UserID
		}
	}
	return list
}
