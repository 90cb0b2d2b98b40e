package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/authhost/authhost/host"
)

// identifyAtHome finds out who calls in the realm that Host names.
func (x *exchange) identifyAtHome() error {
	if x.route == nil { // what there is on the public listener is no secret
		return nil
	}
	if x.Home == nil {
		return &host.Error{Kind: host.BadRequest, Public: "unknown_host"}
	}
	x.event.Realm = x.Home.Name
	if err := x.try(x.Home); err != nil {
		return err
	}
	return x.called()
}

// identifyAnywhere finds out who calls: an operator, or else whom a realm
// knows by the first credential that it finds. A realm that cannot tell is an
// error unless the realm of the user concerned can.
func (x *exchange) identifyAnywhere() error {
	if name, ok := x.Operators.Name(bearer(x.Request.Header)); ok {
		x.caller = caller{operator: name}
		return nil
	}
	var failed error
	for _, realm := range x.Realms {
		if err := x.try(realm); err != nil && failed == nil {
			failed = err
		}
	}
	if failed != nil && (x.caller.realm == nil || !host.IsUserIDOf(x.named.user, x.caller.realm.Name)) {
		return failed
	}
	return x.called()
}

// bearer returns the token of the one Authorization header; empty if there is
// none or not one.
func bearer(h http.Header) string {
	if lines := h["Authorization"]; len(lines) == 1 {
		if scheme, token, _ := strings.Cut(lines[0], " "); strings.EqualFold(scheme, "Bearer") {
			return strings.TrimLeft(token, " ")
		}
	}
	return ""
}

// try asks one realm who calls. Of several that know, the realm of the user
// concerned counts. The record tells of the try that counts, else of the one
// that found a name, else of the first.
func (x *exchange) try(realm *Realm) error {
	found, _ := realm.Finder.Find(x.Request, nil)
	if len(found) == 0 {
		return nil
	}
	c := found[0]
	v, err := judge(x.ctx, realm, c)
	if err != nil {
		return err
	}
	known := x.caller.identity != nil
	if v.Verdict == host.Valid && (!known || host.IsUserIDOf(x.named.user, realm.Name)) {
		x.caller = caller{realm: realm, credential: c, identity: v.Identity, touch: v.Touch}
	} else if known || len(x.event.Tried) > 0 && (v.Identity == nil || v.Verdict == host.WrongAudience) {
		return nil
	}
	x.event.Tried = []host.Tried{{Credential: c, Verdict: v.Verdict, Why: v.Why}}
	return nil
}

// called requires that somebody was found, and that it was not another site
// that sent the cookie.
func (x *exchange) called() error {
	c := &x.caller
	if c.identity == nil {
		return &host.Error{Kind: host.Unauthenticated, Public: "no valid credential"}
	}
	x.event.Realm = c.realm.Name
	x.event.Decision.Identity, x.event.Decision.Credential = c.identity, c.credential
	if c.credential.Source == host.FromCookie && x.Request.CrossOrigin() {
		return &host.Error{Kind: host.Forbidden, Public: "cross_origin"}
	}
	if c.touch != nil {
		c.touch(x.ctx)
	}
	return nil
}

// judge judges one credential and asks about its revocation. An error means
// that there is no verdict; with Valid there is an identity of the realm.
func judge(ctx context.Context, realm *Realm, c host.Credential) (v host.Validation, err error) {
	switch c.Kind {
	case host.JWT:
		v, err = realm.Tokens.Validate(ctx, c.Value)
	case host.Session:
		v, err = realm.Sessions.Resolve(ctx, c.Value)
	case host.AccessToken:
		v.Verdict = host.Unknown
	default:
		v.Verdict = host.BadForm
	}
	if err != nil || v.Verdict != host.Valid {
		return v, err
	}
	if v.Identity == nil || v.Identity.Realm != realm.Name {
		return host.Validation{}, errors.New("a valid credential that names nobody of its realm")
	}
	if c.Kind == host.JWT {
		revoked, err := realm.Sessions.Revoked(ctx, v.Identity)
		if err != nil {
			return host.Validation{}, err
		}
		if revoked {
			v.Verdict = host.Revoked
		}
	}
	return v, nil
}
