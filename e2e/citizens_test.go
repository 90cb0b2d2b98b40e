package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
)

// citizen is a user of a realm, with a JWT and two sessions.
type citizen struct {
	realm, id, jwt string
	session, spare entry
	access         access
}

// citizens are a host of two realms and who there is in them.
type citizens struct {
	*authhost
	idp   *issuer
	bad   map[string][]string
	all   map[string]*citizen // by the name that a row has for them
	made  int
	cells int

	unknown string // the one answer to whoever is not known
}

func newCitizens(t *testing.T) *citizens {
	t.Helper()
	s, idp := startShared(t, "file"), newIssuer(t)
	h := serveAll(t, 1, fmt.Sprintf(`
realms:
  - {name: main, hosts: [main.example], issuers: [{issuer: %[1]q, audiences: [main], jwks_url: %[1]q}]}
  - {name: other, hosts: [other.example], issuers: [{issuer: %[1]q, audiences: [other], jwks_url: %[1]q}]}
`, idp.url)+s.config(s.at, 0)+open)[0]
	c := &citizens{authhost: h, idp: idp, all: map[string]*citizen{}}
	for _, name := range []string{"ALICE", "BOB", "CAROL", "DAVE", "ERIN", "GONE", "BANNED", "UNSEEN"} {
		c.renew(t, name)
	}
	c.bad = c.unaccepted(t)
	return c
}

// renew puts somebody nobody knew in the place of a name.
func (c *citizens) renew(t *testing.T, name string) {
	t.Helper()
	c.made++
	realm, sub := "main", fmt.Sprint(strings.ToLower(name), c.made)
	if name == "DAVE" || name == "ERIN" {
		realm = "other"
	}
	roles := []string{"viewer"}
	if name == "CAROL" || name == "ERIN" {
		roles = []string{"admin"}
	}
	p := &citizen{realm: realm, access: untouched}
	c.all[name] = p
	if name == "UNSEEN" {
		p.id, p.access = host.UserID(realm, c.idp.url, sub), loggedOut
		return
	}
	p.jwt = c.idp.token(t, sub, map[string]any{"aud": realm, "roles": roles})
	p.session = c.login(t, p.jwt, "Host", realm+".example")
	p.spare = c.login(t, p.jwt, "Host", realm+".example")
	p.id = p.session.userID
	path, by := "/v1/users/"+p.id, "" // who deactivates
	switch name {
	case "GONE":
		by = c.all["CAROL"].jwt
	case "BANNED":
		path, by = operatorPath(p.id), operatorToken
	default:
		return
	}
	if a := ask(t, "POST", c.admin+path+"/deactivate", bearer(by)...); a.status != http.StatusNoContent {
		t.Fatalf("deactivate %s: %s", name, a)
	}
	p.access = shutOut
}

// unaccepted are credentials that count for nothing. Were one honoured, it would
// be that of the realm's admin, or the operator's.
func (c *citizens) unaccepted(t *testing.T) map[string][]string {
	t.Helper()
	carol := c.all["CAROL"]
	admin := func(changes map[string]any) map[string]any {
		claims := map[string]any{"aud": "main", "roles": []string{"admin"}}
		maps.Copy(claims, changes)
		return claims
	}
	sub := fmt.Sprint("carol", c.made+1)
	expired := c.idp.token(t, sub, admin(map[string]any{"iat": inHours(-2), "exp": inHours(-1)}))
	left := c.idp.token(t, sub, admin(map[string]any{"jti": "left"}))
	ended := c.login(t, left, "Host", "main.example")
	c.logout(t, append(bearer(left), append(cookie(ended.token), "Host", "main.example")...)...)
	made := strangers{issuer: c.idp.url}
	made.take(t, carol.session.token)
	guessed := forge(t, made.user, made.public, random(25))
	return map[string][]string{
		"garbage":                    bearer("garbage"),
		"garbage in the cookie":      cookie("garbage"),
		"expired JWT":                bearer(expired),
		"expired before a good one":  append(bearer(expired), cookie(carol.session.token)...),
		"JWT of another's key":       bearer(sign(t, jwt.SigningMethodRS256, c.idp.other, c.idp.claims(sub, admin(nil)))),
		"JWT for elsewhere":          bearer(c.idp.token(t, sub, admin(map[string]any{"aud": "elsewhere"}))),
		"logged out JWT":             bearer(left),
		"logged out session":         bearer(ended.token),
		"guessed session":            bearer(guessed),
		"most of an operator token":  bearer(operatorToken[1:]),
		"operator token, Basic":      {"Authorization", "Basic " + operatorToken},
		"operator token, elsewhere":  {"X-Auth-Token", operatorToken},
		"operator token, in cookie":  cookie(operatorToken),
		"operator token and garbage": bearer(operatorToken + ", Bearer garbage"),
	}
}

// credentials are the ways in which a caller presents himself.
func (c *citizens) credentials(name string) map[string][]string {
	switch name {
	case "nobody":
		return map[string][]string{"nothing": nil}
	case "bad":
		return c.bad
	case "ann":
		return map[string][]string{"operator token": bearer(operatorToken)}
	}
	p := c.all[strings.ToUpper(name)]
	return map[string][]string{
		"JWT":               bearer(p.jwt),
		"session":           bearer(p.session.token),
		"session, X-Auth":   {"X-Auth-Token", p.session.token},
		"session in cookie": cookie(p.session.token),
	}
}

// stands asks what a user still has: the operator's view of him, and
// whether his credentials count.
func (c *citizens) stands(t *testing.T, p *citizen) access {
	t.Helper()
	a := get(t, c.admin+"/v1/system/realms/"+p.realm+"/users/"+p.id, bearer(operatorToken)...)
	var shown struct {
		Active   bool
		Sessions int
	}
	if err := json.Unmarshal([]byte(a.body), &shown); err != nil || a.status != http.StatusOK {
		t.Fatalf("the user: %s", a)
	}
	counts := func(token string) bool {
		if token == "" {
			return false
		}
		a := c.at(t, p.realm+".example", bearer(token)...)
		if a.status != http.StatusOK && a.status != http.StatusUnauthorized {
			t.Errorf("a credential of the user: %s", a)
		}
		return a.status == http.StatusOK
	}
	return access{shown.Active, shown.Sessions, counts(p.jwt), counts(p.session.token), counts(p.spare.token)}
}
