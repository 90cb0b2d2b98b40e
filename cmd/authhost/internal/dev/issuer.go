package dev

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	audience  = "console"
	keyID     = "dev"
	tokenLife = 12 * time.Hour
)

// users are the issuer's, each with the role of its name.
var users = []string{"viewer", "editor", "admin"}

// issuer signs tokens for anyone who asks: it listens on loopback alone, and
// its key lives as long as the process.
type issuer struct {
	url    string
	key    jose.JSONWebKey
	signer jose.Signer
}

func newIssuer(url string) (*issuer, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: keyID, Algorithm: string(jose.RS256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	return &issuer{url: url, key: key.Public(), signer: signer}, nil
}

// token returns a JWT of the user, whose role has the same name.
func (i *issuer) token(user string, now time.Time) (string, error) {
	return jwt.Signed(i.signer).Claims(jwt.Claims{
		Issuer:   i.url,
		Subject:  user,
		Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(tokenLife)),
	}).Claims(map[string]any{
		"roles":          []string{user},
		"email":          user + "@dev.example",
		"email_verified": true,
	}).Serialize()
}

// handler serves /jwks.json and /token/USER.
func (i *issuer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key}})
	})
	for _, user := range users {
		mux.HandleFunc("GET /token/"+user, func(w http.ResponseWriter, _ *http.Request) {
			token, err := i.token(user, time.Now())
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, token)
		})
	}
	return mux
}

// upstream is the demo platform: it answers with what it was told of the
// caller.
func upstream() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identity := map[string]string{}
		for name := range r.Header {
			if len(name) > len("X-Auth-Request-") && name[:len("X-Auth-Request-")] == "X-Auth-Request-" {
				identity[name] = r.Header.Get(name)
			}
		}
		writeJSON(w, map[string]any{
			"request":  fmt.Sprintf("%s %s", r.Method, r.URL.Path),
			"identity": identity,
		})
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n'))
}
