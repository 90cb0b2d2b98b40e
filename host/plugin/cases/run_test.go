package cases_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/cases"
)

// subject answers what it is told and remembers what it was asked.
type subject struct {
	opinion host.Opinion
	choice  host.Choice
	err     error
	asked   []*host.Call
	closed  int
}

func (s *subject) Hooks() []string   { return []string{"on_authorize", "on_credential"} }
func (s *subject) Host() host.Plugin { return host.Plugin{Authorizer: s, Chooser: s} }

func (s *subject) Close(context.Context) error { s.closed++; return nil }

func (s *subject) Authorize(_ context.Context, c *host.Call) (host.Opinion, error) {
	s.asked = append(s.asked, c)
	return s.opinion, s.err
}

func (s *subject) Choose(_ context.Context, c *host.Call) (host.Choice, error) {
	s.asked = append(s.asked, c)
	return s.choice, s.err
}

func parse(t *testing.T, text string) *cases.Set {
	t.Helper()
	set, err := cases.Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// check runs a set on two subjects.
func check(set *cases.Set, compiled, interpreted *subject) error {
	return set.Check(context.Background(), func(_ context.Context, _ []byte, second bool, _ *cases.World) (cases.Subject, error) {
		if second {
			return interpreted, nil
		}
		return compiled, nil
	})
}

// What a case says is what the plugin is shown, and the rest has defaults.
func TestWhatThePluginIsShown(t *testing.T) {
	set := parse(t, `
- name: everything
  hook: on_authorize
  time: 2026-03-01T12:00:00+01:00
  request:
    method: POST
    url: https://Console.Example:8443/api/%73ync?dry=1
    headers: {x-team: ops, Accept: [a, b]}
    client: 2001:db8::7
    realm: staff
    route: /api/**
  identity:
    issuer: https://other.example
    sub: ann
    roles: [editor, viewer]
    groups: [ops]
    email: ann@example.org
    session_id: ses_1
    credential: {source: cookie, name: kc_auth, kind: session}
    claims: {level: 3, nested: {a: [true, null_is_not_for_cases]}}
    expires: 2026-03-01T12:00:00Z
  expect: {decision: abstain}
- name: next to nothing
  hook: on_authorize
  request: {path: /}
  expect: {decision: abstain}
- name: parts
  hook: on_authorize
  request: {scheme: http, host: "[::1]:80", path: /a, query: b=c}
  identity: {user_id: usr_x}
  expect: {decision: abstain}
- name: credentials
  hook: on_credential
  request: {path: /a}
  candidates:
    - {source: header, name: x-auth-token, verdict: bad_signature}
    - {source: cookie, name: kc_auth, kind: session, user_id: usr_x}
  expect: {decision: abstain}
`)
	var s subject
	if err := check(set, &s, &subject{}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
	cookie := host.Credential{Source: host.FromCookie, Name: "kc_auth", Kind: host.Session}
	header := host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT}
	client := netip.MustParseAddr("192.0.2.1")
	want := []*host.Call{{
		Request: &host.Request{
			Method: "POST", Scheme: "https", Authority: "Console.Example:8443", Host: "console.example", Path: "/api/sync", RawPath: "/api/%73ync",
			RawQuery: "dry=1", Header: http.Header{"X-Team": {"ops"}, "Accept": {"a", "b"}}, Client: netip.MustParseAddr("2001:db8::7"),
		},
		Query: "dry=1", Now: at, Realm: "staff", Route: "/api/**",
		Identity: &host.Identity{
			Realm: "staff", Issuer: "https://other.example", Subject: "ann", UserID: host.UserID("staff", "https://other.example", "ann"),
			Roles: []string{"editor", "viewer"}, Groups: []string{"ops"}, Email: "ann@example.org", SessionID: "ses_1",
			Claims: map[string]any{"level": 3.0, "nested": map[string]any{"a": []any{true, "null_is_not_for_cases"}}}, Expires: at.Add(time.Hour),
		},
		Credential: cookie, Found: []host.Credential{cookie},
	}, {
		Request: &host.Request{Method: "GET", Scheme: "https", Authority: "console.example", Host: "console.example", Path: "/", RawPath: "/", Header: http.Header{}, Client: client},
		Now:     cases.Now(), Realm: "main", Route: "/**",
	}, {
		Request: &host.Request{Method: "GET", Scheme: "http", Authority: "[::1]:80", Host: "[::1]", Path: "/a", RawPath: "/a", RawQuery: "b=c", Header: http.Header{}, Client: client},
		Query:   "b=c", Now: cases.Now(), Realm: "main", Route: "/**",
		Identity:   &host.Identity{Realm: "main", Issuer: "https://idp.example", Subject: "someone", UserID: "usr_x", Expires: cases.Now().Add(time.Hour)},
		Credential: header, Found: []host.Credential{header},
	}, {
		Request: &host.Request{Method: "GET", Scheme: "https", Authority: "console.example", Host: "console.example", Path: "/a", RawPath: "/a", Header: http.Header{}, Client: client},
		Now:     cases.Now(), Realm: "main", Route: "/**",
		Found: []host.Credential{{Source: host.FromHeader, Name: "X-Auth-Token", Kind: host.JWT}, cookie},
		Candidates: []host.Candidate{
			{Source: host.FromHeader, Name: "X-Auth-Token", Kind: host.JWT, Verdict: host.BadSignature},
			{Source: host.FromCookie, Name: "kc_auth", Kind: host.Session, UserID: "usr_x"},
		},
	}}
	for i, w := range want {
		if !reflect.DeepEqual(s.asked[i], w) {
			t.Errorf("case %d: shown\n%+v\n%+v\n%+v, want\n%+v\n%+v\n%+v", i, s.asked[i], s.asked[i].Request, s.asked[i].Identity, w, w.Request, w.Identity)
		}
	}
}

const three = `
- {name: allowed, hook: on_authorize, request: {path: /}, identity: {}, expect: {decision: allow, headers: {X-Team: ops}}}
- {name: denied, hook: on_authorize, request: {path: /}, expect: {decision: deny, status: 401, reason: ""}}
- {name: chosen, hook: on_credential, request: {path: /}, candidates: [{source: header, verdict: expired}, {source: cookie, name: a}, {source: cookie, name: b}], expect: {decision: next, candidate: 2}}
`

func TestDifferences(t *testing.T) {
	team := []host.Header{{Name: "X-Team", Value: "ops"}}
	allow, deny := host.Opinion{Effect: host.Allow, Headers: team}, host.Opinion{Effect: host.Deny, Kind: host.Forbidden}
	next := host.Choice{Effect: host.Allow, Candidate: 2}
	for _, test := range []struct {
		name    string
		opinion host.Opinion
		choice  host.Choice
		want    []string
	}{
		{"allow", allow, next, []string{
			"denied: decision: want deny, got allow", "denied: status: want 401, got 200"}},
		{"other header", host.Opinion{Effect: host.Allow, Headers: []host.Header{{Name: "X-Tier", Value: "1"}}}, next, []string{
			`allowed: headers.X-Team: want "ops", got none`, `allowed: headers.X-Tier: want none, got "1"`,
			"denied: decision: want deny, got allow", "denied: status: want 401, got 200"}},
		{"deny", deny, host.Choice{Effect: host.Deny}, []string{
			"allowed: decision: want allow, got deny", `allowed: headers.X-Team: want "ops", got none`,
			"chosen: decision: want next, got stop", "chosen: candidate: want 2, got none"}},
		{"not found", host.Opinion{Effect: host.Deny, Kind: host.NotFound, Reason: "gone"}, host.Choice{Effect: host.Allow, Candidate: 1}, []string{
			"allowed: decision: want allow, got deny", `allowed: headers.X-Team: want "ops", got none`,
			"denied: status: want 401, got 404", `denied: reason: want "", got "gone"`,
			"chosen: candidate: want 2, got 1"}},
		{"a candidate that was tried", host.Opinion{}, host.Choice{Effect: host.Allow}, []string{
			"allowed: decision: want allow, got abstain", `allowed: headers.X-Team: want "ops", got none`,
			"denied: decision: want deny, got abstain", "denied: status: want 401, got none",
			"chosen: on_credential chose candidate 0, which cannot be tried"}},
	} {
		var got []string
		for _, g := range parse(t, three).Groups() {
			for _, c := range g.Cases {
				r := c.Run(t.Context(), &subject{opinion: test.opinion, choice: test.choice}, &cases.World{})
				if r.Err != nil {
					got = append(got, r.Case.Name+": "+r.Err.Error())
				}
				for _, d := range r.Diff {
					got = append(got, r.Case.Name+": "+d.String())
				}
				if r.OK() != (r.Err == nil && len(r.Diff) == 0) {
					t.Errorf("%s: OK is %v", r.Case.Name, r.OK())
				}
			}
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

// An answer that is as expected, but not the same on both engines, fails.
func TestEnginesMustAgree(t *testing.T) {
	set := parse(t, "- {name: any reason, hook: on_authorize, request: {path: /}, expect: {decision: abstain}}")
	compiled, interpreted := &subject{opinion: host.Opinion{Reason: "one"}}, &subject{opinion: host.Opinion{Reason: "other"}}
	err := check(set, compiled, interpreted)
	want := `f.yaml:1: case "any reason": reason: the engines disagree: "one" on the compiler, "other" on the interpreter`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	interpreted.err = errors.New("trapped\nstack trace")
	want = `f.yaml:1: case "any reason": no answer on the interpreter: trapped`
	if err := check(set, compiled, interpreted); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	compiled.err = interpreted.err
	want = `f.yaml:1: case "any reason": no answer: trapped`
	if err := check(set, compiled, interpreted); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if len(interpreted.asked) != 2 || compiled.closed != 3 || interpreted.closed != 3 {
		t.Errorf("%d asked, closed %d and %d times", len(interpreted.asked), compiled.closed, interpreted.closed)
	}
}

// When time is up, no case passes.
func TestCasesThatWereNotAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range parse(t, three).Groups()[0].Cases {
		r := c.Run(ctx, &subject{}, &cases.World{})
		if !errors.Is(r.Err, context.Canceled) || r.OK() {
			t.Errorf("%s: %v", r.Case.Name, r.Err)
		}
	}
}

// Cases of one configuration share a subject, those of the entry's get none.
func TestConfigurations(t *testing.T) {
	set := parse(t, strings.ReplaceAll(`
- {name: a, config: &c {b: 1, a: <x>}, REST}
- {name: b, REST}
- {name: c, config: *c, REST}
- {name: d, config: [1], REST}
`, "REST", "hook: on_authorize, request: {path: /}, expect: {decision: abstain}"))
	var loaded []string
	err := set.Check(t.Context(), func(_ context.Context, config []byte, interpreted bool, world *cases.World) (cases.Subject, error) {
		text := string(config)
		if config == nil {
			text = "nil"
		}
		if interpreted {
			text += " again"
		}
		loaded = append(loaded, text)
		return &subject{}, nil
	})
	want := []string{`{"a":"<x>","b":1}`, `{"a":"<x>","b":1} again`, "nil", "nil again", "[1]", "[1] again"}
	if err != nil || !reflect.DeepEqual(loaded, want) {
		t.Errorf("%v, loaded %q", err, loaded)
	}
}
