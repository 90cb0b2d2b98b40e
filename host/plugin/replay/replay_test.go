package replay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/replay"
)

const second = time.Second

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// call is a call about an editor.
func call(path string) *host.Call {
	return &host.Call{
		Request: &host.Request{
			Method: "POST", Scheme: "https", Authority: "console.example", Host: "console.example", Path: path, RawPath: path,
			Header: http.Header{"User-Agent": {"Mozilla/5.0"}, "Accept": {"*/*"}}, Client: netip.MustParseAddr("192.0.2.7"),
		},
		Now: noon, Realm: "main", Route: "/**",
		Identity: &host.Identity{
			Realm: "main", Issuer: "https://idp.example", Subject: "alice", UserID: "usr_alice",
			Roles: []string{"viewer", "editor"}, Groups: []string{"ops"}, Expires: noon.Add(time.Hour),
		},
		Credential: host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT},
	}
}

// version is one version of a plugin.
type version func(c *host.Call) (host.Opinion, error)

func (v version) Authorize(_ context.Context, c *host.Call) (host.Opinion, error) { return v(c) }

var (
	allowed = host.Opinion{Effect: host.Allow, Reason: "rules[0]: editor"}
	denied  = host.Opinion{Effect: host.Deny, Kind: host.Forbidden, Reason: "rules[1] needs admin"}
)

func always(o host.Opinion) version {
	return func(*host.Call) (host.Opinion, error) { return o, nil }
}

// kept returns the calls that a recorder kept, in order.
func kept(r *replay.Recorder) (calls []*host.Call) {
	r.Replay(context.Background(), version(func(c *host.Call) (host.Opinion, error) {
		calls = append(calls, c)
		return allowed, nil
	}))
	return calls
}

func path(i int) string { return "/api/items/" + strconv.Itoa(i) }

// A version that decides one of 256 requests otherwise is seen to, with the
// request and both reasons.
func TestOneOf256(t *testing.T) {
	r := replay.NewRecorder()
	for i := range 256 {
		r.Record(call(path(i)), allowed)
	}
	report := r.Replay(t.Context(), version(func(c *host.Call) (host.Opinion, error) {
		if c.Request.Path == path(77) {
			return denied, nil
		}
		return allowed, nil
	}))
	want := []replay.Change{{
		Method: "POST", Host: "console.example", Path: path(77), UserID: "usr_alice", Roles: []string{"viewer", "editor"},
		Old: replay.Answer{Effect: host.Allow, Status: 200, Reason: "rules[0]: editor"},
		New: replay.Answer{Effect: host.Deny, Status: 403, Reason: "rules[1] needs admin"},
	}}
	if report.Asked != 256 || !reflect.DeepEqual(report.Changed, want) {
		t.Fatalf("%d asked, changed: %+v", report.Asked, report.Changed)
	}
	line := `POST console.example/api/items/77 by usr_alice (viewer, editor): was allow 200 "rules[0]: editor", would be deny 403 "rules[1] needs admin"`
	if got := report.Changed[0].String(); got != line {
		t.Errorf("got  %s\nwant %s", got, line)
	}
	if again := report.Next.Replay(t.Context(), always(allowed)); again.Asked != 256 || len(again.Changed) != 1 || again.Changed[0].Path != path(77) {
		t.Errorf("the next version begins with %d decisions, %v", again.Asked, again.Changed)
	}
}

// Every part of an answer counts, the order of headers does not, and what a
// deny comes to depends on who asks.
func TestWhatIsAChange(t *testing.T) {
	header := func(pairs ...string) (o host.Opinion) {
		for i := 0; i < len(pairs); i += 2 {
			o.Headers = append(o.Headers, host.Header{Name: pairs[i], Value: pairs[i+1]})
		}
		return o
	}
	for _, test := range []struct {
		was, now host.Opinion
		want     string // none: no change
	}{
		{denied, denied, ""},
		{host.Opinion{}, host.Opinion{Effect: host.Allow}, `was abstain, would be allow 200`},
		{denied, host.Opinion{Effect: host.Deny, Kind: host.NotFound, Reason: denied.Reason}, `was deny 403 "rules[1] needs admin", would be deny 404 "rules[1] needs admin"`},
		{denied, host.Opinion{Effect: host.Deny, Reason: denied.Reason}, ""},
		{denied, host.Opinion{Effect: host.Deny, Reason: "so"}, `was deny 403 "rules[1] needs admin", would be deny 403 "so"`},
		{header("X-A", "1", "X-B", "2"), header("X-B", "2", "X-A", "1"), ""},
		{header("X-A", "1", "X-B", "2"), header("X-A", "1"), `was abstain X-A: "1" X-B: "2", would be abstain X-A: "1"`},
	} {
		r := replay.NewRecorder()
		r.Record(call("/"), test.was)
		got := ""
		for _, c := range r.Replay(t.Context(), always(test.now)).Changed {
			_, got, _ = strings.Cut(c.String(), ": ")
		}
		if got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}

	r, c := replay.NewRecorder(), call("/a b")
	c.Identity = nil
	r.Record(c, host.Opinion{})
	line := `POST "console.example/a b" by anonymous: was abstain, would be deny 401 "rules[1] needs admin"`
	if got := r.Replay(t.Context(), always(denied)).Changed; len(got) != 1 || got[0].String() != line {
		t.Errorf("got %v, want %s", got, line)
	}
}

