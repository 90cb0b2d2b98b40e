package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/sdk/credential"
)

const (
	alice = "usr_alice"
	bob   = "usr_bob"
)

func header(name string, v credential.Verdict, user string) credential.Candidate {
	return credential.Candidate{Source: credential.Header, Kind: credential.JWT, Verdict: v, Name: name, UserID: user}
}

func cookie(name string, v credential.Verdict, user string) credential.Candidate {
	return credential.Candidate{Source: credential.Cookie, Kind: credential.JWT, Verdict: v, Name: name, UserID: user}
}

func query(v credential.Verdict, user string) credential.Candidate {
	return credential.Candidate{Source: credential.Query, Kind: credential.JWT, Verdict: v, Name: "_token", UserID: user}
}

const (
	untried = credential.Untried
	expired = credential.Expired
	badForm = credential.BadForm
)

func TestChoose(t *testing.T) {
	one := policy{cookies: []string{"kc_auth"}}
	two := policy{cookies: []string{"kc_auth", "legacy"}}
	change := policy{cookies: []string{"kc_auth", "legacy"}, allowUserChange: true}
	auth := func(v credential.Verdict, user string) credential.Candidate { return header("Authorization", v, user) }
	tests := []struct {
		name       string
		policy     policy
		candidates []credential.Candidate
		want       string
	}{
		{"same user", one, list(auth(expired, alice), cookie("kc_auth", untried, alice)), "try kc_auth"},
		{"header names nobody", one, list(auth(badForm, ""), cookie("kc_auth", untried, bob)), "try kc_auth"},
		{"cookie names nobody", one, list(auth(expired, alice), cookie("kc_auth", untried, "")), "try kc_auth"},
		{"other user", one, list(auth(expired, alice), cookie("kc_auth", untried, bob)), "stop"},
		{"other user allowed", change, list(auth(expired, alice), cookie("kc_auth", untried, bob)), "try kc_auth"},
		{"cookie first in the realm's order", one, list(cookie("kc_auth", untried, alice), auth(expired, alice)), "try kc_auth"},

		{"no cookie", one, list(auth(expired, alice)), "abstain"},
		{"only a cookie that is not listed", one, list(auth(expired, alice), cookie("other", untried, alice)), "abstain"},
		{"cookie in other letters", one, list(auth(expired, alice), cookie("KC_AUTH", untried, alice)), "abstain"},
		{"header of a cookie's name", one, list(auth(expired, alice), header("kc_auth", untried, alice)), "abstain"},
		{"query is no cookie", one, list(auth(expired, alice), query(untried, alice)), "abstain"},
		{"cookie failed, too", one, list(auth(expired, alice), cookie("kc_auth", badForm, "")), "abstain"},
		{"another header is left alone", one, list(auth(badForm, ""), header("X-Auth-Token", untried, alice), cookie("kc_auth", untried, alice)), "try kc_auth"},

		{"configured order", two, list(auth(badForm, ""), cookie("legacy", untried, alice), cookie("kc_auth", untried, alice)), "try kc_auth"},
		{"first cookie absent", two, list(auth(badForm, ""), cookie("legacy", untried, alice)), "try legacy"},
		{"first cookie failed", two, list(auth(expired, alice), cookie("kc_auth", expired, alice), cookie("legacy", untried, alice)), "try legacy"},
		{"first cookie failed without a header", two, list(cookie("kc_auth", badForm, ""), cookie("legacy", untried, alice)), "try legacy"},
		{"all failed", two, list(auth(expired, alice), cookie("kc_auth", expired, alice), cookie("legacy", expired, alice)), "abstain"},

		{"conflict is not passed over", two, list(auth(expired, alice), cookie("kc_auth", untried, bob), cookie("legacy", untried, alice)), "stop"},
		{"conflict of two cookies", two, list(cookie("kc_auth", expired, alice), cookie("legacy", untried, bob)), "stop"},
		{"conflict with a header two steps before", two, list(auth(expired, alice), cookie("kc_auth", expired, ""), cookie("legacy", untried, bob)), "stop"},
		{"conflict with a header that was not tried", one, list(auth(badForm, ""), header("X-Auth-Token", untried, alice), cookie("kc_auth", untried, bob)), "stop"},
		{"a cookie to come is no conflict", two, list(auth(badForm, ""), cookie("kc_auth", untried, alice), cookie("legacy", untried, bob)), "try kc_auth"},
		{"conflicts allowed", change, list(auth(expired, alice), cookie("kc_auth", expired, bob), cookie("legacy", untried, "usr_carol")), "try legacy"},

		{"query failed", one, list(query(expired, alice), cookie("kc_auth", untried, alice)), "abstain"},
		{"session cookie failed", one, list(cookie("__Host-authhost", expired, alice), cookie("kc_auth", untried, alice)), "abstain"},
		{"header and session cookie failed", one, list(auth(expired, alice), cookie("__Host-authhost", expired, alice), cookie("kc_auth", untried, alice)), "abstain"},
		{"nothing at all", one, nil, "abstain"},
	}
	for _, test := range tests {
		c, what := test.policy.choose(test.candidates)
		got := []string{"abstain", "try " + c.Name, "stop"}[what]
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if what == try && (c.Source != credential.Cookie || c.Tried() || !slices.Contains(test.policy.cookies, c.Name)) {
			t.Errorf("%s: chose %+v", test.name, c)
		}
	}
}

