package token_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

func TestEveryAlgorithmVerifies(t *testing.T) {
	k := keys()
	for _, c := range []struct {
		method jwt.SigningMethod
		key    crypto.Signer // nil: the secret
	}{
		{jwt.SigningMethodRS256, k.rsa}, {jwt.SigningMethodRS384, k.rsa}, {jwt.SigningMethodRS512, k.rsa},
		{jwt.SigningMethodPS256, k.rsa}, {jwt.SigningMethodPS384, k.rsa}, {jwt.SigningMethodPS512, k.rsa},
		{jwt.SigningMethodES256, k.p256}, {jwt.SigningMethodES384, k.p384}, {jwt.SigningMethodES512, k.p521},
		{jwt.SigningMethodEdDSA, k.ed},
		{jwt.SigningMethodHS256, nil}, {jwt.SigningMethodHS384, nil}, {jwt.SigningMethodHS512, nil},
	} {
		t.Run(c.method.Alg(), func(t *testing.T) {
			var key any = c.key
			v := mustNew(t, fromFile(t, func(o *token.IssuerOptions) {
				o.Algorithms = []string{c.method.Alg()}
				if c.key != nil {
					o.JWKSFile = tempFile(t, jwks(t, jwk(t, "k1", c.key, nil)))
					return
				}
				key, o.JWKSFile, o.SecretFile = secret, "", tempFile(t, append(secret, '\n'))
			}))
			for _, kid := range []string{"k1", ""} {
				tok := sign(t, c.method, key, map[string]any{"alg": c.method.Alg(), "kid": kid}, claims(nil))
				for range 2 { // anew, and remembered
					wantVerdict(t, v, tok, host.Valid)
				}
				wantVerdict(t, v, mangle(tok, 2), host.BadSignature)
				wantVerdict(t, v, tok[:strings.LastIndexByte(tok, '.')+1], host.BadSignature)
				other := sign(t, c.method, key, map[string]any{"alg": c.method.Alg(), "kid": kid}, claims(map[string]any{"sub": "mallory"}))
				swapped := tok[:strings.LastIndexByte(tok, '.')] + other[strings.LastIndexByte(other, '.'):]
				wantVerdict(t, v, swapped, host.BadSignature)
			}
		})
	}
}

// What a set says about a key is heeded, and what is no sound public key for
// signatures is not used.
func TestKeysThatAreNotForThis(t *testing.T) {
	k := keys()
	oct := map[string]any{"kty": "oct", "kid": "k1", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}
	raw, err := jose.JSONWebKey{Key: k.rsa, KeyID: "k1"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var private map[string]any
	if err := json.Unmarshal(raw, &private); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  map[string]any
		want host.Verdict
	}{
		"plain":                  {jwk(t, "k1", k.rsa, nil), host.Valid},
		"use sig":                {jwk(t, "k1", k.rsa, map[string]any{"use": "sig"}), host.Valid},
		"use enc":                {jwk(t, "k1", k.rsa, map[string]any{"use": "enc"}), host.BadSignature},
		"use empty":              {jwk(t, "k1", k.rsa, map[string]any{"use": ""}), host.BadSignature},
		"key_ops verify":         {jwk(t, "k1", k.rsa, map[string]any{"key_ops": []string{"verify"}}), host.Valid},
		"key_ops encrypt":        {jwk(t, "k1", k.rsa, map[string]any{"key_ops": []string{"encrypt"}}), host.BadSignature},
		"alg RS256":              {jwk(t, "k1", k.rsa, map[string]any{"alg": "RS256"}), host.Valid},
		"alg RS512":              {jwk(t, "k1", k.rsa, map[string]any{"alg": "RS512"}), host.BadSignature},
		"alg RSA-OAEP":           {jwk(t, "k1", k.rsa, map[string]any{"alg": "RSA-OAEP"}), host.BadSignature},
		"another type":           {jwk(t, "k1", k.p256, nil), host.BadSignature},
		"another key":            {jwk(t, "k1", k.rsa2, nil), host.BadSignature},
		"symmetric":              {oct, host.BadSignature},
		"with its private part":  {private, host.BadSignature},
		"unknown kty":            {map[string]any{"kty": "AKP9", "kid": "k1"}, host.BadSignature},
		"no kty":                 {map[string]any{"kid": "k1"}, host.BadSignature},
		"kid a number":           {jwk(t, "k1", k.rsa, map[string]any{"kid": 1}), host.BadSignature},
		"unnamed":                {jwk(t, "", k.rsa, nil), host.BadSignature},
		"a point off the curve":  {jwk(t, "k1", k.p256, map[string]any{"x": "AAAA"}), host.BadSignature},
		"x5u is never followed":  {jwk(t, "k1", k.rsa, map[string]any{"x5u": "http://127.0.0.1:1/"}), host.Valid},
		"certificate of another": {jwk(t, "k1", k.rsa, map[string]any{"x5c": []string{"AAAA"}}), host.BadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			// A second key, so that one bad key spoils only itself.
			set := jwks(t, c.key, jwk(t, "k2", k.rsa2, nil))
			v := mustNew(t, fromFile(t, func(o *token.IssuerOptions) { o.JWKSFile = tempFile(t, set) }))
			wantVerdict(t, v, rs256(t, nil), c.want)
			wantVerdict(t, v, sign(t, jwt.SigningMethodRS256, k.rsa2, map[string]any{"alg": "RS256", "kid": "k2"}, claims(nil)), host.Valid)
		})
	}
}

