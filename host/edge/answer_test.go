package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

func TestUnauthenticatedSaysOneThing(t *testing.T) {
	g := newRig(t)
	bodies := map[string]bool{}
	g.opinion = func(*host.Call) (host.Opinion, error) {
		return host.Opinion{Effect: host.Deny, Kind: host.Unauthenticated, Reason: "stale"}, nil
	}
	for _, a := range []ask{
		{uri: "/api/x"}, {uri: "/nowhere"}, {uri: "/api/x", extra: []string{"Authorization: Bearer forged"}},
		{uri: "/plugin/x", extra: []string{bearerAlice}}, {uri: "/optional/x", extra: []string{"Authorization: Bearer forged"}},
	} {
		w := httptest.NewRecorder()
		g.ForwardAuth().ServeHTTP(w, a.forwarded())
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %v", a.uri, w.Code, w.Header())
		}
		bodies[w.Body.String()] = true
	}
	want := `{"type":"about:blank","title":"Unauthorized","status":401,"reason":"unauthenticated"}` + "\n"
	if len(bodies) != 1 || !bodies[want] {
		t.Errorf("bodies %v", bodies)
	}
}

func TestPluginsDeny(t *testing.T) {
	g := newRig(t)
	for _, c := range []struct {
		opinion host.Opinion
		status  int
		body    string
		headers map[string]string
	}{
		{host.Opinion{Reason: "rules[0]: needs editor"}, 403,
			`{"type":"about:blank","title":"Forbidden","status":403,"reason":"rules[0]: needs editor","plugin":"teams"}`, nil},
		{host.Opinion{Kind: host.NotFound, Reason: "no such team"}, 404,
			`{"type":"about:blank","title":"Not Found","status":404,"reason":"no such team","plugin":"teams"}`, nil},
		{host.Opinion{Kind: host.TooManyRequests, Reason: "slow down", Headers: []host.Header{{Name: "Retry-After", Value: "7"}}}, 429,
			`{"type":"about:blank","title":"Too Many Requests","status":429,"reason":"slow down","plugin":"teams"}`,
			map[string]string{"Retry-After": "7"}},
		{host.Opinion{Kind: host.Unauthenticated, Reason: "stale", Headers: []host.Header{{Name: "www-authenticate", Value: `Bearer error="invalid_token"`}}}, 401,
			`{"type":"about:blank","title":"Unauthorized","status":401,"reason":"unauthenticated"}`,
			map[string]string{"WWW-Authenticate": `Bearer error="invalid_token"`}},
		{host.Opinion{Reason: `"<\`, Headers: []host.Header{{Name: "X-Team", Value: "a\nb"}, {Name: "Set-Cookie", Value: "a=b"}, {Name: "Location", Value: "/x"}}}, 403,
			`{"type":"about:blank","title":"Forbidden","status":403,"reason":"\"\u003c\\","plugin":"teams"}`,
			map[string]string{"X-Team": "a%0Ab", "Set-Cookie": "", "Location": ""}},
	} {
		c.opinion.Effect = host.Deny
		g.opinion = func(*host.Call) (host.Opinion, error) { return c.opinion, nil }
		w := httptest.NewRecorder()
		g.ForwardAuth().ServeHTTP(w, ask{uri: "/plugin/x", extra: []string{bearerAlice}}.forwarded())
		if w.Code != c.status || w.Body.String() != c.body+"\n" {
			t.Errorf("%v: %d %s", c.opinion, w.Code, w.Body)
		}
		for name, want := range c.headers {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%v: %s %q, want %q", c.opinion, name, got, want)
			}
		}
		if ev, _ := g.one(t); ev.Decision.Reason != c.opinion.Reason || ev.Status != c.status {
			t.Errorf("recorded %d %s", ev.Status, ev.Decision.Reason)
		}
	}
}

func TestCannotDecide(t *testing.T) {
	g := newRig(t)
	g.opinion = func(*host.Call) (host.Opinion, error) { return host.Opinion{}, errors.New("wasm trap at 0xdead") }
	for _, c := range []struct {
		a      ask
		reason string
	}{
		{ask{uri: "/api/x", extra: []string{"Authorization: Bearer away"}}, "key set unavailable"},
		{ask{uri: "/api/x", extra: []string{"Authorization: Bearer panic"}}, "internal error"},
		{ask{uri: "/plugin/x", extra: []string{bearerAlice}}, "internal error"},
	} {
		res := g.serve(t, c.a.forwarded())
		body := problem(t, res)
		ev, _ := g.one(t)
		if res.StatusCode != 503 || body.Reason != c.reason || res.Header.Get("Retry-After") != "5" || ev.Cause == nil || ev.Status != 503 {
			t.Errorf("%s: %d %+v, cause %v", c.a.uri, res.StatusCode, body, ev.Cause)
		}
	}
}

func TestBeforeTheFirstSnapshot(t *testing.T) {
	r := &rig{}
	e := edge.New(edge.Options{Pipeline: host.New(time.Now), Recorder: r})
	w := httptest.NewRecorder()
	e.ForwardAuth().ServeHTTP(w, ask{uri: "/healthz"}.forwarded())
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if ev, _ := r.one(t); ev.Status != 503 {
		t.Errorf("recorded %d", ev.Status)
	}
}

func problem(t *testing.T, res *http.Response) edge.Problem {
	t.Helper()
	var p edge.Problem
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSnapshotIsReleased(t *testing.T) {
	g := newRig(t)
	for _, c := range conventions {
		g.serve(t, c.make(ask{uri: "/api/x", extra: []string{bearerAlice}}))
		g.serve(t, c.make(ask{uri: "/../", extra: []string{bearerAlice}}))
		g.serve(t, c.make(ask{uri: "/api/x", extra: []string{"Authorization: Bearer panic"}}))
	}
	old := g.pipeline.Swap(&host.Snapshot{})
	select {
	case <-old.Idle():
	default:
		t.Error("the snapshot is still in use")
	}
}

func TestFail(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		reason string
	}{
		{host.Errorf(host.BadRequest, "bad_path", "secret %d", 1), 400, "bad_path"},
		{host.Errorf(host.Unauthenticated, "expired", "secret"), 401, "unauthenticated"},
		{host.Errorf(host.Forbidden, "not yours", "secret"), 403, "not yours"},
		{host.Errorf(host.NotFound, "no such session", "secret"), 404, "no such session"},
		{host.Errorf(host.TooManyRequests, "slow down", "secret"), 429, "slow down"},
		{host.Errorf(host.Unavailable, "cache unavailable", "secret"), 503, "cache unavailable"},
		{host.Errorf(host.Allowed, "never", "secret"), 503, "internal error"},
		{context.DeadlineExceeded, 503, "internal error"},
		{errors.New("secret"), 503, "internal error"},
	} {
		w := httptest.NewRecorder()
		edge.Fail(w, c.err)
		checkAnswer(t, w.Result(), w.Body.Bytes())
		if p := problem(t, w.Result()); w.Code != c.status || p.Reason != c.reason || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %+v", c.err, w.Code, p)
		}
	}
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "60")
	edge.Problem{Status: 503, Type: "https://example/away", Title: "Away", Reason: "r"}.Write(w)
	if got := w.Header().Get("Retry-After"); got != "60" || !strings.Contains(w.Body.String(), `"type":"https://example/away","title":"Away"`) {
		t.Errorf("Retry-After %q, %s", got, w.Body)
	}
	if edge.Status(host.Kind(200)) != 503 || edge.Status(host.Allowed) != 200 {
		t.Error("an unknown kind is not 503")
	}
}

func TestClientAddr(t *testing.T) {
	s := &host.Snapshot{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for _, c := range []struct {
		lines []string
		want  string // empty: an error
	}{
		{nil, gateway},
		{[]string{""}, gateway},
		{[]string{"203.0.113.7"}, client},
		{[]string{"1.1.1.1, 203.0.113.7"}, client},
		{[]string{"203.0.113.7, 10.1.1.1,10.2.2.2"}, client},
		{[]string{"1.1.1.1", "203.0.113.7", "10.0.0.2"}, client},
		{[]string{"10.0.0.3, 10.0.0.2"}, gateway},
		{[]string{"nonsense, 203.0.113.7"}, client}, // what stands left of the client is hearsay
		{[]string{"203.0.113.7:4711"}, client},
		{[]string{"::ffff:203.0.113.7"}, client},
		{[]string{"2001:db8::1"}, "2001:db8::1"},
		{[]string{"[2001:db8::1]"}, "2001:db8::1"},
		{[]string{"[2001:db8::1]:443, fd00::2, [fd00::3]:1"}, "2001:db8::1"},
		{[]string{"203.0.113.7, unknown"}, ""},
		{[]string{"nonsense"}, ""},
		{[]string{"203.0.113.7, "}, ""},
		{[]string{"203.0.113.7,,10.0.0.1"}, ""},
		{[]string{"fe80::1%eth0"}, ""},
		{[]string{"[203.0.113.7]"}, ""},
		{[]string{"[2001:db8::1"}, ""},
		{[]string{"2001:db8::1]:443"}, ""},
		{[]string{"203.0.113.7:port"}, ""},
		{[]string{"203.0.113.7 10.0.0.1"}, ""},
	} {
		got, err := edge.ClientAddr(s, http.Header{"X-Forwarded-For": c.lines}, netip.MustParseAddr(gateway))
		if (err != nil) != (c.want == "") || err == nil && got.String() != c.want {
			t.Errorf("%q: %v %v, want %s", c.lines, got, err, c.want)
		}
	}
}

func TestWhatIsRead(t *testing.T) {
	g := newRig(t)
	for _, c := range conventions {
		r := c.make(ask{method: "M-SEARCH", scheme: "wss", host: "App.Example:8443", uri: "/api/caf%C3%A9/%61?a=%2F&b",
			extra: []string{"X-Forwarded-For: 203.0.113.7", bearerAlice}})
		if res := g.serve(t, r); res.StatusCode != 200 {
			t.Errorf("%s: %d", c.name, res.StatusCode)
		}
		_, req := g.one(t)
		req.Header = nil
		want := host.Request{Method: "M-SEARCH", Scheme: "https", Authority: "App.Example:8443", Host: "app.example",
			Path: "/api/café/a", RawPath: "/api/caf%C3%A9/%61", RawQuery: "a=%2F&b", Client: netip.MustParseAddr(client)}
		if req.Method != want.Method || req.Scheme != want.Scheme || req.Authority != want.Authority || req.Host != want.Host ||
			req.Path != want.Path || req.RawPath != want.RawPath || req.RawQuery != want.RawQuery || req.Client != want.Client {
			t.Errorf("%s: %+v", c.name, req)
		}
	}
	for _, bad := range []ask{{method: "get"}, {method: "GET "}, {method: "G T"}, {method: "1GET"}, {method: "GÉT"}, {scheme: "ftp"},
		{scheme: "HTTPS"}, {scheme: "https,http"}} {
		bad.uri = "/healthz"
		g.want(t, bad, 400)
	}
	r := ask{uri: "/healthz"}.envoy()
	r.Header.Del("X-Forwarded-Proto")
	g.serve(t, r)
	if _, req := g.one(t); req.Scheme != "http" {
		t.Errorf("scheme %q", req.Scheme)
	}
	r = ask{uri: "/healthz"}.envoy()
	r.Header.Add("X-Forwarded-Proto", "http")
	if res := g.serve(t, r); res.StatusCode != 400 {
		t.Errorf("two schemes: %d", res.StatusCode)
	}
}

func TestNeedlessEscapesArePublicToNobody(t *testing.T) {
	g := newRig(t)
	g.want(t, ask{uri: "/%68ealthz"}, 401) // authenticate: none sees raw bytes alone
	g.want(t, ask{uri: "/%61pi/x", extra: []string{bearerAlice}}, 200)
}

func TestPublicPassesTheRestOn(t *testing.T) {
	g := newRig(t)
	h := g.Public(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }))
	for path, want := range map[string]int{"/v1/login": 299, "/authz/ext-authzz/x": 299, "/authz/other": 299, "/authz/forward-auth/x": 299,
		"/authz/forward-auth?x": 400, "/authz/ext-authz//admin": 400, "/authz/ext-authz/../v1/login": 400} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", path, strings.NewReader("body"))
		r.RemoteAddr = gateway + ":1"
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestSelfRequest(t *testing.T) {
	s := &host.Snapshot{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	r := httptest.NewRequest("POST", "/v1/login?x=1", nil)
	r.Host, r.RemoteAddr = "App.example:1", client+":1"
	r.Header.Set("X-Forwarded-For", "1.1.1.1")
	r.Header.Set("X-Forwarded-Proto", "https")
	req, err := edge.SelfRequest(r, s)
	if err != nil || req.Host != "app.example" || req.Client.String() != client || req.Scheme != "http" || req.Path != "/v1/login" || req.RawQuery != "x=1" {
		t.Errorf("from a stranger: %+v %v", req, err)
	}
	r.RemoteAddr = gateway + ":1"
	if req, err = edge.SelfRequest(r, s); err != nil || req.Client.String() != "1.1.1.1" || req.Scheme != "https" {
		t.Errorf("from the gateway: %+v %v", req, err)
	}
	for _, change := range []func(){
		func() { r.RequestURI = "/v1//login" }, func() { r.RequestURI = "/v1/login"; r.Host = "a b" },
		func() { r.Host = "a"; r.Header.Set("X-Forwarded-For", "x") },
		func() { r.Header.Del("X-Forwarded-For"); r.Header.Set("X-Forwarded-Proto", "x") },
	} {
		change()
		if _, err := edge.SelfRequest(r, s); err == nil {
			t.Errorf("%s %s %v passes", r.RequestURI, r.Host, r.Header)
		}
	}
}

func TestParseURL(t *testing.T) {
	req, err := edge.ParseURL(&host.Snapshot{}, "GET", "https://App.example:8443/a%20b?c=d", http.Header{}, netip.MustParseAddr(client))
	if err != nil || req.Host != "app.example" || req.Path != "/a b" || req.RawQuery != "c=d" || req.Scheme != "https" || req.Client.String() != client {
		t.Errorf("%+v %v", req, err)
	}
	for _, url := range []string{"", "app.example/x", "https://app.example", "https://app.example?x=/y", "ftp://a/x", "https://a/../x"} {
		if _, err := edge.ParseURL(&host.Snapshot{}, "GET", url, nil, netip.Addr{}); err == nil {
			t.Errorf("%s passes", url)
		}
	}
}

func TestServers(t *testing.T) {
	var got error
	s := edge.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, got = io.Copy(io.Discard, r.Body) }), nil)
	for _, c := range []struct {
		size int
		fits bool
	}{{64 << 10, true}, {64<<10 + 1, false}} {
		s.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", c.size))))
		if (got == nil) != c.fits {
			t.Errorf("body of %d: %v", c.size, got)
		}
	}
	stream := edge.NewStreamServer(http.NotFoundHandler(), nil)
	if s.ReadTimeout == 0 || s.WriteTimeout == 0 || stream.ReadTimeout != 0 || stream.WriteTimeout != 0 {
		t.Error("timeouts")
	}
	for _, server := range []*http.Server{s, stream} {
		if server.ReadHeaderTimeout == 0 || server.IdleTimeout == 0 || server.MaxHeaderBytes != 64<<10 || !server.DisableGeneralOptionsHandler {
			t.Errorf("limits %+v", server)
		}
	}
}
