package token_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

// Nobody but the holder of the key makes a token that names somebody.
func FuzzValidate(f *testing.F) {
	good := rs256(f, nil)
	for _, seed := range []string{
		good, "", ".", "..", "...", "a.b.c", good + ".", mangle(good, 0), mangle(good, 1), mangle(good, 2),
		part(map[string]any{"alg": "none"}) + "." + part(claims(nil)) + ".",
		part(map[string]any{"alg": "RS256", "crit": []string{"b64"}, "b64": false}) + "." + part(claims(nil)) + ".AAAA",
		part(map[string]any{"alg": "RS256", "kid": "../../x"}) + "." + part(claims(map[string]any{"exp": 1e300})) + ".AAAA",
		part(map[string]any{"alg": 1}) + "." + part([]int{}) + ".AAAA",
		strings.Repeat(".", 100), strings.Repeat("A", 20_000),
	} {
		f.Add(seed)
	}
	o := fromFile(f, nil)
	o.Remember = -1
	v := mustNew(f, o)
	f.Fuzz(func(t *testing.T, tok string) {
		got := verdict(t, v, tok)
		switch {
		case got.Verdict == host.Untried || got.Verdict > host.WrongAudience:
			t.Fatalf("verdict %d", got.Verdict)
		case tok != good && (got.Verdict == host.Valid || got.Identity != nil):
			t.Fatalf("%q is %s as %+v", tok, got.Verdict, got.Identity)
		}
	})
}

// Whatever claims an issuer signs, they are judged, and a valid token has an
// identity that is complete.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"iss":"https://idp.example","sub":"alice","aud":"console","exp":1893556800,"iat":1893553445}`,
		`{"iss":"https://idp.example","sub":"a","aud":["console"],"exp":1893556800.5,"roles":["x"],"jti":"1"}`,
		`{"iss":"https://idp.example","sub":"a","aud":"console","exp":1e99}`, `{"a":{"b":":"},"c":"\"{"}`, `null`, `[]`, `{`, `{}{}`,
		`{"sub":"a","sub":"b"}`, `{"":{"":[[[]]]}}`,
	} {
		f.Add(seed)
	}
	o := fromFile(f, func(i *token.IssuerOptions) {
		i.Algorithms, i.JWKSFile, i.RolesClaim = []string{"EdDSA"}, tempFile(f, jwks(f, jwk(f, "k1", keys().ed, nil))), "/realm/roles"
	})
	o.Remember = -1
	v := mustNew(f, o)
	header := part(map[string]any{"alg": "EdDSA"})
	f.Fuzz(func(t *testing.T, payload string) {
		tok := signRaw(t, jwt.SigningMethodEdDSA, keys().ed, header+"."+base64.RawURLEncoding.EncodeToString([]byte(payload)))
		got := verdict(t, v, tok)
		named := got.Identity != nil
		if want := got.Verdict == host.Valid || got.Verdict == host.Expired || got.Verdict == host.NotYetValid || got.Verdict == host.WrongAudience; named != want && got.Verdict != host.BadForm {
			t.Fatalf("%s with identity %v", got.Verdict, got.Identity)
		}
		if named && (got.Identity.Subject == "" || got.Identity.UserID == "" || got.Identity.TokenKey == "" || got.Identity.Expires.IsZero()) {
			t.Fatalf("incomplete: %+v", got.Identity)
		}
		if got.Verdict == host.BadSignature || len(tok) > 16<<10 && named {
			t.Fatalf("%s of %d bytes", got.Verdict, len(tok))
		}
	})
}

// What is read from an issuer is judged, whatever it is.
func FuzzKeySet(f *testing.F) {
	for _, seed := range [][]byte{
		jwks(f, jwk(f, "k1", keys().rsa2, nil), jwk(f, "k2", keys().p256, nil), jwk(f, "k3", keys().ed, nil)), jwks(f), nil,
		[]byte(`{"keys":[{"kty":"RSA","kid":"k1","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`),
		[]byte(`{"keys":[null,1,"x",[],{},{"kty":"oct","k":"AAAA"},{"kty":"RSA","kid":"k1","n":"","e":""}]}`), []byte(`{"keys":{}}`),
	} {
		f.Add(seed)
	}
	tok := rs256(f, nil) // by a key that is in no seed
	o, _ := fromURL(&idp{Server: &httptest.Server{URL: "http://idp.test/"}})
	o.Remember = -1
	f.Fuzz(func(t *testing.T, set []byte) {
		o.HTTPClient = &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(set))}, nil
		})}
		got, err := mustNew(t, o).Validate(t.Context(), tok)
		if kind, _ := host.Explain(err); err != nil && kind != host.Unavailable {
			t.Fatal(err)
		}
		if err == nil && got.Verdict != host.BadSignature {
			t.Fatalf("a stranger's set verifies: %q", set)
		}
	})
}