func TestShortRSAKeyIsNotUsed(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	v := mustNew(t, fromFile(t, func(o *token.IssuerOptions) { o.JWKSFile = tempFile(t, jwks(t, jwk(t, "k1", short, nil))) }))
	wantUnavailable(t, v, signedBy(t, short, "k1")) // no key is left to judge by
	if f := v.Ready(t.Context()); len(f) != 1 {
		t.Errorf("failing %v with no key to judge by", f)
	}
}

func TestWithoutKid(t *testing.T) {
	k := keys()
	tok := sign(t, jwt.SigningMethodRS256, k.rsa, map[string]any{"alg": "RS256"}, claims(nil))
	for name, c := range map[string]struct {
		set  []map[string]any
		want host.Verdict
	}{
		"the only key":             {[]map[string]any{jwk(t, "k1", k.rsa, nil)}, host.Valid},
		"the only one of its type": {[]map[string]any{jwk(t, "k1", k.p256, nil), jwk(t, "k2", k.rsa, nil), jwk(t, "k3", k.ed, nil)}, host.Valid},
		"the only one for RS256":   {[]map[string]any{jwk(t, "k1", k.rsa2, map[string]any{"alg": "PS256"}), jwk(t, "k2", k.rsa, nil)}, host.Valid},
		"one of two":               {[]map[string]any{jwk(t, "k1", k.rsa, nil), jwk(t, "k2", k.rsa2, nil)}, host.BadSignature},
		"one of three":             {[]map[string]any{jwk(t, "k1", k.rsa, nil), jwk(t, "k2", k.rsa2, nil), jwk(t, "k3", k.rsa, nil)}, host.BadSignature},
		"none of its type":         {[]map[string]any{jwk(t, "k1", k.p256, nil)}, host.BadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			set := jwks(t, c.set...)
			v := mustNew(t, fromFile(t, func(o *token.IssuerOptions) { o.JWKSFile = tempFile(t, set) }))
			wantVerdict(t, v, tok, c.want)
		})
	}
}

// Keys of one issuer say nothing for another, whatever kid a token names.
func TestIssuersAreApart(t *testing.T) {
	k := keys()
	o := fromFile(t, nil)
	other := o.Issuers[0]
	other.Issuer, other.JWKSFile = "https://other.example", tempFile(t, jwks(t, jwk(t, "k2", k.rsa2, nil)))
	o.Issuers = append(o.Issuers, other)
	v := mustNew(t, o)
	for name, c := range map[string]struct {
		iss, kid string
		key      crypto.Signer
		want     host.Verdict
	}{
		"first":                      {issuerName, "k1", k.rsa, host.Valid},
		"second":                     {other.Issuer, "k2", k.rsa2, host.Valid},
		"second's key for the first": {issuerName, "k2", k.rsa2, host.BadSignature},
		"first's key for the second": {other.Issuer, "k1", k.rsa, host.BadSignature},
		"unknown issuer":             {"https://evil.example", "k1", k.rsa, host.WrongIssuer},
		"slash added":                {issuerName + "/", "k1", k.rsa, host.WrongIssuer},
		"letter case":                {strings.ToUpper(issuerName), "k1", k.rsa, host.WrongIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			tok := sign(t, jwt.SigningMethodRS256, c.key, map[string]any{"alg": "RS256", "kid": c.kid}, claims(map[string]any{"iss": c.iss}))
			wantVerdict(t, v, tok, c.want)
		})
	}
}