// A version that fails has changed the decision; so has one that there was no
// time to ask.
func TestFailuresAreChanges(t *testing.T) {
	r := replay.NewRecorder()
	for i := range 3 {
		r.Record(call(path(i)), allowed)
	}
	report := r.Replay(t.Context(), version(func(c *host.Call) (host.Opinion, error) {
		if c.Request.Path == path(1) {
			return allowed, errors.New("trapped\nstack trace")
		}
		return allowed, nil
	}))
	if report.Asked != 3 || len(report.Changed) != 1 || !strings.HasSuffix(report.Changed[0].String(), "would be no answer (trapped)") || report.Next.Len() != 2 {
		t.Errorf("%+v, %d go on", report, report.Next.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	report = r.Replay(ctx, version(func(*host.Call) (host.Opinion, error) { cancel(); return allowed, nil }))
	if report.Asked != 3 || len(report.Changed) != 2 || !errors.Is(report.Changed[0].New.Err, context.Canceled) {
		t.Errorf("%+v", report)
	}
}

// The new version is asked what the old one was asked, at that time, whatever
// has become of the request since.
func TestWhatIsKept(t *testing.T) {
	r, c := replay.NewRecorder(), call("/api/sync")
	c.Query = "a=b"
	c.Identity.Claims = map[string]any{"level": 3.0, "nested": []any{"x"}}
	c.Request.Header["X-Team"] = []string{"ops", "dev"}
	headers := []host.Header{{Name: "X-Tier", Value: "1"}}
	r.Record(c, host.Opinion{Headers: headers})
	want := *call("/api/sync").Request
	want.Authority, want.Header = "", c.Request.Header.Clone()
	c.Request.Header["X-Team"][0], c.Request.Path, headers[0].Value = "gone", "/gone", "gone"
	clear(c.Request.Header)

	got := kept(r)[0]
	if !reflect.DeepEqual(*got.Request, want) || got.Query != "a=b" || !got.Now.Equal(noon) || got.Realm != "main" || got.Route != "/**" || !reflect.DeepEqual(got.Identity, c.Identity) {
		t.Errorf("got %+v\n%+v", got, got.Request)
	}
	if changed := r.Replay(t.Context(), always(host.Opinion{Headers: []host.Header{{Name: "X-Tier", Value: "1"}}})).Changed; changed != nil {
		t.Errorf("%v", changed)
	}
}

// No credential is kept, wherever it was and however often; what plugins can
// read beside it is.
func TestNoCredentialIsKept(t *testing.T) {
	const token, session = "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl", "ahs_mfrggzdfmztwq2lk"
	base := func() *host.Call {
		c := call("/api/sync")
		c.Found = []host.Credential{
			{Source: host.FromHeader, Name: "X-Auth-Token", Kind: host.JWT, Value: token},
			{Source: host.FromCookie, Name: "kc_auth", Kind: host.Session, Value: session},
			{Source: host.FromQuery, Name: "_token"}, // malformed: there twice
		}
		c.Credential = c.Found[0]
		c.Query = "a=b"
		c.Request.RawQuery = "_token=" + token + "&a=b&_token=" + session
		c.Request.Header = http.Header{
			"X-Auth-Token": {token}, "Authorization": {"Basic c2VjcmV0"}, "X-Original-Url": {"/?_token=" + token},
			"Cookie":  {"theme=dark; kc_auth=" + session + "; copy=x" + token + "y", "KC_AUTH=other", "lang=de"},
			"Referer": {"https://console.example/?t=" + session}, "X-Team": {"ops"},
		}
		return c
	}
	r := replay.NewRecorder()
	r.Record(base(), allowed)
	if r.Len() != 1 {
		t.Fatal("it is not kept")
	}
	c := kept(r)[0]
	text := fmt.Sprintf("%+v %+v", *c, *c.Request)
	for _, secret := range []string{token, session, "c2VjcmV0", "other"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is kept: %s", secret, text)
		}
	}
	want := http.Header{"X-Team": {"ops"}, "Cookie": {"theme=dark", "lang=de"}}
	if !reflect.DeepEqual(c.Request.Header, want) || c.Query != "a=b" || c.Request.RawQuery != "" {
		t.Errorf("kept %+v, query %q", c.Request.Header, c.Query)
	}
	// What was hidden stays so.
	if !c.Hides(host.FromHeader, "x-auth-token") || !c.Hides(host.FromCookie, "kc_auth") || !c.Hides(host.FromQuery, "_token") || c.Credential.Label() != "header/jwt" {
		t.Errorf("found %+v", c.Found)
	}

	for name, spoil := range map[string]func(c *host.Call){
		"host":            func(c *host.Call) { c.Request.Host = token },
		"path":            func(c *host.Call) { c.Request.Path += token },
		"raw path":        func(c *host.Call) { c.Request.RawPath += token },
		"query":           func(c *host.Call) { c.Query += "&b=" + token },
		"query, encoded":  func(c *host.Call) { c.Query += "&b=%65" + token[1:] },
		"another's value": func(c *host.Call) { c.Query += "&" + session },
	} {
		r, c := replay.NewRecorder(), base()
		spoil(c)
		if r.Record(c, allowed); r.Len() != 0 {
			t.Errorf("%s: it is kept", name)
		}
	}
}

// A plugin that is shown credentials may put one into its answer. Nobody who is
// told what would change reads it there.
func TestNoCredentialIsShown(t *testing.T) {
	const token = "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl"
	r, c := replay.NewRecorder(), call("/api/sync")
	c.Found = []host.Credential{{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: token}}
	r.Record(c, host.Opinion{Reason: "for " + token, Headers: []host.Header{{Name: "X-Token", Value: "Bearer " + token}, {Name: "X-Team", Value: "ops"}}})
	changed := r.Replay(t.Context(), always(allowed)).Changed
	if len(changed) != 1 || strings.Contains(fmt.Sprintf("%+v", changed), token) {
		t.Fatalf("changed %+v", changed)
	}
	want := `was abstain "(holds a credential)" X-Team: "ops" X-Token: "(holds a credential)", would be `
	if got := changed[0].String(); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
	const renewed = "eyJhbGciOi.eyJzdWIi.cmVuZXdlZA"
	c.Found[0].Value = renewed
	r.Record(c, host.Opinion{Reason: "for " + renewed, Headers: []host.Header{{Name: "X-Token", Value: "Bearer " + renewed}, {Name: "X-Team", Value: "ops"}}})
	if r.Len() != 1 {
		t.Errorf("%d are kept after the token was renewed", r.Len())
	}
}

// What is large is not kept, wherever it is large.
func TestLargeRequestsAreLeftOut(t *testing.T) {
	long := strings.Repeat("x", 17<<10)
	for name, grow := range map[string]func(c *host.Call, o *host.Opinion){
		"path":   func(c *host.Call, _ *host.Opinion) { c.Request.Path += long },
		"query":  func(c *host.Call, _ *host.Opinion) { c.Query += long },
		"header": func(c *host.Call, _ *host.Opinion) { c.Request.Header["X-Long"] = []string{long} },
		"headers": func(c *host.Call, _ *host.Opinion) {
			c.Request.Header["X-Many"] = strings.Split(strings.Repeat("x,", 4000), ",")
		},
		"cookie": func(c *host.Call, _ *host.Opinion) { c.Request.Header["Cookie"] = []string{"a=" + long} },
		"roles":  func(c *host.Call, _ *host.Opinion) { c.Identity.Roles = []string{long} },
		"claims": func(c *host.Call, _ *host.Opinion) {
			c.Identity.Claims = map[string]any{"a": []any{map[string]any{"b": long}}}
		},
		"answer": func(_ *host.Call, o *host.Opinion) { o.Headers = []host.Header{{Name: "X-A", Value: long}} },
	} {
		r, c, o := replay.NewRecorder(), call("/"), allowed
		grow(c, &o)
		if r.Record(c, o); r.Len() != 0 {
			t.Errorf("%s: it is kept", name)
		}
	}
	r, c := replay.NewRecorder(), call("/")
	c.Request.Header["Authorization"] = []string{long} // not kept anyhow
	if r.Record(c, allowed); r.Len() != 1 {
		t.Error("what plugins cannot see counts")
	}
}
