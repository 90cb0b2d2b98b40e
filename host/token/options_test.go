package token_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/token"
)

func TestOptionsThatAreRefused(t *testing.T) {
	short := tempFile(t, secret[:31])
	shortLine := tempFile(t, append(secret[:31:31], '\n'))
	long := tempFile(t, secret)
	shared := func(path string, algs ...string) func(*token.IssuerOptions) {
		return func(o *token.IssuerOptions) { o.JWKSFile, o.SecretFile, o.Algorithms = "", path, algs }
	}
	algs := func(names ...string) func(*token.IssuerOptions) {
		return func(o *token.IssuerOptions) { o.Algorithms = names }
	}
	address := func(u string) func(*token.IssuerOptions) {
		return func(o *token.IssuerOptions) { o.JWKSFile, o.JWKSURL = "", u }
	}
	file := func(path string) func(*token.IssuerOptions) {
		return func(o *token.IssuerOptions) { o.JWKSFile = path }
	}
	for name, c := range map[string]struct {
		change func(*token.IssuerOptions)
		key    string // empty: accepted
	}{
		"plain":                 {nil, ""},
		"every RSA algorithm":   {algs("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ""},
		"mixed public keys":     {algs("RS256", "ES256", "EdDSA"), ""},
		"secret":                {shared(long, "HS256", "HS384", "HS512"), ""},
		"URL":                   {address("http://127.0.0.1:1/jwks.json"), ""},
		"no algorithm":          {algs(), "algorithms"},
		"none":                  {algs("none"), "algorithms"},
		"None":                  {algs("RS256", "None"), "algorithms"},
		"unknown algorithm":     {algs("RS257"), "algorithms"},
		"lower case":            {algs("rs256"), "algorithms"},
		"HS beside RS":          {algs("RS256", "HS256"), "algorithms"},
		"HS beside RS, secret":  {shared(long, "HS256", "RS256"), "algorithms"},
		"HS without secret":     {shared("", "HS256"), "secret_file"},
		"HS with a key file":    {func(o *token.IssuerOptions) { o.Algorithms, o.SecretFile = []string{"HS256"}, long }, "jwks_file"},
		"HS with a URL":         {func(o *token.IssuerOptions) { shared(long, "HS256")(o); o.JWKSURL = "http://x/" }, "jwks_url"},
		"RS with a secret":      {shared(long, "RS256"), "secret_file"},
		"RS with both":          {func(o *token.IssuerOptions) { o.SecretFile = long }, "secret_file"},
		"file and URL":          {func(o *token.IssuerOptions) { o.JWKSURL = "http://x/" }, "jwks_file"},
		"neither":               {file(""), "jwks_url"},
		"URL relative":          {address("/jwks.json"), "jwks_url"},
		"URL of a file":         {address("file:///etc/passwd"), "jwks_url"},
		"URL without host":      {address("https:///jwks.json"), "jwks_url"},
		"URL unreadable":        {address("https://[::1"), "jwks_url"},
		"secret too short":      {shared(short, "HS256"), "secret_file"},
		"newline does not help": {shared(shortLine, "HS256"), "secret_file"},
		"secret absent":         {shared(filepath.Join(t.TempDir(), "x"), "HS256"), "secret_file"},
		"file absent":           {file(filepath.Join(t.TempDir(), "x")), "jwks_file"},
		"file a folder":         {file(t.TempDir()), "jwks_file"},
		"file a device":         {file(os.DevNull), "jwks_file"},
		"file no key set":       {file(long), "jwks_file"},
		"file without keys":     {file(tempFile(t, []byte(`{}`))), "jwks_file"},
		"file too long":         {file(tempFile(t, make([]byte, 1<<20+1))), "jwks_file"},
		"no issuer":             {func(o *token.IssuerOptions) { o.Issuer = "" }, "issuer"},
		"no audience":           {func(o *token.IssuerOptions) { o.Audiences = nil }, "audiences"},
		"an empty audience":     {func(o *token.IssuerOptions) { o.Audiences = []string{"x", ""} }, "audiences"},
		"roles pointer":         {func(o *token.IssuerOptions) { o.RolesClaim = "/a~2" }, "roles_claim"},
		"roles pointer end":     {func(o *token.IssuerOptions) { o.RolesClaim = "/a/b~" }, "roles_claim"},
		"negative leeway":       {func(o *token.IssuerOptions) { o.Leeway = -1 }, "leeway"},
		"negative age":          {func(o *token.IssuerOptions) { o.JWKSMaxAge = -1 }, "jwks_max_age"},
		"negative life":         {func(o *token.IssuerOptions) { o.MaxTokenLife = -time.Hour }, "max_token_life"},
	} {
		t.Run(name, func(t *testing.T) {
			o := fromFile(t, c.change)
			// A sound entry first, so that the index is seen to count.
			first := o.Issuers[0]
			if c.key != "" {
				first = fromFile(t, nil).Issuers[0]
			}
			first.Issuer += "/first"
			o.Issuers = append([]token.IssuerOptions{first}, o.Issuers...)
			_, err := token.New(o)
			if c.key == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantConfigError(t, err, "issuers[1]."+c.key)
		})
	}
}

func wantConfigError(t *testing.T, err error, key string) {
	t.Helper()
	e, ok := errors.AsType[*token.ConfigError](err)
	if !ok || e.Key != key || e.Problem == "" || e.Error() != e.Key+": "+e.Problem {
		t.Fatalf("error %v, want one of %s", err, key)
	}
}

func TestIssuerTwiceIsRefused(t *testing.T) {
	o := fromFile(t, nil)
	again := o.Issuers[0]
	again.Audiences = []string{"another"}
	o.Issuers = append(o.Issuers, again)
	_, err := token.New(o)
	wantConfigError(t, err, "issuers[1].issuer")

	o = fromFile(t, nil)
	o.Realm = ""
	_, err = token.New(o)
	wantConfigError(t, err, "name")
}

// A realm without issuers accepts no JWT.
func TestNoIssuers(t *testing.T) {
	v := mustNew(t, token.Options{Realm: realmName})
	wantVerdict(t, v, rs256(t, nil), host.WrongIssuer)
	if f := v.Ready(t.Context()); f != nil {
		t.Errorf("not ready: %v", f)
	}
}

// A pipe or device is told by its kind, since opening one could wait for ever.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	_, err := token.New(fromFile(t, func(o *token.IssuerOptions) { o.JWKSFile = os.DevNull }))
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
}
