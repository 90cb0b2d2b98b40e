package cases

import (
	"encoding/json"
	"net/textproto"

	"github.com/authhost/authhost/host"
)

func readIdentity(v value, call *host.Call) {
	if !v.there() {
		return // anonymous
	}
	f := v.fields("user_id", "issuer", "sub", "roles", "groups", "email", "session_id", "credential", "claims", "expires")
	id := &host.Identity{
		Realm: call.Realm, Issuer: f["issuer"].or(defaultIssuer), Subject: f["sub"].or(defaultSubject),
		Roles: f["roles"].texts(), Groups: f["groups"].texts(), Email: f["email"].text(),
		SessionID: f["session_id"].text(), Expires: f["expires"].time(call.Now.Add(defaultLife)),
	}
	id.UserID = f["user_id"].or(host.UserID(id.Realm, id.Issuer, id.Subject))
	if claims := f["claims"]; claims.there() {
		if err := json.Unmarshal(claims.json(), &id.Claims); err != nil || id.Claims == nil {
			claims.fail("must be a mapping, such as {key: value}")
		}
	}
	call.Identity = id
	call.Credential = host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT}
	if credential := f["credential"]; credential.there() {
		call.Credential = readCredential(credential.fields("source", "name", "kind"))
	}
	call.Found = []host.Credential{call.Credential}
}

// readCredential reads what a credential is, which never includes its value:
// plugins are not shown it.
func readCredential(f map[string]value) host.Credential {
	c := host.Credential{
		Source: choice(f["source"], 0, host.FromHeader, host.FromCookie, host.FromQuery),
		Kind:   choice(f["kind"], host.JWT, host.JWT, host.Session, host.AccessToken, host.Malformed),
	}
	if !f["source"].there() {
		f["source"].fail("is required")
	}
	switch c.Source {
	case host.FromHeader:
		c.Name = textproto.CanonicalMIMEHeaderKey(f["name"].or("Authorization"))
	case host.FromCookie, host.FromQuery:
		c.Name = f["name"].need()
	}
	return c
}

func readCandidates(v value, call *host.Call) {
	items := v.items()
	if len(items) == 0 {
		v.fail("is required: the credentials of the request, in the realm's order")
	}
	for _, item := range items {
		f := item.fields("source", "name", "kind", "verdict", "user_id")
		c := readCredential(f)
		call.Found = append(call.Found, c)
		call.Candidates = append(call.Candidates, host.Candidate{
			Source: c.Source, Name: c.Name, Kind: c.Kind, UserID: f["user_id"].text(),
			Verdict: choice(f["verdict"], host.Untried, host.Untried, host.BadForm, host.BadSignature, host.Expired, host.NotYetValid,
				host.WrongIssuer, host.WrongAudience, host.Unknown, host.Revoked),
		})
	}
}
