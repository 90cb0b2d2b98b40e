package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Who runs authhost is told what of a token is wrong where the verdict alone
// leaves it open, and is quoted nothing of it.
func TestWhy(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	good := rs256(t, nil)
	rsa := func(header map[string]any) string {
		return sign(t, jwt.SigningMethodRS256, keys().rsa, header, claims(nil))
	}
	for tok, want := range map[string]string{
		good:                                 "",
		strings.Repeat("a", 16<<10) + ".b.c": "longer",
		"a.b.c":                              "no signed JWT",
		rs256(t, map[string]any{"iss": "https://other.example"}):         "iss",
		rsa(map[string]any{"alg": "RS512", "kid": "k1"}):                 "alg",
		rsa(map[string]any{"alg": "RS256", "kid": "k2"}):                 "key set",
		good[:strings.LastIndex(good, ".")+1] + strings.Repeat("A", 342): "signature",
		rs256(t, map[string]any{"sub": nil}):                             "sub",
		rs256(t, map[string]any{"exp": "soon"}):                          "exp",
		rs256(t, map[string]any{"iat": "now"}):                           "iat",
		rs256(t, map[string]any{"nbf": "now"}):                           "nbf",
		rs256(t, map[string]any{"exp": at(25 * time.Hour)}):              "max_token_life",
		rs256(t, map[string]any{"aud": "other"}):                         "aud",
		rs256(t, map[string]any{"exp": at(-time.Hour)}):                  "",
	} {
		got := verdict(t, v, tok)
		if want == "" && got.Why != "" || !strings.Contains(got.Why, want) || strings.Contains(got.Why, "other") {
			t.Errorf("%s: %q, want something of %q", got.Verdict, got.Why, want)
		}
	}
}
