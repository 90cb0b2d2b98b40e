package credential_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/credential"
)

func FuzzFind(f *testing.F) {
	f.Add("Bearer "+jwt, jwt, "kc_auth="+jwt, "/events", "a=1&_token=a.b.c")
	f.Add("bearer  ahs_x", "", `kc_auth="x"; kc_auth`, "/ws", "%5ftoken=%41.b.c&_token")
	f.Add("Basic x", "Bearer", "a;b;;=;kc_auth = 1", "/ws/1/", "x;_token=1&&%zz&+=&")
	f.Add("Bearer\tx", "...", "__Host-authhost=ahs_1;__Host-authhost=ahs_2", "/ws//../events", "_token=%")
	f.Add("", "", "", "/events/", "_token=a.b.c")
	f.Add("", "", "", "/wsx", "_token=a.b.c")
	f.Add("", "", "", "events", "_token=a.b.c")
	finder := usual(f)
	f.Fuzz(func(t *testing.T, auth, token, cookies, path, query string) {
		r := &host.Request{Path: path, RawQuery: query,
			Header: http.Header{"Authorization": {auth}, "X-Auth-Token": {token}, "Cookie": {cookies}}}
		found, rest := finder.Find(r, nil)
		if len(found) < 2 || len(found) > 5 || found[0].Name != "Authorization" || found[1].Name != "X-Auth-Token" {
			t.Fatalf("found %s", say(found))
		}
		for _, c := range found {
			checkCredential(t, c, auth, token, cookies, query)
		}
		if path == "/events" || path == "/ws" || strings.HasPrefix(path, "/ws/") {
			checkRest(t, query, rest)
		} else if rest != query || slices.ContainsFunc(found, func(c host.Credential) bool { return c.Source == host.FromQuery }) {
			t.Fatalf("path %q: of %q is left %q, found %s", path, query, rest, say(found))
		}
		again, rest2 := finder.Find(&host.Request{Path: r.Path, RawQuery: rest}, nil)
		if len(again) != 0 || rest2 != rest {
			t.Fatalf("struck %q still holds %s, then %q", rest, say(again), rest2)
		}
	})
}

func checkCredential(t *testing.T, c host.Credential, auth, token, cookies, query string) {
	t.Helper()
	if (c.Kind == host.Malformed) != (c.Value == "") || len(c.Value) > credential.MaxLength {
		t.Fatalf("%s of %d bytes", c.Label(), len(c.Value))
	}
	for _, b := range []byte(c.Value) {
		if b <= ' ' || b >= 0x7f {
			t.Fatalf("%s holds byte %#x", c.Label(), b)
		}
	}
	if c.Kind == host.JWT && strings.Count(c.Value, ".") != 2 {
		t.Fatalf("JWT %q", c.Value)
	}
	switch c.Source {
	case host.FromHeader:
		if !strings.HasSuffix(auth, c.Value) && token != c.Value {
			t.Fatalf("%q is in no header", c.Value)
		}
	case host.FromCookie:
		// What net/http sees once and unquoted must be what is found.
		r := http.Request{Header: http.Header{"Cookie": {cookies}}}
		if same := r.CookiesNamed(c.Name); c.Value != "" && len(same) == 1 && !same[0].Quoted && same[0].Value != c.Value {
			t.Fatalf("cookie %s is %q, net/http reads %q", c.Name, c.Value, same[0].Value)
		}
	case host.FromQuery:
		values, err := url.ParseQuery(query)
		if c.Value != "" && err == nil && (len(values[c.Name]) != 1 || values[c.Name][0] != c.Value) {
			t.Fatalf("parameter %s is %q, net/url reads %q", c.Name, c.Value, values[c.Name])
		}
	}
}

// checkRest holds rest against the query that it is what remains of.
func checkRest(t *testing.T, query, rest string) {
	t.Helper()
	var want []string
	for _, pair := range strings.Split(query, "&") {
		raw, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(raw); err != nil || name != "_token" {
			want = append(want, pair)
		}
	}
	if rest != strings.Join(want, "&") {
		t.Fatalf("query %q: left %q, want %q", query, rest, strings.Join(want, "&"))
	}
}

func BenchmarkFind(b *testing.B) {
	token := "eyJ" + strings.Repeat("a", 97) + "." + strings.Repeat("b", 300) + "." + strings.Repeat("c", 342)
	browser := "theme=dark; _ga=GA1.1.1234567890.1234567890; lang=en; kc_auth=" + token
	for _, c := range []struct {
		name  string
		h     http.Header
		query string
	}{
		{"header", lines("Authorization: Bearer " + token), ""},
		{"header+cookie", lines("Authorization: Bearer "+token, "Cookie: "+browser), ""},
		{"session-cookie", lines("Cookie: theme=dark; __Host-authhost=ahs_" + strings.Repeat("x", 120)), ""},
		{"query", nil, "a=1&_token=ahs_abc&b=2"},
	} {
		b.Run(c.name, func(b *testing.B) {
			finder := usual(b)
			r := &host.Request{Path: "/events", RawQuery: c.query, Header: c.h}
			b.ReportAllocs()
			for b.Loop() {
				var room [4]host.Credential
				finder.Find(r, room[:0])
			}
		})
	}
}
