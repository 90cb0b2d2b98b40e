package host_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
)

// world is what the pipeline consumes, by table: every token is its own
// answer.
type world struct {
	validations map[string]host.Validation
	noVerdict   map[string]bool
	revoked     map[string]bool // by user id
	cacheAway   bool
	looked      []string // tokens that were judged, in order
}

func (w *world) Find(r *host.Request, dst []host.Credential) ([]host.Credential, string) {
	for _, name := range []string{"X-First", "X-Second", "X-Third"} {
		if v := r.Header.Get(name); v != "" {
			kind := host.JWT
			source := host.FromHeader
			switch {
			case strings.HasPrefix(v, "ses"):
				kind = host.Session
			case v == "garbage":
				kind = host.Malformed
			}
			if name == "X-Second" {
				source = host.FromCookie
			}
			dst = append(dst, host.Credential{Source: source, Name: name, Kind: kind, Value: v})
		}
	}
	return dst, "struck"
}

func (w *world) Validate(_ context.Context, token string) (host.Validation, error) {
	w.looked = append(w.looked, token)
	if w.noVerdict[token] {
		return host.Validation{}, host.Errorf(host.Unavailable, "key set unavailable", "connection refused")
	}
	return w.validations[token], nil
}

func (w *world) Resolve(ctx context.Context, token string) (host.Validation, error) {
	if w.cacheAway {
		return host.Validation{}, errors.New("connection refused")
	}
	return w.Validate(ctx, token)
}

func (w *world) Revoked(_ context.Context, id *host.Identity) (bool, error) {
	if w.cacheAway {
		return false, errors.New("connection refused")
	}
	return w.revoked[id.UserID], nil
}

// opinions answers on_authorize the same way each time.
type opinions struct {
	host.Opinion
	err   error
	asked int
	call  host.Call
}

func (o *opinions) Authorize(_ context.Context, c *host.Call) (host.Opinion, error) {
	o.asked++
	o.call = *c
	return o.Opinion, o.err
}

// chooser picks the first untried candidate of a cookie, as long as allowed.
type chooser struct {
	pick  func([]host.Candidate) (host.Choice, error)
	asked int
	saw   []host.Candidate
}

func (c *chooser) Choose(_ context.Context, call *host.Call) (host.Choice, error) {
	c.asked++
	c.saw = slices.Clone(call.Candidates)
	return c.pick(call.Candidates)
}

func firstUntried(list []host.Candidate) (host.Choice, error) {
	for i, c := range list {
		if c.Verdict == host.Untried {
			return host.Choice{Effect: host.Allow, Candidate: i}, nil
		}
	}
	return host.Choice{Effect: host.Deny}, nil
}

var (
	alice = &host.Identity{Realm: "main", Subject: "alice", UserID: host.UserID("main", "iss", "alice"), Roles: []string{"editor"}}
	bob   = &host.Identity{Realm: "main", Subject: "bob", UserID: host.UserID("main", "iss", "bob")}
	lax   = &host.Identity{Realm: "main", Subject: "lax", UserID: host.UserID("main", "iss", "lax"), SkipRevocation: true}
)

func newWorld() *world {
	return &world{
		validations: map[string]host.Validation{
			"alice":         {Verdict: host.Valid, Identity: alice},
			"bob":           {Verdict: host.Valid, Identity: bob},
			"lax":           {Verdict: host.Valid, Identity: lax},
			"alice-expired": {Verdict: host.Expired, Identity: alice},
			"forged":        {Verdict: host.BadSignature},
			"ses-alice":     {Verdict: host.Valid, Identity: alice},
			"ses-gone":      {Verdict: host.Unknown},
		},
		noVerdict: map[string]bool{"unjudged": true},
		revoked:   map[string]bool{},
	}
}

func (w *world) pipeline(routes ...host.Route) *host.Pipeline {
	p := host.New(time.Now)
	p.Swap(&host.Snapshot{
		Realms: []*host.Realm{{Name: "main", Hosts: []string{"*"}, Finder: w, Tokens: w, Sessions: w, Revoked: w}},
		Routes: routes,
	})
	return p
}

