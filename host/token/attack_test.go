package token_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

// The scheme is another room's; what is left of a header after it comes here.
func TestAttack20_bearer_forms(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	good := rs256(t, nil)
	wantVerdict(t, v, good, host.Valid)
	head, rest, _ := strings.Cut(good, ".")
	body, sig, _ := strings.Cut(rest, ".")
	for name, tok := range map[string]string{
		"empty": "", "blank": " ", "tab": "\t", "word": "garbage", "dots alone": "..",
		"leading blank": " " + good, "trailing blank": good + " ", "trailing newline": good + "\n",
		"newline inside": head + ".\r\n" + body + "." + sig,
		"scheme left":    "Bearer " + good, "two tokens": good + "," + good,
		"no signature part": head + "." + body, "four parts": good + ".", "leading dot": "." + good,
		"no header": "." + body + "." + sig, "no payload": head + ".." + sig,
		"padded": good + "=", "standard alphabet": head + "." + body + ".+/+/",
		"escaped dot": head + "%2e" + body + "." + sig, "not ASCII": head + "." + body + ".é", "NUL": good + "\x00",
		"header no JSON": "AAAA." + body + "." + sig, "payload no JSON": head + ".AAAA." + sig,
		"header a list": part([]string{"alg"}) + "." + body + "." + sig, "header null": part(nil) + "." + body + "." + sig,
		"payload a text": head + "." + part("x") + "." + sig, "two objects": head + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuerName+`"}{}`)) + "." + sig,
		"five parts (JWE)": good + ".AAAA.AAAA",
	} {
		t.Run(name, func(t *testing.T) { wantVerdict(t, v, tok, host.BadForm) })
	}
}

// A part has one spelling: bits after the last byte must not be set.
func TestAttack20_base64_has_one_spelling(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	v := mustNew(t, fromFile(t, nil))
	good := rs256(t, nil) // 256 bytes of signature: four bits are left over
	last := strings.IndexByte(alphabet, good[len(good)-1])
	if last&15 != 0 {
		t.Fatal("the signature ends otherwise than expected")
	}
	wantVerdict(t, v, good[:len(good)-1]+alphabet[last+1:last+2], host.BadForm)
}

func TestAttack21_algorithm_outside_the_list(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	header := func(alg any) map[string]any { return map[string]any{"alg": alg, "kid": "k1"} }
	for name, tok := range map[string]string{
		"RS384 by the same key": sign(t, jwt.SigningMethodRS384, keys().rsa, header("RS384"), claims(nil)),
		"PS256 by the same key": sign(t, jwt.SigningMethodPS256, keys().rsa, header("PS256"), claims(nil)),
		"RS256 said, RS384 used": sign(t, jwt.SigningMethodRS384, keys().rsa, header("RS256"),
			claims(nil)),
		"ES256":         sign(t, jwt.SigningMethodES256, keys().p256, header("ES256"), claims(nil)),
		"unknown":       sign(t, jwt.SigningMethodRS256, keys().rsa, header("RS257"), claims(nil)),
		"lower case":    sign(t, jwt.SigningMethodRS256, keys().rsa, header("rs256"), claims(nil)),
		"trailing NUL":  sign(t, jwt.SigningMethodRS256, keys().rsa, header("RS256\x00"), claims(nil)),
		"another key":   sign(t, jwt.SigningMethodRS256, keys().rsa2, header("RS256"), claims(nil)),
		"no signature":  part(header("RS256")) + "." + part(claims(nil)) + ".",
		"header edited": mangle(rs256(t, nil), 2),
	} {
		t.Run(name, func(t *testing.T) { wantVerdict(t, v, tok, host.BadSignature) })
	}
	for name, h := range map[string]map[string]any{
		"alg missing": {"kid": "k1"}, "alg empty": header(""), "alg a number": header(256), "alg a list": header([]string{"RS256"}),
		"ALG": {"ALG": "RS256", "kid": "k1"},
	} {
		t.Run(name, func(t *testing.T) {
			wantVerdict(t, v, sign(t, jwt.SigningMethodRS256, keys().rsa, h, claims(nil)), host.BadForm)
		})
	}
}

