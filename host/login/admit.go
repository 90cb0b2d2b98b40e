package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/authhost/authhost/host"
)

// admit asks the realm's plugins whether there may be a session, and on which
// terms: in order, until one refuses. Each is shown the deadlines as those
// before it left them.
func (h *Handlers) admit(ctx context.Context, v *Visit, who *host.Identity, by host.Credential) (host.Terms, error) {
	var all host.Terms
	call := host.Call{Now: h.o.Now(), Request: v.Request, Realm: who.Realm, Identity: who, Credential: by}
	for _, p := range v.Plugins {
		if p.Admitter == nil {
			continue
		}
		if call.Terms == nil { // the first one
			if revoked, err := v.Realm.Sessions.Revoked(ctx, who); err != nil || revoked {
				if err == nil {
					err = unauthenticated(errors.New("the JWT was revoked"))
				}
				return host.Terms{}, err
			}
			call.Found, call.Query = v.Realm.Finder.Find(v.Request, []host.Credential{by})
			call.Terms = new(host.Terms)
			call.Terms.Idle, call.Terms.Absolute = v.Realm.Sessions.Deadlines(who)
		}
		start := h.o.Now()
		a, err := p.Admitter.Admit(ctx, &call)
		if v.Event != nil {
			v.Event.Plugins += h.o.Now().Sub(start)
		}
		if err != nil {
			return host.Terms{}, err
		}
		if a.Refused {
			return host.Terms{}, refusal(p.Name, a)
		}
		if err := add(&all, a.Terms); err != nil {
			return host.Terms{}, host.Errorf(host.Unavailable, "plugin "+p.Name+" failed", "on_login: %w", err)
		}
		if !all.Absolute.IsZero() {
			call.Terms.Absolute = all.Absolute
		}
		if !all.Idle.IsZero() {
			call.Terms.Idle = all.Idle
		}
		if call.Terms.Absolute.Before(call.Terms.Idle) {
			call.Terms.Idle = call.Terms.Absolute
		}
	}
	return all, nil
}

// refusal is the answer to a login that a plugin refused.
func refusal(plugin string, a host.Admission) error {
	kind := a.Kind
	if kind != host.Unauthenticated && kind != host.TooManyRequests {
		kind = host.Forbidden
	}
	return &host.Error{Kind: kind, Public: a.Reason, Plugin: plugin, Headers: a.Headers}
}

// add puts what one more plugin said to what the others did.
func add(all *host.Terms, t host.Terms) error {
	if !t.Idle.IsZero() {
		all.Idle = t.Idle
	}
	if !t.Absolute.IsZero() {
		all.Absolute = t.Absolute
	}
	for name, value := range t.Attributes {
		if _, twice := all.Attributes[name]; twice {
			return fmt.Errorf("attribute %q is set by another plugin too", name)
		}
		if all.Attributes == nil {
			all.Attributes = map[string]string{}
		}
		all.Attributes[name] = value
	}
	return host.CheckAttributes(all.Attributes)
}