func pattern(t *testing.T, s string) host.Pattern {
	t.Helper()
	p, err := host.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func request(method, path string, header ...string) *host.Request {
	r := &host.Request{Method: method, Scheme: "https", Authority: "app.example", Host: "app.example", Path: path, RawPath: path,
		Header: http.Header{}, Client: netip.MustParseAddr("192.0.2.1")}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func decide(p *host.Pipeline, r *host.Request) (host.Decision, host.Event) {
	s := p.Acquire()
	defer s.Release()
	var ev host.Event
	return p.Decide(context.Background(), s, r, &ev), ev
}

func TestDecideByCredential(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		mode   host.Authentication
		away   bool
		gone   bool
		kind   host.Kind
		reason string
	}{
		{name: "none", kind: host.Unauthenticated, reason: "no_credential"},
		{name: "valid", header: []string{"X-First", "alice"}, kind: host.Allowed, reason: "default_allow"},
		{name: "session", header: []string{"X-First", "ses-alice"}, kind: host.Allowed, reason: "default_allow"},
		{name: "malformed", header: []string{"X-First", "garbage"}, kind: host.Unauthenticated, reason: "malformed"},
		{name: "strict: the first that is present decides", header: []string{"X-First", "forged", "X-Second", "alice"}, kind: host.Unauthenticated, reason: "bad_signature"},
		{name: "revoked", header: []string{"X-First", "alice"}, gone: true, kind: host.Unauthenticated, reason: "revoked"},
		{name: "unknown session", header: []string{"X-First", "ses-gone"}, kind: host.Unauthenticated, reason: "unknown"},
		{name: "cache away, jwt", header: []string{"X-First", "alice"}, away: true, kind: host.Unavailable, reason: "internal error"},
		{name: "cache away, session", header: []string{"X-First", "ses-alice"}, away: true, kind: host.Unavailable, reason: "internal error"},
		{name: "cache away, skipped", header: []string{"X-First", "lax"}, away: true, kind: host.Allowed, reason: "default_allow"},
		{name: "cache away, expired", header: []string{"X-First", "alice-expired"}, away: true, kind: host.Unauthenticated, reason: "expired"},
		{name: "key set away", header: []string{"X-First", "unjudged"}, kind: host.Unavailable, reason: "key set unavailable"},
		{name: "optional, none", mode: host.Optional, kind: host.Allowed, reason: "default_allow"},
		{name: "optional, failed", mode: host.Optional, header: []string{"X-First", "forged"}, kind: host.Unauthenticated, reason: "bad_signature"},
		{name: "public, failed", mode: host.None, header: []string{"X-First", "forged"}, kind: host.Allowed, reason: "public"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.cacheAway = c.away
			if c.gone {
				w.revoked[alice.UserID] = true
			}
			d, _ := decide(w.pipeline(host.Route{Pattern: pattern(t, "/**"), Authenticate: c.mode, AllowDefault: true}), request("GET", "/x", c.header...))
			if d.Kind != c.kind || d.Reason != c.reason {
				t.Errorf("got %s %q, want %s %q", d.Kind, d.Reason, c.kind, c.reason)
			}
			if c.mode == host.None && (d.Identity != nil || len(w.looked) > 0) {
				t.Errorf("a public route read a credential: %v", w.looked)
			}
		})
	}
}

