package config_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/config"
)

func TestRestartNeeded(t *testing.T) {
	const base = "upstream: http://a\noperator: {token_file: /a}\ncache: {file: {dir: /data}}\n"
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", base, base, ""},
		{"what a reload applies", base, `
upstream: http://b
trusted_proxies: []
cache: {file: {dir: /data}, near: {max_staleness: 0s, entries: 1}}
realms: [{name: other}]
routes: [{path: /x}]
`, ""},
		{"a default written out", base, base + "listen: {public: 127.0.0.1:8080}\n", ""},
		{"one listener", base, base + "listen:\n  public: 127.0.0.1:1\n",
			"authhost.yaml:5: listen.public: changed from 127.0.0.1:8080 to 127.0.0.1:1, which takes a restart"},
		{"a listener more", base, base + "listen:\n  proxy: 127.0.0.1:1\n",
			`authhost.yaml:5: listen.proxy: changed from "" to 127.0.0.1:1, which takes a restart`},
		{"several", base, "cache:\n  driver: redis\n  file: {dir: /data}\n  redis:\n    addrs: [a:1, b:1]\n    cluster: true\n  near: {entries: 1}\nlisten: {admin: \":1\"}\n",
			"authhost.yaml:2: cache.driver: changed from file to redis, which takes a restart\n" +
				"authhost.yaml:5: cache.redis.addrs: changed from [127.0.0.1:6379] to [a:1 b:1], which takes a restart\n" +
				"authhost.yaml:6: cache.redis.cluster: changed from false to true, which takes a restart\n" +
				"authhost.yaml:8: listen.admin: changed from 127.0.0.1:8081 to :1, which takes a restart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, new := mustLoad(t, c.old), mustLoad(t, c.new)
			got := ""
			if err := config.RestartNeeded(old, new); err != nil {
				got = strings.ReplaceAll(err.Error(), filepath.Dir(new.Files()[0])+"/", "")
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, c := range []struct{ content, want, err string }{
		{"s3cret", "s3cret", ""},
		{"s3cret\n", "s3cret", ""},
		{"s3cret\r\n", "s3cret", ""},
		{"s3cret\n\n", "s3cret\n", ""},
		{" s3cret\r", " s3cret\r", ""},
		{"", "", "is empty"},
		{"\n", "", "is empty"},
		{" \t\r\n\n", "", "is empty"},
		{strings.Repeat("k", 1<<20+1), "", "is larger than 1048576 bytes"},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := config.ReadSecret(path)
		if c.err != "" {
			if err == nil || err.Error() != "secret file "+path+": "+c.err || got != nil {
				t.Errorf("%.20q: got %.20q, %v", c.content, got, err)
			}
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%q: got %q, %v", c.content, got, err)
		}
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if _, err := config.ReadSecret(absent); err == nil || err.Error() != "secret file "+absent+": cannot be read: no such file or directory" {
		t.Errorf("absent: %v", err)
	}
}

func TestProblemPlacesAnError(t *testing.T) {
	c := mustLoad(t, "# x\nrealms:\n  - name: main\n    issuers:\n      - {issuer: i, audiences: [a], jwks_file: k}\n", "AUTHHOST_LISTEN__ADMIN=:1")
	dir := filepath.Dir(c.Files()[0]) + "/"
	for key, want := range map[string]string{
		"realms[0].name":                "authhost.yaml:3: realms[0].name: EOF",
		"realms[0].issuers[0].jwks_url": "authhost.yaml:5: realms[0].issuers[0].jwks_url: EOF",
		"listen.public":                 "authhost.yaml:1: listen.public: EOF",
		"listen.admin":                  "environment AUTHHOST_LISTEN__ADMIN: listen.admin: EOF",
	} {
		err := c.Problem(key, io.EOF)
		if got := strings.ReplaceAll(err.Error(), dir, ""); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if p, ok := errors.AsType[*config.Problem](err); !ok || p.Key != key || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %#v does not wrap its cause", key, err)
		}
	}
	if err := c.Problem("listen.public", nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	_, err := config.Load("testdata/errors/listen.yaml", nil)
	if p, ok := errors.AsType[*config.Problem](err); !ok || p.Key != "listen.public" || p.Line != 2 {
		t.Errorf("the first of several: %#v", p)
	}
}