func TestAttack21_alg_none(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	good := rs256(t, nil)
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "\"none\""} {
		for _, kid := range []map[string]any{{"alg": alg}, {"alg": alg, "kid": "k1"}, {"alg": alg, "kid": ""}} {
			signed := part(kid) + "." + part(claims(nil))
			wantVerdict(t, v, signed+".", host.BadSignature)
			wantVerdict(t, v, signed+good[strings.LastIndexByte(good, '.'):], host.BadSignature)
		}
	}
	twice := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","alg":"RS256","kid":"k1"}`))
	wantVerdict(t, v, signRaw(t, jwt.SigningMethodRS256, keys().rsa, twice+"."+part(claims(nil))), host.BadForm)
}

func TestAttack21_hs256_signed_with_the_public_key(t *testing.T) {
	pkix, err := x509.MarshalPKIXPublicKey(keys().rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(&keys().rsa.PublicKey)
	published, err := json.Marshal(jwk(t, "k1", keys().rsa, nil))
	if err != nil {
		t.Fatal(err)
	}
	pkixPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix})
	v := mustNew(t, fromFile(t, nil))
	for name, key := range map[string][]byte{
		"PEM":                 pkixPEM,
		"PEM without newline": pkixPEM[:len(pkixPEM)-1],
		"PKCS1 PEM":           pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
		"DER":                 pkix,
		"PKCS1 DER":           pkcs1,
		"modulus":             keys().rsa.N.Bytes(),
		"JWK":                 published,
		"empty":               {},
	} {
		for _, h := range []map[string]any{{"alg": "HS256"}, {"alg": "HS256", "kid": "k1"}} {
			t.Run(name, func(t *testing.T) {
				wantVerdict(t, v, sign(t, jwt.SigningMethodHS256, key, h, claims(nil)), host.BadSignature)
			})
		}
	}
}

func TestAttack22_audience(t *testing.T) {
	v := mustNew(t, fromFile(t, func(o *token.IssuerOptions) { o.Audiences = []string{audience, "api"} }))
	for name, c := range map[string]struct {
		aud  any
		want host.Verdict
	}{
		"right": {"console", host.Valid}, "the other": {"api", host.Valid}, "list": {[]any{"x", "api"}, host.Valid},
		"list of one": {[]any{"console"}, host.Valid}, "missing": {nil, host.WrongAudience}, "wrong": {"billing", host.WrongAudience},
		"empty": {"", host.WrongAudience}, "empty list": {[]any{}, host.WrongAudience}, "wrong list": {[]any{"x", "y"}, host.WrongAudience},
		"letter case": {"Console", host.WrongAudience}, "prefix": {"consoles", host.WrongAudience}, "joined": {"console api", host.WrongAudience},
		"number": {7, host.WrongAudience}, "object": {map[string]any{"console": true}, host.WrongAudience},
		"mixed list": {[]any{"console", 7}, host.WrongAudience}, "nested": {[]any{[]any{"console"}}, host.WrongAudience},
	} {
		t.Run(name, func(t *testing.T) { wantVerdict(t, v, rs256(t, map[string]any{"aud": c.aud}), c.want) })
	}
	t.Run("null", func(t *testing.T) {
		c := claims(nil)
		c["aud"] = nil
		wantVerdict(t, v, sign(t, jwt.SigningMethodRS256, keys().rsa, map[string]any{"alg": "RS256"}, c), host.WrongAudience)
	})
}

func TestAttack28_a_million_dots(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	million := strings.Repeat(".", 1_000_000)
	kept := strings.Repeat(".", 16<<10) // within the bound on length
	header := part(map[string]any{"alg": "RS256"})
	for name, tok := range map[string]string{"dots": million, "after a header": header + million, "short": kept} {
		t.Run(name, func(t *testing.T) {
			wantVerdict(t, v, tok, host.BadForm)
			var before, after runtime.MemStats
			const runs = 100
			runtime.ReadMemStats(&before)
			for range runs {
				_, _ = v.Validate(t.Context(), tok)
			}
			runtime.ReadMemStats(&after)
			// At most one copy of what is within the bound on length.
			if bytes := (after.TotalAlloc - before.TotalAlloc) / runs; bytes > 20<<10 {
				t.Errorf("%d bytes allocated for one token", bytes)
			}
		})
	}
}