func TestFallbackAsksOnlyWhenTheFirstFails(t *testing.T) {
	w := newWorld()
	c := &chooser{pick: firstUntried}
	p := w.pipeline(host.Route{Pattern: pattern(t, "/**"), AllowDefault: true, Plugins: []host.Plugin{{Name: "fallback", Chooser: c}}})

	d, _ := decide(p, request("GET", "/x", "X-First", "alice", "X-Second", "bob"))
	if d.Kind != host.Allowed || d.Identity != alice || c.asked != 0 || slices.Contains(w.looked, "bob") {
		t.Errorf("a valid header: %s as %v, plugin asked %d times, judged %v", d.Kind, d.Identity, c.asked, w.looked)
	}
	d, ev := decide(p, request("GET", "/x", "X-First", "forged", "X-Second", "bob"))
	if d.Kind != host.Allowed || d.Identity != bob || c.asked != 1 || len(ev.Tried) != 2 {
		t.Errorf("a forged header: %s as %v, plugin asked %d times, tried %v", d.Kind, d.Identity, c.asked, ev.Tried)
	}
	if d.Credential.Label() != "cookie/jwt" {
		t.Errorf("credential %s", d.Credential.Label())
	}
	d, _ = decide(p, request("GET", "/x", "X-First", "forged"))
	if d.Kind != host.Unauthenticated || c.asked != 1 {
		t.Errorf("nothing left: %s, plugin asked %d times", d.Kind, c.asked)
	}
	d, _ = decide(p, request("GET", "/x", "X-First", "unjudged", "X-Second", "bob"))
	if d.Kind != host.Unavailable || c.asked != 1 {
		t.Errorf("no verdict: %s, plugin asked %d times", d.Kind, c.asked)
	}
	d, _ = decide(p, request("GET", "/x", "X-First", "forged", "X-Second", "unjudged"))
	if d.Kind != host.Unavailable {
		t.Errorf("no verdict on the second: %s", d.Kind)
	}
}

func TestFallbackIsShownWhomASignedCredentialNames(t *testing.T) {
	w := newWorld()
	c := &chooser{pick: func([]host.Candidate) (host.Choice, error) { return host.Choice{Effect: host.Deny}, nil }}
	p := w.pipeline(host.Route{Pattern: pattern(t, "/**"), AllowDefault: true, Plugins: []host.Plugin{{Name: "fallback", Chooser: c}}})
	d, _ := decide(p, request("GET", "/x", "X-First", "alice-expired", "X-Second", "bob", "X-Third", "forged"))
	if d.Kind != host.Unauthenticated || d.Plugin != "fallback" {
		t.Errorf("stop: %s by %q", d.Kind, d.Plugin)
	}
	want := []host.Candidate{
		{Source: host.FromHeader, Name: "X-First", Kind: host.JWT, Verdict: host.Expired, UserID: alice.UserID},
		{Source: host.FromCookie, Name: "X-Second", Kind: host.JWT, Verdict: host.Untried, UserID: bob.UserID},
		{Source: host.FromHeader, Name: "X-Third", Kind: host.JWT, Verdict: host.Untried},
	}
	if !slices.Equal(c.saw, want) {
		t.Errorf("saw  %+v\nwant %+v", c.saw, want)
	}
}

// A session is in use when a request is let on by it: not when it was only
// looked at, refused as another site's, or asked about.
func TestOnlyTheCredentialThatCountsIsTouched(t *testing.T) {
	w := newWorld()
	touched := 0
	w.validations["ses-alice"] = host.Validation{Verdict: host.Valid, Identity: alice, Touch: func(context.Context) { touched++ }}
	stop := &chooser{pick: func([]host.Candidate) (host.Choice, error) { return host.Choice{Effect: host.Deny}, nil }}
	looks := w.pipeline(host.Route{Pattern: pattern(t, "/**"), AllowDefault: true, Plugins: []host.Plugin{{Name: "stop", Chooser: stop}}})
	plain := w.pipeline(host.Route{Pattern: pattern(t, "/**"), AllowDefault: true})
	refuses := w.pipeline(host.Route{Pattern: pattern(t, "/**"), Plugins: []host.Plugin{{Name: "no", Authorizer: &opinions{Opinion: host.Opinion{Effect: host.Deny}}}}})
	for name, c := range map[string]struct {
		p       *host.Pipeline
		request *host.Request
		kind    host.Kind
		touches int
	}{
		"used":                    {plain, request("GET", "/x", "X-First", "ses-alice"), host.Allowed, 1},
		"used, refused by policy": {refuses, request("GET", "/x", "X-First", "ses-alice"), host.Forbidden, 1},
		"a candidate":             {looks, request("GET", "/x", "X-First", "forged", "X-Second", "ses-alice"), host.Unauthenticated, 0},
		"another site's request":  {plain, request("POST", "/x", "X-Second", "ses-alice", "Sec-Fetch-Site", "cross-site"), host.Forbidden, 0},
	} {
		touched = 0
		if d, _ := decide(c.p, c.request); d.Kind != c.kind || touched != c.touches {
			t.Errorf("%s: %s, touched %d times, want %s and %d", name, d.Kind, touched, c.kind, c.touches)
		}
	}
	touched = 0
	s := plain.Acquire()
	defer s.Release()
	d := plain.Decide(t.Context(), s, request("GET", "/x", "X-First", "ses-alice"), &host.Event{Trace: func(string, ...any) {}})
	if d.Kind != host.Allowed || touched != 0 {
		t.Errorf("explained: %s, touched %d times", d.Kind, touched)
	}
}

