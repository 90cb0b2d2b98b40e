package host

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Finder lists the credentials present in a request, in the realm's order,
// appending to dst. It also returns the query with credentials struck out.
// It judges nothing.
type Finder interface {
	Find(r *Request, dst []Credential) (found []Credential, query string)
}

// TokenValidator judges a JWT by its form, signature and claims. An error
// means that there is no verdict.
type TokenValidator interface {
	Validate(ctx context.Context, token string) (Validation, error)
}

// SessionResolver judges a session token against the shared cache. An error
// means that there is no verdict.
type SessionResolver interface {
	Resolve(ctx context.Context, token string) (Validation, error)
}

// RevocationChecker asks the shared cache whether a JWT that is otherwise
// valid was logged out, alone or with everything else of its user.
type RevocationChecker interface {
	Revoked(ctx context.Context, id *Identity) (bool, error)
}

// Chooser is a plugin's on_credential.
type Chooser interface {
	Choose(ctx context.Context, c *Call) (Choice, error)
}

// Authorizer is a plugin's on_authorize.
type Authorizer interface {
	Authorize(ctx context.Context, c *Call) (Opinion, error)
}

// Admitter is a plugin's on_login.
type Admitter interface {
	Admit(ctx context.Context, c *Call) (Admission, error)
}

// Notifier is a plugin's on_logout: which messages an end of access is told by.
type Notifier interface {
	Notify(ctx context.Context, c *Call) ([]Fetch, error)
}

// Candidate is one credential as on_credential is shown it: without its value.
type Candidate struct {
	Source  Source
	Name    string
	Kind    CredentialKind
	Verdict Verdict // Untried until it was tried
	UserID  string  // whom a properly signed one names, else empty
}

// Call is what a plugin is asked about. It holds for the length of the call.
type Call struct {
	Request    *Request // nil in on_logout
	Query      string   // without credentials
	Now        time.Time
	Realm      string
	Route      string
	Identity   *Identity    // nil for an anonymous request and in on_credential
	Credential Credential   // the valid one; its value is not for plugins
	Found      []Credential // all that are present; their values are not for plugins
	Candidates []Candidate  // in on_credential, parallel to Found
	Terms      *Terms       // in on_login: the deadlines as they would be
	Ended      *Ended       // in on_logout, where there is no request
}

// Pipeline decides requests by the current snapshot. Make one with New.
type Pipeline struct {
	live atomic.Pointer[Snapshot]
	now  func() time.Time
}

// New returns a pipeline without a snapshot: until the first Swap it answers
// Unavailable. now is the clock.
func New(now func() time.Time) *Pipeline { return &Pipeline{now: now} }

// Swap makes next the snapshot of every request that begins from now on, and
// returns the one before, nil at first. next must be new.
func (p *Pipeline) Swap(next *Snapshot) *Snapshot {
	next.idle = make(chan struct{})
	next.users.Store(1)
	old := p.live.Swap(next)
	if old != nil {
		old.Release()
	}
	return old
}

// Acquire returns the current snapshot, nil before the first Swap. The caller
// must Release it.
func (p *Pipeline) Acquire() *Snapshot {
	for {
		s := p.live.Load()
		if s == nil || s.acquire() {
			return s
		}
	}
}

// Now reads the pipeline's clock.
func (p *Pipeline) Now() time.Time { return p.now() }

// Decide answers one request by the snapshot s, filling ev along the way. It
// never panics on any input, and whatever it cannot find out is Unavailable.
func (p *Pipeline) Decide(ctx context.Context, s *Snapshot, req *Request, ev *Event) Decision {
	ev.Request = req
	d := p.decide(ctx, s, req, ev)
	ev.Decision = d
	return d
}

func (p *Pipeline) decide(ctx context.Context, s *Snapshot, req *Request, ev *Event) Decision {
	realm := s.RealmFor(req.Host)
	if realm == nil {
		ev.Tracef("host %s: no realm serves it", req.Host)
		return Decision{Kind: BadRequest, Reason: "unknown_host"}
	}
	ev.Realm = realm.Name
	if ev.Trace != nil {
		ev.Trace("host %s: realm %s", req.Host, realm.Name)
	}

	i, route := s.route(realm.Name, req)
	if i >= 0 {
		ev.Route = route.Pattern.String()
		if ev.Trace != nil {
			ev.Trace("%s %s: routes[%d], path %s", req.Method, req.Path, i, ev.Route)
		}
	} else {
		ev.Tracef("%s %s: no route matches", req.Method, req.Path)
	}
	if route.Authenticate == None {
		ev.Tracef("the route asks for no credential")
		return Decision{Kind: Allowed, Reason: "public", Query: req.RawQuery}
	}

	a := &attempt{realm: realm, call: Call{Request: req, Realm: realm.Name, Route: ev.Route, Now: ev.Start}}
	if ev.Start.IsZero() {
		a.call.Now = p.now()
	}
	call := &a.call
	d := p.authenticate(ctx, a, route, ev)
	if d.Kind != Allowed {
		return d
	}
	if call.Credential.Source == FromCookie && req.CrossOrigin() {
		return Decision{Kind: Forbidden, Reason: "cross_origin", Identity: call.Identity}
	}
	if a.touch != nil && ev.Trace == nil {
		a.touch(ctx)
	}
	if i < 0 {
		return Decision{Kind: Forbidden, Reason: "no_route", Identity: call.Identity}
	}
	d = p.authorize(ctx, route, call, ev)
	d.Identity, d.Credential, d.Query = call.Identity, call.Credential, call.Query
	if d.Kind == Forbidden && call.Identity == nil {
		d.Kind = Unauthenticated
	}
	return d
}

// authorize asks the route's plugins in order, until one denies.
func (p *Pipeline) authorize(ctx context.Context, route *Route, call *Call, ev *Event) Decision {
	d := Decision{Kind: Forbidden, Reason: "default_deny"}
	if route.AllowDefault {
		d = Decision{Kind: Allowed, Reason: "default_allow"}
	}
	for i := range route.Plugins {
		plugin := &route.Plugins[i]
		if plugin.Authorizer == nil {
			continue
		}
		start := p.now()
		o, err := plugin.Authorizer.Authorize(ctx, call)
		ev.Plugins += p.now().Sub(start)
		if err != nil {
			return p.undecided(ev, plugin.Name, err)
		}
		if ev.Trace != nil {
			ev.Trace("plugin %s: %s %s", plugin.Name, o.Effect, o.Reason)
		}
		switch o.Effect {
		case Deny:
			kind := o.Kind
			if kind == Unavailable {
				kind = Forbidden
			}
			return Decision{Kind: kind, Reason: o.Reason, Plugin: plugin.Name, Headers: o.Headers}
		case Allow:
			d.Kind, d.Reason, d.Plugin = Allowed, o.Reason, plugin.Name
		}
		for _, h := range o.Headers {
			if slices.ContainsFunc(d.Headers, func(set Header) bool { return set.Name == h.Name }) {
				return p.undecided(ev, plugin.Name, fmt.Errorf("plugin %s: header %s is set by another plugin too", plugin.Name, h.Name))
			}
			d.Headers = append(d.Headers, h)
		}
	}
	return d
}

// undecided records why no decision could be made.
func (p *Pipeline) undecided(ev *Event, plugin string, err error) Decision {
	ev.Cause = err
	_, public := Explain(err)
	ev.Tracef("no answer: %s", err)
	return Decision{Kind: Unavailable, Reason: public, Plugin: plugin}
}