// Dots are counted before anything is split or decoded.
func TestAttack28_dots_cost_nothing(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	tok := part(map[string]any{"alg": "RS256"}) + "." + part(claims(nil)) + "." + strings.Repeat(".", 1000)
	if n := testing.AllocsPerRun(100, func() { _, _ = v.Validate(t.Context(), tok) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAttack28_length(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	var longest string
	for n := 11_000; ; n++ { // by one character a step
		tok := rs256(t, map[string]any{"pad": strings.Repeat("x", n)})
		if len(tok) > 16<<10 {
			wantVerdict(t, v, tok, host.BadForm)
			break
		}
		if longest = tok; len(tok) < 16<<10-8 {
			n += (16<<10 - len(tok) - 8) * 3 / 4
		}
	}
	wantVerdict(t, v, longest, host.Valid)
	deep := strings.Repeat("[", 5_000)
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + issuerName + `","x":` + deep + `}`))
	wantVerdict(t, v, part(map[string]any{"alg": "RS256"})+"."+payload+".AAAA", host.BadForm)
}

func TestAttack31_kid_with_a_path(t *testing.T) {
	dir := t.TempDir()
	empty := writeFile(t, filepath.Join(dir, "empty"), nil)
	rsaOnly := mustNew(t, fromFile(t, nil))
	shared := mustNew(t, fromFile(t, func(o *token.IssuerOptions) {
		o.Algorithms, o.JWKSFile, o.SecretFile = []string{"HS256"}, "", tempFile(t, secret)
	}))
	for _, kid := range []string{"../../../../dev/null", "/dev/null", empty, "file://" + empty, "k1/../k1", "k1\x00", "' OR 1=1 --", "K1", " k1", "https://evil.example/k"} {
		h := map[string]any{"alg": "RS256", "kid": kid}
		wantVerdict(t, rsaOnly, sign(t, jwt.SigningMethodRS256, keys().rsa, h, claims(nil)), host.BadSignature)
		wantVerdict(t, rsaOnly, sign(t, jwt.SigningMethodRS256, keys().rsa2, h, claims(nil)), host.BadSignature)
		h["alg"] = "HS256"
		wantVerdict(t, shared, sign(t, jwt.SigningMethodHS256, []byte{}, h, claims(nil)), host.BadSignature)
	}
	for _, kid := range []any{7, []string{"k1"}, map[string]any{"k": 1}, true, nil} {
		h := map[string]any{"alg": "RS256", "kid": kid}
		wantVerdict(t, rsaOnly, sign(t, jwt.SigningMethodRS256, keys().rsa, h, claims(nil)), host.BadForm)
	}
}

func TestAttack31_keys_in_the_header(t *testing.T) {
	var followed atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		followed.Add(1)
		_, _ = w.Write(jwks(t, jwk(t, "k1", keys().rsa2, nil)))
	}))
	t.Cleanup(evil.Close)
	cert, err := x509.CreateCertificate(rand.Reader, template(), template(), keys().rsa2.Public(), keys().rsa2)
	if err != nil {
		t.Fatal(err)
	}
	p := newIDP(t, jwks(t, jwk(t, "k1", keys().rsa, nil)))
	o, _ := fromURL(p)
	v := mustNew(t, o)
	for name, extra := range map[string]map[string]any{
		"jku": {"jku": evil.URL}, "x5u": {"x5u": evil.URL}, "jwk": {"jwk": jwk(t, "k1", keys().rsa2, nil)},
		"x5c": {"x5c": []string{base64.StdEncoding.EncodeToString(cert)}},
	} {
		for _, kid := range []string{"k1", "", "other"} {
			h := map[string]any{"alg": "RS256", "kid": kid}
			for k, val := range extra {
				h[k] = val
			}
			t.Run(name+" kid "+kid, func(t *testing.T) {
				wantVerdict(t, v, sign(t, jwt.SigningMethodRS256, keys().rsa2, h, claims(nil)), host.BadSignature)
				if kid != "other" { // ignored, not refused
					wantVerdict(t, v, sign(t, jwt.SigningMethodRS256, keys().rsa, h, claims(nil)), host.Valid)
				}
			})
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d requests to an address that a token named", n)
	}
}

func template() *x509.Certificate { return &x509.Certificate{SerialNumber: keys().rsa.N} }

func TestAttack31_critical_extensions(t *testing.T) {
	v := mustNew(t, fromFile(t, nil))
	for name, extra := range map[string]any{
		"unknown": []string{"x-evil"}, "b64": []string{"b64"}, "empty": []string{}, "known": []string{"exp"}, "null": nil, "text": "b64",
	} {
		h := map[string]any{"alg": "RS256", "kid": "k1", "crit": extra, "b64": false, "x-evil": true}
		t.Run(name, func(t *testing.T) {
			wantVerdict(t, v, sign(t, jwt.SigningMethodRS256, keys().rsa, h, claims(nil)), host.BadForm)
		})
	}
}
