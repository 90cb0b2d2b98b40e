package admin

import (
	"errors"
	"mime"
	"net/http"

	"github.com/authhost/authhost/host"
)

// introspection is the answer about a token (RFC 7662, section 2.2), with
// members of our own. Of one that is not active nothing else is told.
type introspection struct {
	Active     bool     `json:"active"`
	Subject    string   `json:"sub,omitempty"`
	Issuer     string   `json:"iss,omitempty"`
	Expires    int64    `json:"exp,omitempty"` // seconds since 1970
	IssuedAt   int64    `json:"iat,omitempty"`
	UserID     string   `json:"user_id,omitempty"`
	Realm      string   `json:"realm,omitempty"`
	Roles      []string `json:"roles,omitzero"`
	Groups     []string `json:"groups,omitzero"`
	SessionID  string   `json:"session_id,omitempty"`
	Credential string   `json:"credential,omitempty"` // kind: session, jwt
}

// identifyClient finds out which introspection client calls.
func (x *exchange) identifyClient() error {
	if who := x.Clients.presented(x.Request.Header); who != nil {
		for _, r := range x.Realms {
			if r.Name == who.Realm {
				x.caller = caller{client: who.ID, realm: r}
				return nil
			}
		}
	}
	x.w.Header().Set("WWW-Authenticate", `Basic realm="introspection", charset="UTF-8"`)
	return &host.Error{Kind: host.Unauthenticated, Public: "no such client"}
}

// introspect is POST /v1/introspect: 200 and whether a token counts in the
// client's realm. A token that is unknown, malformed or of another realm is
// not active; one that cannot be judged now is 503.
func (x *exchange) introspect() error {
	token, err := x.formToken()
	if err != nil {
		return err
	}
	realm := x.grant.realm
	found, _ := realm.Bearer.Find(&host.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}, nil)
	if len(found) != 1 {
		return x.reply(introspection{})
	}
	v, err := judge(x.ctx, realm, found[0])
	if err != nil {
		return err
	}
	if v.Verdict != host.Valid {
		return x.reply(introspection{})
	}
	if v.Touch != nil { // who asks lets the token's user in
		v.Touch(x.ctx)
	}
	id := v.Identity
	answer := introspection{
		Active: true, Subject: id.Subject, Issuer: id.Issuer, Expires: id.Expires.Unix(), UserID: id.UserID, Realm: id.Realm,
		Roles: list(id.Roles), Groups: list(id.Groups), SessionID: id.SessionID, Credential: found[0].Kind.String(),
	}
	if !id.IssuedAt.IsZero() {
		answer.IssuedAt = id.IssuedAt.Unix()
	}
	return x.reply(answer)
}

const maxForm = 64 << 10 // bytes

// formToken returns the form's token. The URL's query is not looked at: a
// token there would be in everybody's log.
func (x *exchange) formToken() (string, error) {
	bad := func(cause error) error {
		return &host.Error{Kind: host.BadRequest, Public: "bad_form", Cause: cause}
	}
	if kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return "", bad(errors.New("not application/x-www-form-urlencoded"))
	}
	x.r.Body = http.MaxBytesReader(x.w, x.r.Body, maxForm)
	if err := x.r.ParseForm(); err != nil {
		// The error may quote the form.
		return "", bad(errors.New("the form cannot be read"))
	}
	if given := x.r.PostForm["token"]; len(given) == 1 {
		return given[0], nil
	}
	return "", bad(errors.New("not one token"))
}
