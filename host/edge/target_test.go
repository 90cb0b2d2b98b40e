package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/edge"
)

func TestCleanTarget(t *testing.T) {
	for _, c := range []struct{ raw, path, rawPath, query string }{
		{"/", "/", "/", ""},
		{"/a/b?c=d", "/a/b", "/a/b", "c=d"},
		{"/a/b/?", "/a/b/", "/a/b/", ""},
		{"/a/../b", "/b", "/b", ""},
		{"/a/./b/.", "/a/b/", "/a/b/", ""},
		{"/a/b/..", "/a/", "/a/", ""},
		{"/a/b/../", "/a/", "/a/", ""},
		{"/a/..", "/", "/", ""},
		{"/../../a", "/a", "/a", ""},
		{"/..", "/", "/", ""},
		{"//a///b//", "/a/b/", "/a/b/", ""},
		{"/a//../b", "/b", "/b", ""},
		{"/public/%2e%2e/admin", "/admin", "/admin", ""},
		{"/public/.%2E/%2e/admin", "/admin", "/admin", ""},
		{"/%61%7e%2d", "/a~-", "/a~-", ""},
		{"/a%20b", "/a b", "/a%20b", ""},
		{"/caf%c3%a9", "/café", "/caf%C3%A9", ""},
		{"/café", "/café", "/caf%C3%A9", ""},
		{"/100%25", "/100%", "/100%25", ""},
		{"/%22%3C%3e%5b%5D%5E%60%7b|}", `/"<>[]^` + "`{|}", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D", ""},
		{"/!$&'()*+,=:@-._~", "/!$&'()*+,=:@-._~", "/!$&'()*+,=:@-._~", ""},
		{"/.well-known/x", "/.well-known/x", "/.well-known/x", ""},
		{"/a/.../b", "/a/.../b", "/a/.../b", ""},
		{"/a?x=../..//%2f;%zz", "/a", "/a", "x=../..//%2f;%zz"},
	} {
		got, err := edge.CleanTarget(c.raw)
		if want := (edge.Target{Path: c.path, RawPath: c.rawPath, Query: c.query}); err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", c.raw, got, err, want)
		}
	}
	for _, raw := range []string{"", "*", "a", "http://a/b", "/a%2fb", "/a%2Fb", `/a\b`, "/a%5cb", "/a;b", "/a%3bb", "/a#b", "/a%23b", "/a%3fb",
		"/a%00", "/a\x01", "/a b", "/a%7f", "/%", "/%2", "/%zz", "/%252e", "/%2541", "/%ff", "/\xff", "/a?b#c", "/a?b c", "/a?\x00"} {
		if got, err := edge.CleanTarget(raw); err == nil {
			t.Errorf("%q passes as %+v", raw, got)
		}
	}
}

func TestPlainTargetAllocatesNothing(t *testing.T) {
	for _, raw := range []string{"/api/gitops/sync?dry=1", "/.well-known/openid-configuration", "/"} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := edge.ParseTarget(raw); err != nil {
				t.Fatal(err)
			}
			if _, err := edge.CleanTarget(raw); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", raw, n)
		}
	}
}

func TestParseHost(t *testing.T) {
	for authority, want := range map[string]string{
		"a": "a", "A.B-c_d.example.": "a.b-c_d.example", "a:1": "a", "a.:65535": "a", "127.0.0.1:80": "127.0.0.1",
		"[::1]": "[::1]", "[0:0::1]:80": "[::1]", "[2001:DB8::A]": "[2001:db8::a]", strings.Repeat("a", 253): strings.Repeat("a", 253),
	} {
		if got, err := edge.ParseHost(authority); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", authority, got, err, want)
		}
	}
	for _, authority := range []string{"", ".", ":", ":80", "a:", "a..", "a b", "a:65536", "a:-1", "a:+1", "a:1_0", "a/b", "a@b", "::1", "[", "[]", "[]:80", "[::1",
		"[::1]:", "[::1]80", "[127.0.0.1]", strings.Repeat("a", 254)} {
		if got, err := edge.ParseHost(authority); err == nil {
			t.Errorf("%q passes as %q", authority, got)
		}
	}
}

func TestSpoofedAllocatesNothing(t *testing.T) {
	h := http.Header{}
	for _, name := range []string{"Accept", "Accept-Encoding", "Upgrade-Insecure-Requests", "X-Auth-Request-User", "X_Other", "User-Agent"} {
		h.Set(name, "x")
	}
	if n := testing.AllocsPerRun(100, func() {
		if edge.Spoofed(h, []string{"X-Team"}) {
			t.Fatal("spoofed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStrike(t *testing.T) {
	names := []string{"X-Auth-Request-User", "X_auth_request_user", "X-Auth.request-Roles", "X_team", "X-Original-Url", "X_original_uri",
		"X-Rewrite-Url", "X-Forwarded-Uri", "X-Forwarded-Method", "X_forwarded_for", "X.Forwarded.For", "X-Forwarded.host", "X_real_ip"}
	fromGateways := []string{"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-Ip"}
	kept := []string{"Authorization", "Cookie", "X-Auth-Request-Userx", "X-Team", "X-Teams", "Upgrade", "X"}
	for _, trusted := range []bool{true, false} {
		h := http.Header{}
		for _, list := range [][]string{names, fromGateways, kept} {
			for _, name := range list {
				h[name] = []string{"websocket"}
			}
		}
		edge.Strike(h, []string{"X-Team"}, trusted)
		want := len(kept)
		if trusted {
			want += len(fromGateways)
		}
		for _, name := range names {
			if h[name] != nil {
				t.Errorf("%s stands", name)
			}
		}
		for _, name := range kept {
			if h[name] == nil {
				t.Errorf("%s is gone", name)
			}
		}
		if len(h) != want {
			t.Errorf("trusted %v: left %v", trusted, h)
		}
	}
	for _, c := range []struct {
		lines []string
		stays bool
	}{
		{[]string{"websocket"}, true}, {[]string{"SPDY/3.1"}, true}, {[]string{"h2c"}, false}, {[]string{"websocket, H2C"}, false},
		{[]string{"websocket", "h2c"}, false}, {[]string{"TLS/1.2"}, false}, {[]string{"HTTP/2.0"}, false},
	} {
		h := http.Header{"Upgrade": c.lines}
		if edge.Strike(h, nil, true); (h["Upgrade"] != nil) != c.stays {
			t.Errorf("Upgrade %q: %v", c.lines, h)
		}
	}
}
