package token_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

// at returns a NumericDate that far from now.
func at(d time.Duration) int64 { return start.Add(d).Unix() }

func TestClaims(t *testing.T) {
	v := mustNew(t, fromFile(t, nil)) // leeway 30 s, at most 24 h
	huge := json.Number("1e999")
	for name, c := range map[string]struct {
		changes map[string]any
		want    host.Verdict
	}{
		"good": {nil, host.Valid},

		"sub missing": {map[string]any{"sub": nil}, host.BadForm}, "sub empty": {map[string]any{"sub": ""}, host.BadForm},
		"sub a number": {map[string]any{"sub": 7}, host.BadForm}, "sub a list": {map[string]any{"sub": []string{"alice"}}, host.BadForm},
		"sub unreadable": {map[string]any{"sub": "\ufffd"}, host.BadForm},
		"iss missing":    {map[string]any{"iss": nil}, host.BadForm}, "iss empty": {map[string]any{"iss": ""}, host.BadForm},
		"iss a list": {map[string]any{"iss": []string{issuerName}}, host.BadForm},

		"exp missing": {map[string]any{"exp": nil}, host.BadForm}, "exp a text": {map[string]any{"exp": "1893553445"}, host.BadForm},
		"exp true": {map[string]any{"exp": true}, host.BadForm}, "exp negative": {map[string]any{"exp": -1}, host.BadForm},
		"exp out of range": {map[string]any{"exp": 1e15}, host.BadForm}, "dates out of range": {map[string]any{"iat": 1e15, "exp": 1e15}, host.BadForm}, "exp infinite": {map[string]any{"exp": huge}, host.BadForm},
		"exp fraction": {map[string]any{"exp": float64(at(time.Minute)) + .5}, host.Valid}, "exp zero": {map[string]any{"exp": 0}, host.Expired},
		"exp exponent": {map[string]any{"exp": json.Number("1.893555e9"), "iat": nil}, host.Valid},
		"expired":      {map[string]any{"exp": at(-30 * time.Second)}, host.Expired}, "within leeway": {map[string]any{"exp": at(-29 * time.Second)}, host.Valid},

		"nbf now": {map[string]any{"nbf": at(0)}, host.Valid}, "nbf within leeway": {map[string]any{"nbf": at(30 * time.Second)}, host.Valid},
		"nbf ahead":   {map[string]any{"nbf": at(31 * time.Second)}, host.NotYetValid},
		"nbf a text":  {map[string]any{"nbf": "now"}, host.BadForm},
		"iat missing": {map[string]any{"iat": nil}, host.Valid}, "iat within leeway": {map[string]any{"iat": at(30 * time.Second)}, host.Valid},
		"iat ahead": {map[string]any{"iat": at(31 * time.Second)}, host.NotYetValid}, "iat false": {map[string]any{"iat": false}, host.BadForm},
		"iat infinite": {map[string]any{"iat": huge}, host.BadForm},

		"made for a day":               {map[string]any{"exp": at(24 * time.Hour)}, host.Valid},
		"made for more":                {map[string]any{"exp": at(24*time.Hour + time.Second)}, host.BadForm},
		"made for more, nearly over":   {map[string]any{"iat": at(-24 * time.Hour), "exp": at(time.Second)}, host.BadForm},
		"no iat, a day left":           {map[string]any{"iat": nil, "exp": at(24 * time.Hour)}, host.Valid},
		"no iat, more left":            {map[string]any{"iat": nil, "exp": at(24*time.Hour + time.Second)}, host.BadForm},
		"exp before iat":               {map[string]any{"iat": at(0), "exp": at(-time.Hour)}, host.Expired},
		"malformed before expired":     {map[string]any{"exp": at(-time.Hour), "sub": nil}, host.BadForm},
		"expired before not yet valid": {map[string]any{"exp": at(-time.Hour), "nbf": at(time.Hour)}, host.Expired},
		"expired before audience":      {map[string]any{"exp": at(-time.Hour), "aud": "x"}, host.Expired},
		"not yet valid before audience": {map[string]any{"nbf": at(time.Hour), "aud": "x"},
			host.NotYetValid},
	} {
		t.Run(name, func(t *testing.T) { wantVerdict(t, v, rs256(t, c.changes), c.want) })
	}
	null := claims(nil)
	null["iat"] = nil
	wantVerdict(t, v, sign(t, jwt.SigningMethodRS256, keys().rsa, map[string]any{"alg": "RS256"}, null), host.BadForm)
}

