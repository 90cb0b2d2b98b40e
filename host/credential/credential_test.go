package credential_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/credential"
)

const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"

func pattern(t testing.TB, text string) host.Pattern {
	t.Helper()
	p, err := host.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func finder(t testing.TB, sources ...credential.Source) *credential.Finder {
	t.Helper()
	f, err := credential.New(credential.Options{Sources: sources})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// usual is what a realm of the documentation's example lists.
func usual(t testing.TB) *credential.Finder {
	return finder(t,
		credential.Source{Header: "authorization"},
		credential.Source{Header: "X-Auth-Token"},
		credential.Source{Cookie: "kc_auth"},
		credential.Source{Query: "_token", Paths: []host.Pattern{pattern(t, "/events"), pattern(t, "/ws/**")}},
		credential.Source{Cookie: "__Host-authhost"},
	)
}

// lines builds a header out of "Name: value" texts, blanks kept.
func lines(texts ...string) http.Header {
	h := http.Header{}
	for _, t := range texts {
		name, value, _ := strings.Cut(t, ": ")
		h.Add(name, value)
	}
	return h
}

// say shows credentials as "label name=value".
func say(found []host.Credential) string {
	var list []string
	for _, c := range found {
		list = append(list, c.Label()+" "+c.Name+"="+c.Value)
	}
	return strings.Join(list, " | ")
}

func find(f *credential.Finder, h http.Header, path, query string) (string, string) {
	found, rest := f.Find(&host.Request{Path: path, RawPath: path, RawQuery: query, Header: h}, nil)
	return say(found), rest
}

func TestOrderIsTheSources(t *testing.T) {
	f := usual(t)
	h := lines("Cookie: __Host-authhost=ahs_abc; kc_auth="+jwt, "X-Auth-Token: aht_x", "Authorization: Bearer "+jwt)
	got, rest := find(f, h, "/ws/1", "a=1&_token=ahs_q&b=2")
	want := "header/jwt Authorization=" + jwt + " | header/access_token X-Auth-Token=aht_x | cookie/jwt kc_auth=" + jwt +
		" | query/session _token=ahs_q | cookie/session __Host-authhost=ahs_abc"
	if got != want || rest != "a=1&b=2" {
		t.Errorf("got  %s %q\nwant %s", got, rest, want)
	}
	if got, rest := find(f, http.Header{}, "/ws/1", ""); got != "" || rest != "" {
		t.Errorf("nothing present: got %s %q", got, rest)
	}
}

func TestFindAppendsToDst(t *testing.T) {
	f := usual(t)
	var room [4]host.Credential
	r := &host.Request{Path: "/", Header: lines("Authorization: Bearer " + jwt)}
	found, _ := f.Find(r, room[:0])
	if len(found) != 1 || &found[0] != &room[0] {
		t.Fatalf("room was not used: %v", found)
	}
}

func TestAttack20_bearer_forms(t *testing.T) {
	const bad = "header/malformed Authorization="
	good := "header/jwt Authorization=" + jwt
	for _, c := range []struct{ value, want string }{
		{"Bearer " + jwt, good},
		{"bearer " + jwt, good},
		{"BEARER " + jwt, good},
		{"bEaReR    " + jwt, good},
		{"Bearer ahs_0", "header/session Authorization=ahs_0"},
		{"Bearer\t" + jwt, bad},
		{"Bearer \t" + jwt, bad},
		{"Bearer " + jwt + " ", bad},
		{"Bearer " + jwt + "\t", bad},
		{" Bearer " + jwt, bad},
		{"Bearer " + jwt + " " + jwt, bad},
		{"Bearer " + jwt + ", Bearer " + jwt, bad},
		{"Bearer a b", bad},
		{"Bearer", bad},
		{"bearer", bad},
		{"Bearer ", bad},
		{"Bearer    ", bad},
		{"Bearer\t", bad},
		{"Bearer" + jwt, bad},
		{"Bearer:" + jwt, bad},
		{"Bearers " + jwt, bad},
		{"Bear " + jwt, bad},
		{"Basic x", bad},
		{"Basic dXNlcjpwYXNz", bad},
		{"garbage", bad},
		{jwt, bad},
		{"Bearer\u00a0" + jwt, bad},
		{"", bad},
		{"   ", bad},
	} {
		if got, _ := find(usual(t), http.Header{"Authorization": {c.value}}, "/", ""); got != c.want {
			t.Errorf("%q: got %s, want %s", c.value, got, c.want)
		}
	}
	two := http.Header{"Authorization": {"Bearer " + jwt, "Bearer " + jwt}}
	if got, _ := find(usual(t), two, "/", ""); got != bad {
		t.Errorf("two lines: got %s", got)
	}
}

func TestBareHeader(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{jwt, "header/jwt X-Auth-Token=" + jwt},
		{"ahs_abc", "header/session X-Auth-Token=ahs_abc"},
		{"Bearer " + jwt, "header/malformed X-Auth-Token="},
		{"", "header/malformed X-Auth-Token="},
		{" ", "header/malformed X-Auth-Token="},
	} {
		if got, _ := find(usual(t), http.Header{"X-Auth-Token": {c.value}}, "/", ""); got != c.want {
			t.Errorf("%q: got %s, want %s", c.value, got, c.want)
		}
	}
}

func TestKinds(t *testing.T) {
	long := strings.Repeat("a", credential.MaxLength)
	for _, c := range []struct {
		token string
		want  host.CredentialKind
	}{
		{"a.b.c", host.JWT}, {"A-_.9.z", host.JWT},
		{"..", host.Malformed}, {"a..c", host.Malformed}, {".b.c", host.Malformed}, {"a.b.", host.Malformed},
		{"a.b", host.Malformed}, {"a.b.c.d", host.Malformed}, {"a.b.c.d.e", host.Malformed}, {"abc", host.Malformed},
		{"a.b+.c", host.Malformed}, {"a.b/.c", host.Malformed}, {"a.b.c=", host.Malformed}, {"a.b.é", host.Malformed},
		{"ahs_", host.Session}, {"ahs_a.b.c", host.Session}, {"ahs_a\x00", host.Malformed}, {"ahs_é", host.Malformed},
		{"AHS_x", host.Malformed}, {"aht_x", host.AccessToken}, {"ahx_x", host.Malformed},
		{"ahs_" + long[4:], host.Session}, {"ahs_" + long[3:], host.Malformed},
	} {
		found, _ := usual(t).Find(&host.Request{Path: "/", Header: http.Header{"X-Auth-Token": {c.token}}}, nil)
		if len(found) != 1 || found[0].Kind != c.want || (found[0].Value != "") != (c.want != host.Malformed) {
			t.Errorf("%.20q: got %s, want %s", c.token, say(found), c.want)
		}
	}
}

func TestAttack28_million_dots(t *testing.T) {
	dots := strings.Repeat(".", 1_000_000)
	within := strings.Repeat(".", credential.MaxLength)
	f := usual(t)
	for _, token := range []string{dots, within, "a" + dots + "b", "ahs_" + dots} {
		r := &host.Request{Path: "/events", Header: lines("Authorization: Bearer "+token, "Cookie: kc_auth="+token),
			RawQuery: "x=" + "1"}
		var room [8]host.Credential
		if n := testing.AllocsPerRun(10, func() {
			found, _ := f.Find(r, room[:0])
			for _, c := range found {
				if c.Kind != host.Malformed || c.Value != "" {
					t.Fatalf("%s with %d bytes", c.Label(), len(c.Value))
				}
			}
			if len(found) != 2 {
				t.Fatalf("%d credentials", len(found))
			}
		}); n != 0 {
			t.Errorf("%d bytes of dots: %v allocations", len(token), n)
		}
	}
}

func TestAttack27_cookie_and_bearer(t *testing.T) {
	other := "a.b.c"
	f := usual(t)
	got, _ := find(f, lines("Cookie: kc_auth="+other, "Authorization: Bearer "+jwt), "/", "")
	if want := "header/jwt Authorization=" + jwt + " | cookie/jwt kc_auth=" + other; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// A header that cannot be read is present all the same: the cookie never moves up.
	got, _ = find(f, lines("Cookie: kc_auth="+other, "Authorization: Bearer"), "/", "")
	if want := "header/malformed Authorization= | cookie/jwt kc_auth=" + other; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAttack23_two_cookies_of_one_name(t *testing.T) {
	const bad = "cookie/malformed kc_auth="
	for _, c := range []struct {
		name string
		h    http.Header
		want string
	}{
		{"in one line", lines("Cookie: kc_auth=" + jwt + "; kc_auth=a.b.c"), bad},
		{"the same twice", lines("Cookie: kc_auth=" + jwt + "; kc_auth=" + jwt), bad},
		{"in two lines", lines("Cookie: kc_auth="+jwt, "Cookie: kc_auth=a.b.c"), bad},
		{"one empty", lines("Cookie: kc_auth=; kc_auth=" + jwt), bad},
		{"one without =", lines("Cookie: kc_auth; kc_auth=" + jwt), bad},
		{"blanks before =", lines("Cookie: kc_auth =" + jwt + ";kc_auth=" + jwt), bad},
		{"another letter case is another cookie", lines("Cookie: KC_AUTH=a.b.c; kc_auth=" + jwt), "cookie/jwt kc_auth=" + jwt},
		{"a longer name is another cookie", lines("Cookie: kc_auth2=a.b.c; xkc_auth=a.b.c; kc_auth=" + jwt), "cookie/jwt kc_auth=" + jwt},
	} {
		if got, _ := find(usual(t), c.h, "/", ""); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCookieForms(t *testing.T) {
	const bad = "cookie/malformed kc_auth="
	good := "cookie/jwt kc_auth=" + jwt
	for _, c := range []struct{ line, want string }{
		{"kc_auth=" + jwt, good},
		{"a=1;kc_auth=" + jwt + ";b=2", good},
		{"a=1;  kc_auth=" + jwt + "  ; b=2", good},
		{";;kc_auth=" + jwt + ";;", good},
		{"a=kc_auth=x.y.z", ""},
		{"=kc_auth=" + jwt, ""},
		{"a=1; b=2", ""},
		{"", ""},
		{`kc_auth="` + jwt + `"`, bad},
		{`kc_auth="ahs_abc"`, bad},
		{"kc_auth= " + jwt, bad},
		{"kc_auth=", bad},
		{"kc_auth", bad},
		{"kc_auth=" + strings.ReplaceAll(jwt, ".", "%2E"), bad},
		{"kc_auth=" + jwt + ",kc_auth=" + jwt, bad},
		{"kc_auth=" + jwt + "=", bad},
	} {
		if got, _ := find(usual(t), http.Header{"Cookie": {c.line}}, "/", ""); got != c.want {
			t.Errorf("%q: got %s, want %s", c.line, got, c.want)
		}
	}
}

func TestQuery(t *testing.T) {
	const bad = "query/malformed _token="
	good := "query/jwt _token=a.b.c"
	for _, c := range []struct{ path, query, want, rest string }{
		{"/events", "_token=a.b.c", good, ""},
		{"/events", "x=1&_token=a.b.c", good, "x=1"},
		{"/events", "_token=a.b.c&x=1", good, "x=1"},
		{"/events", "x=1&_token=a.b.c&y=2", good, "x=1&y=2"},
		{"/events", "x=%41+b&&_token=a.b.c&=&y", good, "x=%41+b&&=&y"},
		{"/events", "&_token=a.b.c&", good, "&"},
		{"/events", "%5ftoken=a.b.c&x=1", good, "x=1"},
		{"/events", "%5Ft%6Fken=a%2Eb.c", good, ""},
		{"/events", "_token=a.b.c&%5Ftoken=d.e.f&z", bad, "z"},
		{"/events", "_token=a.b.c&_token=a.b.c", bad, ""},
		{"/events", "_token", bad, ""},
		{"/events", "_token=&x", bad, "x"},
		{"/events", "_token=a.b.c%", bad, ""},
		{"/events", "_token=a.b.c+", bad, ""},
		{"/events", "_token=Bearer%20a.b.c", bad, ""},
		{"/events", "x=1;_token=a.b.c", "", "x=1;_token=a.b.c"},
		{"/events", "_token=a.b.c;x=1", bad, ""},
		{"/events", "x_token=a.b.c&_tokenx=a.b.c&_TOKEN=a.b.c", "", "x_token=a.b.c&_tokenx=a.b.c&_TOKEN=a.b.c"},
		{"/events", "%zz=1&%5=2&a%20b=%", "", "%zz=1&%5=2&a%20b=%"},
		{"/ws/a/b", "_token=a.b.c", good, ""},
		{"/events/", "_token=a.b.c", "", "_token=a.b.c"},
		{"/", "_token=a.b.c", "", "_token=a.b.c"},
	} {
		got, rest := find(usual(t), nil, c.path, c.query)
		if got != c.want || rest != c.rest {
			t.Errorf("%s?%s: got %s %q, want %s %q", c.path, c.query, got, rest, c.want, c.rest)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	paths := []host.Pattern{pattern(t, "/ws/**")}
	for _, c := range []struct {
		sources []credential.Source
		want    string
	}{
		{[]credential.Source{{}}, "exactly one"},
		{[]credential.Source{{Header: "A", Cookie: "b"}}, "exactly one"},
		{[]credential.Source{{Header: "Bad Header"}}, "not a token"},
		{[]credential.Source{{Cookie: "a;b"}}, "not a token"},
		{[]credential.Source{{Cookie: "a=b"}}, "not a token"},
		{[]credential.Source{{Query: "a=b", Paths: paths}}, "not a token"},
		{[]credential.Source{{Header: "cookie"}}, "cannot carry"},
		{[]credential.Source{{Header: "host"}}, "cannot carry"},
		{[]credential.Source{{Query: "_token"}}, "needs paths"},
		{[]credential.Source{{Header: "A", Paths: paths}}, "only a query"},
		{[]credential.Source{{Cookie: "a", Paths: paths}}, "only a query"},
		{[]credential.Source{{Header: "x-auth"}, {Header: "X-Auth"}}, "credentials[1]: header X-Auth is listed twice"},
		{[]credential.Source{{Cookie: "a"}, {Cookie: "a"}}, "listed twice"},
		{[]credential.Source{{Query: "a", Paths: paths}, {Query: "a", Paths: paths}}, "listed twice"},
	} {
		if _, err := credential.New(credential.Options{Sources: c.sources}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.sources, err, c.want)
		}
	}
	finder(t, credential.Source{Header: "a"}, credential.Source{Cookie: "a"}, credential.Source{Cookie: "A"})
	if found, _ := finder(t).Find(&host.Request{Header: lines("Authorization: Bearer " + jwt)}, nil); len(found) != 0 {
		t.Errorf("no source: %s", say(found))
	}
}

// A logout ends whatever is presented: a second value must not hide the first.
func TestEveryValueForALogout(t *testing.T) {
	f, err := credential.New(credential.Options{Every: true, Sources: []credential.Source{{Header: "Authorization"}, {Cookie: "sid"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &host.Request{Header: http.Header{
		"Authorization": {"Bearer ahs_one", "Basic x", "bearer ahs_two"},
		"Cookie":        {"sid=ahs_three; sid=x", "a=b; sid=ahs_four"},
	}}
	found, _ := f.Find(r, nil)
	var got []string
	for _, c := range found {
		got = append(got, c.Label()+" "+c.Value)
	}
	want := []string{"header/session ahs_one", "header/malformed ", "header/session ahs_two",
		"cookie/session ahs_three", "cookie/malformed ", "cookie/session ahs_four"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