func TestEachCredentialIsTriedAtMostOnce(t *testing.T) {
	w := newWorld()
	for name, choice := range map[string]host.Choice{
		"the one that failed": {Effect: host.Allow, Candidate: 0},
		"beyond the list":     {Effect: host.Allow, Candidate: 2},
		"before the list":     {Effect: host.Allow, Candidate: -1},
	} {
		c := &chooser{pick: func([]host.Candidate) (host.Choice, error) { return choice, nil }}
		p := w.pipeline(host.Route{Pattern: pattern(t, "/**"), AllowDefault: true, Plugins: []host.Plugin{{Name: "fallback", Chooser: c}}})
		if d, _ := decide(p, request("GET", "/x", "X-First", "forged", "X-Second", "bob")); d.Kind != host.Unavailable {
			t.Errorf("%s: %s", name, d.Kind)
		}
	}
}

func TestChain(t *testing.T) {
	allow := func() *opinions { return &opinions{Opinion: host.Opinion{Effect: host.Allow, Reason: "yes"}} }
	deny := func() *opinions { return &opinions{Opinion: host.Opinion{Effect: host.Deny, Reason: "no"}} }
	abstain := func() *opinions { return &opinions{} }
	broken := func() *opinions { return &opinions{err: errors.New("trap")} }
	header := func(name string) *opinions {
		return &opinions{Opinion: host.Opinion{Headers: []host.Header{{Name: name, Value: "v"}}}}
	}
	for _, c := range []struct {
		name         string
		chain        []*opinions
		allowDefault bool
		kind         host.Kind
		asked        []int
	}{
		{"nobody", nil, false, host.Forbidden, nil},
		{"nobody, allow", nil, true, host.Allowed, nil},
		{"all abstain", []*opinions{abstain(), abstain()}, false, host.Forbidden, []int{1, 1}},
		{"one allows", []*opinions{abstain(), allow()}, false, host.Allowed, []int{1, 1}},
		{"an allow does not end the chain", []*opinions{allow(), deny()}, true, host.Forbidden, []int{1, 1}},
		{"a deny does", []*opinions{deny(), allow()}, true, host.Forbidden, []int{1, 0}},
		{"an error is no answer", []*opinions{allow(), broken()}, true, host.Unavailable, []int{1, 1}},
		{"two plugins set one header", []*opinions{header("X-Team"), header("X-Team")}, true, host.Unavailable, []int{1, 1}},
		{"two headers", []*opinions{header("X-Team"), header("X-Tier")}, true, host.Allowed, []int{1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			route := host.Route{Pattern: pattern(t, "/**"), AllowDefault: c.allowDefault}
			for _, o := range c.chain {
				route.Plugins = append(route.Plugins, host.Plugin{Name: "p", Authorizer: o})
			}
			d, _ := decide(w.pipeline(route), request("GET", "/x", "X-First", "alice"))
			if d.Kind != c.kind {
				t.Errorf("got %s (%s), want %s", d.Kind, d.Reason, c.kind)
			}
			for i, o := range c.chain {
				if o.asked != c.asked[i] {
					t.Errorf("plugin %d was asked %d times, want %d", i, o.asked, c.asked[i])
				}
			}
		})
	}
}