// A signed token that was made for too long does not count, but says whom it
// is of: a logout can end it, and it does not stand in for another user.
func TestMadeForTooLong(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	for name, changes := range map[string]map[string]any{
		"by its iat":  {"exp": at(25 * time.Hour)},
		"without iat": {"iat": nil, "exp": at(25 * time.Hour)},
	} {
		got := verdict(t, v, rs256(t, changes))
		if got.Verdict != host.BadForm || got.Identity == nil || got.Identity.Subject != "alice" || got.Identity.TokenKey == "" || got.Identity.Expires.IsZero() {
			t.Errorf("%s: %s of %+v", name, got.Verdict, got.Identity)
		}
	}
	for name, changes := range map[string]map[string]any{"no sub": {"sub": nil}, "no exp": {"exp": nil}, "iat a text": {"iat": "now"}} {
		if got := verdict(t, v, rs256(t, changes)); got.Verdict != host.BadForm || got.Identity != nil {
			t.Errorf("%s: %s of %+v", name, got.Verdict, got.Identity)
		}
	}
}

// An empty set is no verdict on anybody's token.
func TestEmptySetIsNoVerdict(t *testing.T) {
	p := newIDP(t, jwks(t))
	o, c := fromURL(p)
	v := mustNew(t, o)
	wantUnavailable(t, v, rs256(t, nil))
	p.set(200, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	c.advance(time.Minute)
	wantVerdict(t, v, rs256(t, nil), host.Valid)
}

// What two readers could read differently names nobody.
func TestPayloadIsReadOneWayOnly(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	tail := fmt.Sprintf(`"iss":%q,"aud":%q,"exp":%d}`, issuerName, audience, at(time.Hour))
	for name, c := range map[string]struct {
		payload string
		want    host.Verdict
	}{
		"plain":                   {`{"sub":"alice",` + tail, host.Valid},
		"blanks":                  {" {\n\"sub\" : \"alice\" ,\t" + tail + " \n", host.Valid},
		"colons and quotes":       {`{"sub":"a:{\"x\":[\\","o":{"sub":"x","sub":"y"},` + tail, host.Valid},
		"claim twice":             {`{"sub":"alice","sub":"mallory",` + tail, host.BadForm},
		"claim twice, escaped":    {`{"sub":"alice","s\u0075b":"mallory",` + tail, host.BadForm},
		"iss twice":               {`{"sub":"alice","iss":"https://evil.example",` + tail, host.BadForm},
		"letter case":             {`{"SUB":"alice",` + tail, host.BadForm},
		"invalid UTF-8":           {"{\"sub\":\"alice\xff\"," + tail, host.BadForm},
		"invalid UTF-8 elsewhere": {"{\"sub\":\"alice\",\"x\":\"\xff\"," + tail, host.BadForm},
		"half a surrogate":        {`{"sub":"alice\ud800",` + tail, host.BadForm},
		"half a surrogate, pair":  {`{"sub":"alice\ud83d\ude00",` + tail, host.Valid},
		"rest after the object":   {`{"sub":"alice",` + tail + `x`, host.BadForm},
		"cut short":               {`{"sub":"alice",` + tail[:len(tail)-1], host.BadForm},
		"comma too many":          {`{"sub":"alice",,` + tail, host.BadForm},
		"comment":                 {`{"sub":"alice"/**/,` + tail, host.BadForm},
		"byte order mark":         {"\ufeff{\"sub\":\"alice\"," + tail, host.BadForm},
	} {
		t.Run(name, func(t *testing.T) {
			signed := part(map[string]any{"alg": "RS256", "kid": "k1"}) + "." + base64.RawURLEncoding.EncodeToString([]byte(c.payload))
			wantVerdict(t, v, signRaw(t, jwt.SigningMethodRS256, keys().rsa, signed), c.want)
		})
	}
}

func TestIdentity(t *testing.T) {
	v := mustNew(t, fromFile(t, func(o *token.IssuerOptions) { o.SkipRevocation = true }))
	tok := rs256(t, map[string]any{
		"roles": []string{"viewer", "editor"}, "groups": "platform team", "email": "alice@example.com", "email_verified": true,
		"n": json.Number("9007199254740993"), "exp": float64(at(time.Hour)) + .25,
	})
	id := verdict(t, v, tok).Identity
	if id == nil {
		t.Fatal("nobody")
	}
	if id.Realm != realmName || id.Issuer != issuerName || id.Subject != "alice" || id.UserID != host.UserID(realmName, issuerName, "alice") {
		t.Errorf("who: %+v", id)
	}
	if !slices.Equal(id.Roles, []string{"viewer", "editor"}) || !slices.Equal(id.Groups, []string{"platform team"}) || id.Email != "alice@example.com" {
		t.Errorf("what: %+v", id)
	}
	if !id.IssuedAt.Equal(start) || !id.Expires.Equal(start.Add(time.Hour+250*time.Millisecond)) || id.Leeway != 30*time.Second || !id.SkipRevocation || id.SessionID != "" {
		t.Errorf("when: %+v", id)
	}
	if n := id.Claims["n"]; n != json.Number("9007199254740993") {
		t.Errorf("a large number became %v", n)
	}
	if again := verdict(t, v, tok).Identity; again != id {
		t.Error("a remembered token has another identity")
	}
	if id := verdict(t, v, rs256(t, map[string]any{"iat": nil})).Identity; !id.IssuedAt.IsZero() {
		t.Errorf("issued at %v without iat", id.IssuedAt)
	}
}

// Whom a token names is known as long as its signature is good: a logout may
// be asked for with an expired one.
func TestIdentityOfOneThatDoesNotCount(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	want := verdict(t, v, rs256(t, map[string]any{"jti": "x"})).Identity
	for verd, changes := range map[host.Verdict]map[string]any{
		host.Expired:       {"exp": at(-time.Hour), "iat": at(-2 * time.Hour)},
		host.NotYetValid:   {"nbf": at(10 * time.Minute)},
		host.WrongAudience: {"aud": "billing"},
	} {
		changes = maps.Clone(changes)
		changes["jti"] = "x"
		tok := rs256(t, changes)
		for range 2 {
			wantVerdict(t, v, tok, verd)
		}
		if id := verdict(t, v, tok).Identity; id.UserID != want.UserID || id.TokenKey != want.TokenKey || id.Expires.IsZero() {
			t.Errorf("%s: %+v", verd, id)
		}
		wantVerdict(t, v, mangle(tok, 2), host.BadSignature)
	}
}

func TestTokenKey(t *testing.T) {
	o := fromFile(t, nil)
	second := o.Issuers[0]
	second.Issuer = issuerName + "/2"
	o.Issuers = append(o.Issuers, second)
	v := mustNew(t, o)
	key := func(changes map[string]any) string { return verdict(t, v, rs256(t, changes)).Identity.TokenKey }

	byID := key(map[string]any{"jti": "x"})
	if !strings.HasPrefix(byID, "jti:") || byID != key(map[string]any{"jti": "x", "sub": "bob"}) {
		t.Errorf("jti x has key %q, and another in another token", byID)
	}
	for name, changes := range map[string]map[string]any{
		"another jti": {"jti": "y"}, "another issuer": {"jti": "x", "iss": second.Issuer},
		"no jti": nil, "jti a number": {"jti": 7}, "jti empty": {"jti": ""},
	} {
		if got := key(changes); got == byID {
			t.Errorf("%s: the same key", name)
		}
	}
	if key(map[string]any{"iss": second.Issuer, "jti": "x"}) == key(map[string]any{"jti": "/2x"}) {
		t.Error("issuer and jti run into one another")
	}
	if a, b := key(nil), key(map[string]any{"sub": "bob"}); !strings.HasPrefix(a, "tok:") || a == b {
		t.Errorf("two tokens without jti: %q and %q", a, b)
	}

	// One signed part may carry several good signatures: it is one token.
	es := mustNew(t, fromFile(t, func(o *token.IssuerOptions) {
		o.Algorithms, o.JWKSFile = []string{"ES256"}, tempFile(t, jwks(t, jwk(t, "k1", keys().p256, nil)))
	}))
	again := func() string {
		tok := sign(t, jwt.SigningMethodES256, keys().p256, map[string]any{"alg": "ES256"}, claims(nil))
		return verdict(t, es, tok).Identity.TokenKey
	}
	if a, b := again(), again(); a != b {
		t.Errorf("keys %q and %q for one signed part", a, b)
	}
}

func TestEmailOnlyWhenVerified(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	for _, verified := range []any{nil, false, "true", 1, []bool{true}} {
		id := verdict(t, v, rs256(t, map[string]any{"email": "alice@example.com", "email_verified": verified})).Identity
		if id.Email != "" {
			t.Errorf("email_verified %v: %s", verified, id.Email)
		}
	}
	if id := verdict(t, v, rs256(t, map[string]any{"email": []string{"a@b"}, "email_verified": true})).Identity; id.Email != "" {
		t.Errorf("a list is %s", id.Email)
	}
}

func TestRolesClaim(t *testing.T) {
	all := map[string]any{
		"roles":        []any{"viewer", "editor"},
		"one":          "team lead",
		"none":         "",
		"mixed":        []any{"viewer", 7},
		"number":       7,
		"object":       map[string]any{"admin": true},
		"gaps":         []any{"", "viewer", ""},
		"realm_access": map[string]any{"roles": []any{"admin"}, "a/b": "slash", "m~n": "tilde", "": "unnamed"},
		"list":         []any{map[string]any{"role": "first"}, "second"},
		"https://idp.example/roles": []any{
			"named like a URL"},
	}
	for claim, want := range map[string][]string{
		"": {"viewer", "editor"}, "roles": {"viewer", "editor"}, "/roles": {"viewer", "editor"},
		"one": {"team lead"}, "none": nil, "mixed": nil, "number": nil, "object": nil, "absent": nil, "gaps": {"viewer"},
		"/realm_access/roles": {"admin"}, "realm_access/roles": nil, "realm_access.roles": nil, "/realm_access": nil,
		"/realm_access/a~1b": {"slash"}, "/realm_access/m~0n": {"tilde"}, "/realm_access/": {"unnamed"},
		"/realm_access/roles/0": {"admin"}, "/realm_access/roles/1": nil, "/realm_access/roles/-": nil, "/realm_access/roles/00": nil,
		"/list/0/role": {"first"}, "/list/1": {"second"}, "/list/1/x": nil, "/absent/roles": nil,
		"https://idp.example/roles": {"named like a URL"},
	} {
		t.Run(claim, func(t *testing.T) {
			v := mustNew(t, fromFile(t, func(o *token.IssuerOptions) { o.RolesClaim = claim }))
			if got := verdict(t, v, rs256(t, all)).Identity.Roles; !slices.Equal(got, want) {
				t.Errorf("roles %q, want %q", got, want)
			}
		})
	}
}
