package token_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

// remembers says whether a token is judged without its signature being
// checked: the identity of one that is remembered is the very same.
func remembers(t testing.TB, v *token.Validator, tok string) bool {
	t.Helper()
	first := verdict(t, v, tok).Identity
	return verdict(t, v, tok).Identity == first
}

func TestOnlyValidTokensAreRemembered(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	if !remembers(t, v, rs256(t, nil)) {
		t.Error("a valid token is not remembered")
	}
	for name, changes := range map[string]map[string]any{
		"expired": {"exp": at(-time.Hour)}, "not yet valid": {"nbf": at(time.Hour)}, "wrong audience": {"aud": "x"},
	} {
		if remembers(t, v, rs256(t, changes)) {
			t.Errorf("%s: remembered", name)
		}
	}
	o := fromFile(t, nil)
	o.Remember = -1
	if remembers(t, mustNew(t, o), rs256(t, nil)) {
		t.Error("remembered although told not to")
	}
}

// One that is remembered vouches for no other spelling of itself.
func TestRememberedTokenMustBeTheSame(t *testing.T) {
	v, tok := mustNew(t, fromFile(t, nil)), rs256(t, nil)
	wantVerdict(t, v, tok, host.Valid)
	wantVerdict(t, v, mangle(tok, 2), host.BadSignature)
	if got := verdict(t, v, mangle(tok, 1)).Verdict; got == host.Valid {
		t.Error("a changed payload passes")
	}
	wantVerdict(t, v, tok+"A", host.BadSignature)
}

func TestFloodOfValidTokensIsBounded(t *testing.T) {
	// EdDSA is quick to sign.
	o := fromFile(t, func(i *token.IssuerOptions) {
		i.Algorithms, i.JWKSFile = []string{"EdDSA"}, tempFile(t, jwks(t, jwk(t, "k1", keys().ed, nil)))
	})
	o.Remember = 60
	for name, c := range map[string]struct{ pad, entries int }{"short": {0, 60}, "of 4 KiB, each for three": {3000, 20}} {
		t.Run(name, func(t *testing.T) {
			v := mustNew(t, o)
			for i := range 600 {
				tok := sign(t, jwt.SigningMethodEdDSA, keys().ed, map[string]any{"alg": "EdDSA"},
					claims(map[string]any{"sub": fmt.Sprint("user", i), "pad": strings.Repeat("x", c.pad)}))
				wantVerdict(t, v, tok, host.Valid)
			}
			if n, weight := v.Remembered(); n > c.entries || n < c.entries/2 || weight > 60 {
				t.Errorf("%d tokens remembered that weigh %d, at most %d expected", n, weight, c.entries)
			}
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, c := fromURL(p)
	o.RefreshInterval, o.Remember = time.Millisecond, 16
	v := mustNew(t, o)
	running(t, v)
	eventually(t, "ready", func() bool { return v.Ready(t.Context()) == nil })
	var tokens []string
	for i := range 24 {
		tokens = append(tokens, rs256(t, map[string]any{"sub": fmt.Sprint("user", i)}))
	}
	stranger := signedBy(t, keys().rsa2, "k2")
	sets := [][]byte{
		jwks(t, jwk(t, "k1", keys().rsa, nil)),
		jwks(t, jwk(t, "k1", keys().rsa, nil), jwk(t, "k2", keys().rsa2, nil)),
	}
	var w sync.WaitGroup
	for g := range 4 {
		w.Go(func() {
			for i := range 200 {
				n := (g*7 + i) % len(tokens)
				got, err := v.Validate(t.Context(), tokens[n])
				if err != nil || got.Verdict != host.Valid || got.Identity.Subject != fmt.Sprint("user", n) {
					t.Errorf("token %d: %s, error %v", n, got.Verdict, err)
				}
				if i%20 == 0 {
					p.set(http.StatusOK, sets[i/20%2])
					c.advance(time.Second)
					_, _ = v.Validate(t.Context(), stranger)
					_ = v.Ready(t.Context())
				}
			}
		})
	}
	w.Wait()
}

func TestAttack42_a_remembered_token_outlives_its_key(t *testing.T) {
	k1, k2 := jwk(t, "k1", keys().rsa, nil), jwk(t, "k2", keys().rsa2, nil)
	// forced makes a token with an unknown kid, which has the set loaded anew.
	forced := func() string {
		return sign(t, jwt.SigningMethodRS256, keys().rsa2, map[string]any{"alg": "RS256", "kid": "new"}, claims(nil))
	}
	// refused wants a token not to count: by verdict, or because no key is left
	// to judge by.
	refused := func(t *testing.T, v *token.Validator, tok string, empty bool) {
		t.Helper()
		if empty {
			wantUnavailable(t, v, tok)
		} else {
			wantVerdict(t, v, tok, host.BadSignature)
		}
	}
	for name, after := range map[string][]byte{
		"key removed":                 jwks(t, k2),
		"set emptied":                 jwks(t),
		"kid given to another key":    jwks(t, jwk(t, "k1", keys().rsa2, nil)),
		"key no longer for signing":   jwks(t, jwk(t, "k1", keys().rsa, map[string]any{"use": "enc"})),
		"key for another algorithm":   jwks(t, jwk(t, "k1", keys().rsa, map[string]any{"alg": "PS256"})),
		"key under another name only": jwks(t, jwk(t, "k9", keys().rsa, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t, jwks(t, k1))
			o, c := fromURL(p)
			v, tok := mustNew(t, o), rs256(t, nil)
			for range 3 {
				wantVerdict(t, v, tok, host.Valid)
			}
			p.set(200, after)
			c.advance(time.Minute)
			wantVerdict(t, v, tok, host.Valid) // not known yet
			empty := name == "set emptied" || name == "key no longer for signing"
			refused(t, v, forced(), empty)
			for range 3 {
				refused(t, v, tok, empty)
			}
			p.set(200, jwks(t, k1, k2))
			c.advance(time.Minute)
			wantVerdict(t, v, forced(), host.BadSignature)
			wantVerdict(t, v, tok, host.Valid)
		})
	}
}

func TestAttack42_a_remembered_token_expires(t *testing.T) {
	c := newClock()
	o := fromFile(t, nil)
	o.Now = c.Now
	v, tok := mustNew(t, o), rs256(t, nil) // an hour, and 30 s of leeway
	wantVerdict(t, v, tok, host.Valid)
	c.advance(time.Hour + 30*time.Second - 1)
	wantVerdict(t, v, tok, host.Valid)
	c.advance(1)
	for range 3 {
		wantVerdict(t, v, tok, host.Expired)
	}
	c.advance(-2 * time.Hour) // a clock that is set back
	wantVerdict(t, v, tok, host.NotYetValid)
}

// A load that brings the same key again forgets nothing.
func TestRememberedTokenSurvivesARefresh(t *testing.T) {
	k1 := jwk(t, "k1", keys().rsa, nil)
	p := newIDP(t, jwks(t, k1))
	o, c := fromURL(p)
	v, tok := mustNew(t, o), rs256(t, nil)
	first := verdict(t, v, tok).Identity
	p.set(http.StatusOK, jwks(t, jwk(t, "k2", keys().rsa2, nil), k1))
	c.advance(token.DefaultMissInterval)
	wantVerdict(t, v, signedBy(t, keys().rsa2, "k2"), host.Valid)
	if verdict(t, v, tok).Identity != first {
		t.Error("forgotten although its key is still there")
	}
}