func list(c ...credential.Candidate) []credential.Candidate { return c }

// A header that failed in any way makes room for the cookie.
func TestEveryVerdict(t *testing.T) {
	p := policy{cookies: []string{"kc_auth"}}
	for v := badForm; v <= credential.Revoked; v++ {
		for _, kind := range []credential.Kind{credential.Malformed, credential.JWT, credential.Session, credential.AccessToken} {
			failed := header("Authorization", v, "")
			failed.Kind = kind
			if c, what := p.choose(list(failed, cookie("kc_auth", untried, alice))); what != try || c.Name != "kc_auth" {
				t.Errorf("verdict %d, kind %d: %d", v, kind, what)
			}
		}
	}
}

// Attack 39: Alice's expired header with Bob's cookie must not act as Bob,
// whatever else the request carries.
func TestAttack39_another_users_cookie(t *testing.T) {
	p := policy{cookies: []string{"kc_auth", "legacy"}}
	bobs := cookie("kc_auth", untried, bob)
	for _, rest := range [][]credential.Candidate{
		nil,
		list(cookie("legacy", untried, bob)),
		list(cookie("legacy", untried, alice)),
		list(cookie("legacy", expired, bob)),
		list(header("X-Auth-Token", untried, bob)),
		list(header("X-Auth-Token", badForm, "")),
		list(query(untried, bob)),
	} {
		for _, v := range []credential.Verdict{expired, credential.NotYetValid, credential.WrongAudience, credential.Revoked} {
			all := append(list(header("Authorization", v, alice), bobs), rest...)
			if _, what := p.choose(all); what != stop {
				t.Errorf("%+v: %d", all, what)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	p, err := parseConfig([]byte(`{"cookies":["kc_auth","__Host-x"],"allow_user_change":true}`))
	if err != nil || !slices.Equal(p.cookies, []string{"kc_auth", "__Host-x"}) || !p.allowUserChange {
		t.Fatal(p, err)
	}
	if p, err := parseConfig([]byte(`{"cookies":["a"]}`)); err != nil || p.allowUserChange {
		t.Fatal("a user change is allowed unasked", err)
	}
}

func TestConfigRefused(t *testing.T) {
	tests := []struct{ config, want string }{
		{``, "cookies is empty: name at least one"},
		{`{}`, "cookies is empty: name at least one"},
		{`{"cookies":[]}`, "cookies is empty: name at least one"},
		{`{"cookies":null}`, "cookies: no value"},
		{`{"cookies":"kc_auth"}`, "cookies: string where a list belongs"},
		{`{"cookies":[7]}`, "cookies: number where a text belongs"},
		{`{"cookies":["a",null]}`, "cookies: null where a text belongs"},
		{`{"cookies":["a",""]}`, `cookies[1]: "" is not a cookie's name`},
		{`{"cookies":["a b"]}`, `cookies[0]: "a b" is not a cookie's name`},
		{`{"cookies":["a=b"]}`, `cookies[0]: "a=b" is not a cookie's name`},
		{`{"cookies":["a","b","a"]}`, `cookies[2]: "a" is there twice`},
		{`{"cookies":["a"],"allow_user_change":"true"}`, "allow_user_change: string where true or false belongs"},
		{`{"cookies":["a"],"cookie":"b"}`, `unknown key "cookie", known are allow_user_change, cookies`},
		{`{"Cookies":["a"]}`, `unknown key "Cookies", known are allow_user_change, cookies`},
		{`[]`, "array where an object belongs"},
		{`{"cookies":["a"]}{}`, "not JSON: invalid character '{' after top-level value"},
		{`{"cookies":["` + strings.Repeat("x ", 600) + `"]}`, `cookies[0]: "` + strings.Repeat("x ", 32) + `" is not a cookie's name`},
	}
	for _, test := range tests {
		if _, err := parseConfig([]byte(test.config)); err == nil || err.Error() != test.want {
			t.Errorf("%.80s: %v, want %s", test.config, err, test.want)
		}
	}
}

func TestChoosingAllocatesNothing(t *testing.T) {
	p := policy{cookies: []string{"kc_auth", "legacy"}}
	all := list(header("Authorization", expired, alice), cookie("kc_auth", expired, alice), cookie("legacy", untried, bob))
	if n := testing.AllocsPerRun(100, func() { p.choose(all) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