func TestDenyOfAnAnonymousRequestIs401(t *testing.T) {
	w := newWorld()
	o := &opinions{Opinion: host.Opinion{Effect: host.Deny, Kind: host.Forbidden, Reason: "no"}}
	p := w.pipeline(host.Route{Pattern: pattern(t, "/**"), Authenticate: host.Optional, Plugins: []host.Plugin{{Name: "p", Authorizer: o}}})
	if d, _ := decide(p, request("GET", "/x")); d.Kind != host.Unauthenticated {
		t.Errorf("anonymous: %s", d.Kind)
	}
	if d, _ := decide(p, request("GET", "/x", "X-First", "alice")); d.Kind != host.Forbidden || o.call.Identity != alice || o.call.Query != "struck" {
		t.Errorf("alice: %s, call %+v", d.Kind, o.call)
	}
}

func TestNoRoute(t *testing.T) {
	w := newWorld()
	p := w.pipeline(host.Route{Pattern: pattern(t, "/only"), AllowDefault: true})
	if d, _ := decide(p, request("GET", "/x")); d.Kind != host.Unauthenticated {
		t.Errorf("without credential: %s", d.Kind)
	}
	if d, _ := decide(p, request("GET", "/x", "X-First", "alice")); d.Kind != host.Forbidden || d.Reason != "no_route" {
		t.Errorf("with credential: %s %s", d.Kind, d.Reason)
	}
}

func TestPublicRouteMatchesRawBytesOnly(t *testing.T) {
	w := newWorld()
	p := w.pipeline(host.Route{Pattern: pattern(t, "/healthz"), Authenticate: host.None}, host.Route{Pattern: pattern(t, "/**"), AllowDefault: true})
	r := request("GET", "/healthz")
	r.RawPath = "/%68ealthz"
	if d, _ := decide(p, r); d.Kind != host.Unauthenticated {
		t.Errorf("escaped: %s", d.Kind)
	}
	if d, _ := decide(p, request("GET", "/healthz")); d.Kind != host.Allowed {
		t.Errorf("plain: %s", d.Kind)
	}
}

func TestRealmAndRouteSelection(t *testing.T) {
	s := &host.Snapshot{Realms: []*host.Realm{
		{Name: "any", Hosts: []string{"*"}},
		{Name: "wide", Hosts: []string{"*.example.com"}},
		{Name: "deep", Hosts: []string{"*.eu.example.com"}},
		{Name: "exact", Hosts: []string{"a.eu.example.com"}},
	}}
	for name, want := range map[string]string{
		"a.eu.example.com": "exact", "b.eu.example.com": "deep", "b.us.example.com": "wide",
		"example.com": "any", "eu.example.com": "wide", ".example.com": "any", "example.org": "any",
	} {
		if got := s.RealmFor(name); got == nil || got.Name != want {
			t.Errorf("%s: got %v, want %s", name, got, want)
		}
	}
	s.Realms = s.Realms[1:]
	if got := s.RealmFor("example.org"); got != nil {
		t.Errorf("example.org: got %s", got.Name)
	}

	w := newWorld()
	p := w.pipeline(
		host.Route{Pattern: pattern(t, "/a"), Methods: []string{"POST"}, AllowDefault: true},
		host.Route{Pattern: pattern(t, "/a"), Hosts: []string{"*.example"}, Realm: "other", AllowDefault: true},
		host.Route{Pattern: pattern(t, "/a"), Hosts: []string{"*.example"}, Realm: "main"},
	)
	if _, ev := decide(p, request("POST", "/a", "X-First", "alice")); ev.Decision.Kind != host.Allowed {
		t.Errorf("POST: %s", ev.Decision.Kind)
	}
	if d, _ := decide(p, request("GET", "/a", "X-First", "alice")); d.Reason != "default_deny" {
		t.Errorf("GET: %s", d.Reason)
	}
}

