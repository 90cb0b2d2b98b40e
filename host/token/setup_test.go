package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

const (
	issuerName = "https://idp.example"
	audience   = "console"
	realmName  = "main"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// keyring holds one private key of each kind, made once for all tests.
type keyring struct {
	rsa, rsa2        *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
}

var keys = sync.OnceValue(func() (k keyring) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.rsa2, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.p256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.p521, _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

// clock is a time that moves only when it is told to.
type clock struct{ nanos atomic.Int64 }

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(start.UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// jwk is a public key as an issuer publishes it; extra members are added.
func jwk(tb testing.TB, kid string, private crypto.Signer, extra map[string]any) map[string]any {
	tb.Helper()
	raw, err := jose.JSONWebKey{Key: private.Public(), KeyID: kid}.MarshalJSON()
	if err != nil {
		tb.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(raw, &m); err != nil {
		tb.Fatal(err)
	}
	maps.Copy(m, extra)
	return m
}

func jwks(tb testing.TB, list ...map[string]any) []byte {
	tb.Helper()
	if list == nil {
		list = []map[string]any{}
	}
	b, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// claims are those of a good token, changed as said; a nil value deletes.
func claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuerName, "sub": "alice", "aud": audience,
		"iat": start.Unix(), "exp": start.Add(time.Hour).Unix(),
	}
	for k, v := range changes {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// sign makes a token with exactly this header, signed by the method.
func sign(tb testing.TB, method jwt.SigningMethod, key any, header, claims map[string]any) string {
	tb.Helper()
	return signRaw(tb, method, key, part(header)+"."+part(claims))
}

func signRaw(tb testing.TB, method jwt.SigningMethod, key any, signed string) string {
	tb.Helper()
	sig, err := method.Sign(signed, key)
	if err != nil {
		tb.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// rs256 signs as the issuer of most tests does.
func rs256(tb testing.TB, changes map[string]any) string {
	tb.Helper()
	return sign(tb, jwt.SigningMethodRS256, keys().rsa, map[string]any{"alg": "RS256", "kid": "k1"}, claims(changes))
}

func writeFile(tb testing.TB, path string, data []byte) string {
	tb.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func tempFile(tb testing.TB, data []byte) string {
	tb.Helper()
	return writeFile(tb, filepath.Join(tb.TempDir(), "keys"), data)
}

// fromFile are options for an issuer whose RSA key is in a file; change
// adapts them.
func fromFile(tb testing.TB, change func(*token.IssuerOptions)) token.Options {
	tb.Helper()
	i := token.IssuerOptions{
		Issuer: issuerName, Audiences: []string{audience}, Algorithms: []string{"RS256"},
		JWKSFile: tempFile(tb, jwks(tb, jwk(tb, "k1", keys().rsa, nil))), Leeway: 30 * time.Second,
	}
	if change != nil {
		change(&i)
	}
	return token.Options{Realm: realmName, Issuers: []token.IssuerOptions{i}, Now: newClock().Now}
}

func mustNew(tb testing.TB, o token.Options) *token.Validator {
	tb.Helper()
	v, err := token.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// verdict validates where a verdict is sure to come.
func verdict(tb testing.TB, v *token.Validator, tok string) host.Validation {
	tb.Helper()
	got, err := v.Validate(tb.Context(), tok)
	if err != nil {
		tb.Fatalf("no verdict: %v", err)
	}
	return got
}

func wantVerdict(tb testing.TB, v *token.Validator, tok string, want host.Verdict) {
	tb.Helper()
	got := verdict(tb, v, tok)
	if got.Verdict != want {
		tb.Fatalf("verdict %s, want %s", got.Verdict, want)
	}
	anonymous := want == host.BadSignature || want == host.WrongIssuer
	if want != host.BadForm && anonymous != (got.Identity == nil) { // of the malformed, see TestMadeForTooLong
		tb.Fatalf("verdict %s with identity %v", want, got.Identity)
	}
}

// wantUnavailable checks that there is no verdict.
func wantUnavailable(tb testing.TB, v *token.Validator, tok string) error {
	tb.Helper()
	got, err := v.Validate(tb.Context(), tok)
	if err == nil {
		tb.Fatalf("verdict %s, want none", got.Verdict)
	}
	if kind, public := host.Explain(err); kind != host.Unavailable || public != "key set unavailable" {
		tb.Fatalf("error %v is %s %q", err, kind, public)
	}
	if got.Verdict != host.Untried || got.Identity != nil {
		tb.Fatalf("an error came with %v", got)
	}
	return err
}

// eventually waits for what the background does; it fails after a minute.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("never happened: %s", what)
		}
	}
}

// running starts Run and ends it with the test.
func running(tb testing.TB, v *token.Validator) {
	tb.Helper()
	var w sync.WaitGroup
	ctx := tb.Context() // ends before the clean-ups
	w.Go(func() { v.Run(ctx) })
	tb.Cleanup(w.Wait)
}

// idp is an issuer's key endpoint.
type idp struct {
	*httptest.Server
	hits atomic.Int64
	mu   sync.Mutex
	code int
	body []byte
	gate chan struct{} // when set, answers wait for it
}

func newIDP(tb testing.TB, body []byte) *idp {
	p := &idp{code: http.StatusOK, body: body}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.hits.Add(1)
		p.mu.Lock()
		code, body, gate := p.code, p.body, p.gate
		p.mu.Unlock()
		if gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(code)
		_, _ = w.Write(body)
	}))
	tb.Cleanup(p.Close)
	return p
}

func (p *idp) set(code int, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code, p.body = code, body
}

func (p *idp) block(gate chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = gate
}

// fromURL are options for an issuer with a key endpoint, and their clock.
func fromURL(p *idp) (token.Options, *clock) {
	c := newClock()
	return token.Options{Realm: realmName, Now: c.Now, Issuers: []token.IssuerOptions{{
		Issuer: issuerName, Audiences: []string{audience}, Algorithms: []string{"RS256"}, JWKSURL: p.URL,
	}}}, c
}

// mangle changes one character in the middle of one part of a token.
func mangle(tok string, which int) string {
	parts := strings.Split(tok, ".")
	p := []byte(parts[which])
	at := len(p) / 2
	if p[at] == 'A' {
		p[at] = 'B'
	} else {
		p[at] = 'A'
	}
	parts[which] = string(p)
	return strings.Join(parts, ".")
}