func TestCookieDoesNotSpeakForAnotherSite(t *testing.T) {
	w := newWorld()
	p := w.pipeline(host.Route{Pattern: pattern(t, "/**"), AllowDefault: true})
	for _, c := range []struct {
		method string
		header []string
		kind   host.Kind
	}{
		{"POST", []string{"Sec-Fetch-Site", "cross-site"}, host.Forbidden},
		{"POST", []string{"Sec-Fetch-Site", "same-site"}, host.Forbidden},
		{"POST", []string{"Sec-Fetch-Site", "same-origin"}, host.Allowed},
		{"POST", []string{"Origin", "https://evil.example"}, host.Forbidden},
		{"POST", []string{"Origin", "https://app.example"}, host.Allowed},
		{"POST", nil, host.Allowed},
		{"GET", []string{"Sec-Fetch-Site", "cross-site"}, host.Allowed},
		// A WebSocket is opened by GET, and speaks ever after. Of its headers
		// gateways pass on one or another.
		{"GET", []string{"Upgrade", "WebSocket", "Origin", "https://evil.example"}, host.Forbidden},
		{"GET", []string{"Sec-Websocket-Version", "13", "Origin", "https://evil.example"}, host.Forbidden},
		{"GET", []string{"Sec-Websocket-Key", "x", "Sec-Fetch-Site", "same-site"}, host.Forbidden},
		{"GET", []string{"Sec-Websocket-Version", "13", "Origin", "https://app.example"}, host.Allowed},
		{"GET", []string{"Upgrade", "websocket", "Sec-Websocket-Version", "13"}, host.Allowed},
		{"GET", []string{"Origin", "https://evil.example"}, host.Allowed},
	} {
		d, _ := decide(p, request(c.method, "/x", append([]string{"X-Second", "alice"}, c.header...)...))
		if d.Kind != c.kind {
			t.Errorf("cookie, %s %v: %s", c.method, c.header, d.Kind)
		}
		if d, _ := decide(p, request(c.method, "/x", append([]string{"X-First", "alice"}, c.header...)...)); d.Kind != host.Allowed {
			t.Errorf("header, %s %v: %s", c.method, c.header, d.Kind)
		}
	}
}

func TestAttack16_an_empty_result_denies(t *testing.T) {
	var d host.Decision
	if d.Kind == host.Allowed {
		t.Fatal("the zero decision allows")
	}
	if kind, _ := host.Explain(errors.New("secret cause")); kind != host.Unavailable {
		t.Errorf("an unknown error is %s", kind)
	}
	if kind, text := host.Explain(&host.Error{Kind: host.Allowed, Public: "x"}); kind != host.Unavailable || text == "x" {
		t.Errorf("an error that claims to allow is %s %q", kind, text)
	}
}

func TestAttack39_an_expired_header_of_one_user_with_the_cookie_of_another(t *testing.T) {
	w := newWorld()
	guard := &chooser{pick: func(list []host.Candidate) (host.Choice, error) {
		if list[0].UserID != "" && list[0].UserID != list[1].UserID {
			return host.Choice{Effect: host.Deny}, nil
		}
		return host.Choice{Effect: host.Allow, Candidate: 1}, nil
	}}
	p := w.pipeline(host.Route{Pattern: pattern(t, "/**"), AllowDefault: true, Plugins: []host.Plugin{{Name: "fallback", Chooser: guard}}})
	if d, _ := decide(p, request("GET", "/x", "X-First", "alice-expired", "X-Second", "bob")); d.Kind != host.Unauthenticated {
		t.Errorf("another user: %s as %+v", d.Kind, d.Identity)
	}
	if d, _ := decide(p, request("GET", "/x", "X-First", "alice-expired", "X-Second", "alice")); d.Kind != host.Allowed {
		t.Errorf("the same user: %s", d.Kind)
	}
}

func TestSnapshotDrainsBeforeItIsIdle(t *testing.T) {
	p := host.New(time.Now)
	if p.Acquire() != nil {
		t.Fatal("a snapshot before the first swap")
	}
	first := &host.Snapshot{Generation: 1}
	p.Swap(first)
	held := p.Acquire()
	if old := p.Swap(&host.Snapshot{Generation: 2}); old != first || held != first {
		t.Fatal("swap returned another snapshot")
	}
	select {
	case <-first.Idle():
		t.Fatal("idle while a request holds it")
	default:
	}
	held.Release()
	<-first.Idle()

	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := p.Acquire()
				select {
				case <-s.Idle():
					t.Error("acquired a snapshot that was idle")
				default:
				}
				s.Release()
			}
		})
	}
	for g := range 1000 {
		old := p.Swap(&host.Snapshot{Generation: uint64(g)})
		<-old.Idle()
	}
	close(stop)
	wg.Wait()
}
