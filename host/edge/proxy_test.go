package edge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

// seen is what the upstream of these tests tells of a request.
type seen struct {
	Method, URI, Host string
	Header, Trailer   http.Header
	Body              string
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Upstream", "yes")
	json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, r.Header, r.Trailer, string(body)})
}

// proxied starts an upstream and the proxy before it, and returns the proxy's
// address. Its peers are on loopback, which the rig trusts.
func proxied(t *testing.T, upstream http.HandlerFunc) (*rig, string, http.Handler) {
	t.Helper()
	g := newRig(t)
	back := httptest.NewServer(upstream)
	t.Cleanup(back.Close)
	h := g.Proxy()
	g.forwardTo(t, back.URL)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := edge.NewStreamServer(h, nil)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return g, l.Addr().String(), h
}

// forwardTo puts another upstream in force, and leaves the rest as it was.
func (g *rig) forwardTo(t *testing.T, upstream string) {
	t.Helper()
	next := snapshotOf(g.pipeline.Swap(&host.Snapshot{}))
	var err error
	if next.Upstream, err = edge.ParseUpstream(upstream); err != nil {
		t.Fatal(err)
	}
	g.pipeline.Swap(next)
}

// raw sends bytes and reads one answer; the connection is left to the caller.
func raw(t *testing.T, addr, request string) (*http.Response, net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res, c, r
}

func upstreamSaw(t *testing.T, res *http.Response) seen {
	t.Helper()
	var s seen
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d: %v", res.StatusCode, err)
	}
	return s
}

func TestProxyForwardsWhatItJudged(t *testing.T) {
	g, addr, _ := proxied(t, echo)
	for _, c := range []struct{ target, forwarded, path string }{
		{"/api/x?a=%2F&b", "/api/x?a=%2F&b", "/api/x"},
		{"/public/../api/x", "/api/x", "/api/x"},
		{"/public/%2e%2e/api//x/./", "/api/x/", "/api/x/"},
		{"//api/x", "/api/x", "/api/x"},
		{"/%61pi/caf%c3%a9%20%25", "/api/caf%C3%A9%20%25", "/api/café %"},
		{"/api/(a)[b]'*!", "/api/(a)%5Bb%5D'*!", "/api/(a)[b]'*!"},
		{"/api/x?_token=alice&x=1;2&%zz", "/api/x?x=1;2&%zz", "/api/x"},
		{"/api/x?_token=alice", "/api/x", "/api/x"},
	} {
		res, _, _ := raw(t, addr, "POST "+c.target+" HTTP/1.1\r\nHost: App.example:99\r\n"+bearerAlice+"\r\nContent-Length: 4\r\n\r\nbody")
		got := upstreamSaw(t, res)
		ev, req := g.one(t)
		if got.URI != c.forwarded || req.Path != c.path || !strings.HasPrefix(got.URI, req.RawPath) {
			t.Errorf("%s: upstream saw %s, judged %s (%s), want %s", c.target, got.URI, req.Path, req.RawPath, c.forwarded)
		}
		if got.Method != "POST" || got.Host != "App.example:99" || got.Body != "body" || ev.Edge != "proxy" || ev.Status != 200 {
			t.Errorf("%s: %+v, recorded %s %d", c.target, got, ev.Edge, ev.Status)
		}
	}
}

func TestProxyDenies(t *testing.T) {
	reached := false
	g, addr, _ := proxied(t, func(http.ResponseWriter, *http.Request) { reached = true })
	for _, c := range []struct {
		line, extra string
		status      int
	}{
		{"GET /api/x", "", 401},
		{"GET /public/../api/x", "", 401},
		{"GET /public/%2e%2e/api/x", "", 401},
		{"GET /nowhere", bearerAlice + "\r\n", 403},
		{"GET /api/x", "Authorization: Bearer away\r\n", 503},
		{"GET /api/x", "Authorization: Bearer panic\r\n", 503},
		{"GET /api%2fx", "", 400}, {"GET /public/..;/api", "", 400}, {"GET /public/..%5capi", "", 400}, {"GET /public/%252e%252e/api", "", 400},
		{"GET http://app.example/public/x", "", 400},
		{"OPTIONS *", "", 400},
		{"get /public/x", "", 400},
		{"GET /public/x", "X-Forwarded-For: nonsense\r\n", 400},
		{"GET /public/x", "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", 400},
	} {
		res, _, _ := raw(t, addr, c.line+" HTTP/1.1\r\nHost: app.example\r\n"+c.extra+"\r\n")
		body, _ := io.ReadAll(res.Body)
		checkAnswer(t, res, body)
		if ev, _ := g.one(t); res.StatusCode != c.status || ev.Status != c.status {
			t.Errorf("%s: %d (recorded %d), want %d", c.line, res.StatusCode, ev.Status, c.status)
		}
	}
	if reached {
		t.Error("the upstream was reached")
	}
}

func TestAttack05_proxy_strikes_every_spelling(t *testing.T) {
	_, _, h := proxied(t, echo)
	for _, c := range []struct{ uri, user, email string }{{"/api/x", "alice", "alice@example.com"}, {"/public/x", "", ""}} {
		r := httptest.NewRequest("GET", c.uri, nil)
		r.Host, r.RemoteAddr = "app.example", client+":99"
		for _, line := range []string{bearerAlice, "X-Auth-Request-User: root", "X_Auth_Request_User: root", "X-Auth_Request.roles: admin",
			"X-Auth-Request-Email: root@example.com", "X-Team: red", "X_Team: red", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil",
			"X-Forwarded-Proto: https", "X-Original-Url: /admin", "X-Rewrite-Url: /admin", "X-Real-Ip: 1.2.3.4", "Forwarded: for=1.2.3.4",
			"Connection: X-Auth-Request-User, X-Auth-Request-Roles, X-Keep", "X-Keep: 1", "X-Other: 2", "Keep-Alive: 5",
			"Proxy-Authorization: x"} {
			name, value, _ := strings.Cut(line, ": ")
			r.Header[name] = append(r.Header[name], value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := upstreamSaw(t, w.Result())
		allowed := map[string]string{"Authorization": "Bearer alice", "X-Other": "2", "Accept-Encoding": "",
			"X-Forwarded-For": client, "X-Forwarded-Host": "app.example", "X-Forwarded-Proto": "http", "X-Team": "",
			"X-Auth-Request-User": c.user, "X-Auth-Request-Email": c.email}
		for name, values := range got.Header {
			want, listed := allowed[name]
			if strings.HasPrefix(name, "X-Auth-Request-") && !listed {
				continue
			}
			if !listed || len(values) != 1 || values[0] != want {
				t.Errorf("%s: upstream saw %s: %q, want %q", c.uri, name, values, want)
			}
		}
		for _, name := range append([]string{"X-Team"}, identityHeaders...) {
			if len(got.Header[name]) != 1 {
				t.Errorf("%s: upstream saw %s %q", c.uri, name, got.Header[name])
			}
		}
	}
}

func TestProxyForwardingHeadersFromAGateway(t *testing.T) {
	g, addr, _ := proxied(t, echo)
	res, _, _ := raw(t, addr, "GET /public/x HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: 9.9.9.9, 203.0.113.7\r\nX-Forwarded-For: 10.0.0.9\r\n"+
		"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\n\r\n")
	got := upstreamSaw(t, res)
	_, req := g.one(t)
	want := map[string]string{"X-Forwarded-For": "9.9.9.9, 203.0.113.7, 10.0.0.9, 127.0.0.1", "X-Forwarded-Proto": "https",
		"X-Forwarded-Host": "app.example", "X-Forwarded-Port": "443"}
	for name, value := range want {
		if v := got.Header[name]; len(v) != 1 || v[0] != value {
			t.Errorf("%s: %q, want %q", name, v, value)
		}
	}
	if req.Client.String() != client || req.Scheme != "https" {
		t.Errorf("judged client %s, scheme %s", req.Client, req.Scheme)
	}
}

func TestProxyDropsTrailers(t *testing.T) {
	_, addr, _ := proxied(t, echo)
	res, _, _ := raw(t, addr, "POST /public/x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-Request-User\r\n\r\n"+
		"4\r\nbody\r\n0\r\nX-Auth-Request-User: root\r\n\r\n")
	if got := upstreamSaw(t, res); len(got.Trailer) != 0 || got.Body != "body" {
		t.Errorf("upstream saw trailers %v behind %q", got.Trailer, got.Body)
	}
}

func TestProxyUpgrade(t *testing.T) {
	g, addr, _ := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("X-Auth-Request-User") != "alice" {
			http.Error(w, "not an upgrade of alice", 400)
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			rw.WriteString("echo " + line)
			rw.Flush()
		}
	})
	request := "GET /api/ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n"
	res, c, r := raw(t, addr, fmt.Sprintf(request, "websocket", bearerAlice+"\r\n"))
	if res.StatusCode != 101 {
		t.Fatalf("%d", res.StatusCode)
	}
	for _, line := range []string{"one\n", "two\n"} {
		io.WriteString(c, line)
		if got, err := r.ReadString('\n'); err != nil || got != "echo "+line {
			t.Fatalf("%q %v", got, err)
		}
	}
	g.one(t) // recorded while the stream is open
	old := g.pipeline.Swap(&host.Snapshot{})
	select {
	case <-old.Idle():
	default:
		t.Error("the stream holds the snapshot")
	}
	g.pipeline.Swap(snapshotOf(old))
	if res, _, _ := raw(t, addr, fmt.Sprintf(request, "websocket", "")); res.StatusCode != 401 {
		t.Errorf("without a credential: %d", res.StatusCode)
	}
	if res, _, _ := raw(t, addr, fmt.Sprintf(request, "h2c", bearerAlice+"\r\n")); res.StatusCode != 400 {
		t.Errorf("h2c: %d, want the upstream's 400 to a plain request", res.StatusCode)
	}
}

// snapshotOf makes a new snapshot with old's content.
func snapshotOf(old *host.Snapshot) *host.Snapshot {
	return &host.Snapshot{Realms: old.Realms, Routes: old.Routes, TrustedProxies: old.TrustedProxies, PluginHeaders: old.PluginHeaders, Upstream: old.Upstream}
}

func TestProxyFlushesEvents(t *testing.T) {
	more := make(chan struct{})
	_, addr, _ := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-more:
			case <-r.Context().Done():
				return
			}
		}
	})
	res, _, _ := raw(t, addr, "GET /public/events HTTP/1.1\r\nHost: app.example\r\n\r\n")
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		// The upstream says no more until this event has come through.
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("event %d: %q %v", i, lines.Text(), lines.Err())
		}
		more <- struct{}{}
	}
}

func TestProxyStreamsBodies(t *testing.T) {
	const size = 8 << 20
	var got int64
	_, addr, _ := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.Copy(io.Discard, r.Body)
	})
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/public/x", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "app.example"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || got != size {
		t.Errorf("%d, upstream read %d bytes", res.StatusCode, got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestProxyUpstreamAway(t *testing.T) {
	g := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := g.Proxy()
	g.forwardTo(t, "http://"+l.Addr().String())
	l.Close() // nobody listens there now
	r := httptest.NewRequest("GET", "/public/x?_token=secret", nil)
	r.Host, r.RemoteAddr = "app.example", client+":1"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	checkAnswer(t, w.Result(), w.Body.Bytes())
	if w.Code != 502 || !strings.Contains(g.log.String(), "upstream") || strings.Contains(g.log.String(), "secret") {
		t.Errorf("%d, log %s", w.Code, g.log.String())
	}
	g.log.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
	if g.log.Len() != 0 {
		t.Errorf("a client that left is logged: %s", g.log.String())
	}
}

func TestProxyRefusesUpstreams(t *testing.T) {
	for _, text := range []string{"", "ftp://a", "http://", "http://:80", "http://a/b", "http://a?b", "http://a#b", "http://u:secret@a", "http://u:secret @a", "http:a", "//a"} {
		if _, err := edge.ParseUpstream(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := edge.ParseUpstream("https://a:1/"); err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	newRig(t).Proxy().ServeHTTP(w, httptest.NewRequest("GET", "http://app.example/public/x", nil))
	if checkAnswer(t, w.Result(), w.Body.Bytes()); w.Code != 503 {
		t.Errorf("without an upstream: %d", w.Code)
	}
}

// A request goes to the upstream of the snapshot that it was judged by, also
// when another is in force before it is forwarded.
func TestProxyForwardsToTheUpstreamThatWasJudgedFor(t *testing.T) {
	g, addr, _ := proxied(t, echo)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer other.Close()
	g.opinion = func(*host.Call) (host.Opinion, error) {
		g.forwardTo(t, other.URL)
		return host.Opinion{Effect: host.Allow}, nil
	}
	request := "GET /plugin/x HTTP/1.1\r\nHost: app.example\r\n" + bearerAlice + "\r\n\r\n"
	for i, want := range []int{200, http.StatusTeapot} {
		if res, _, _ := raw(t, addr, request); res.StatusCode != want {
			t.Errorf("request %d: %s, want %d", i, res.Status, want)
		}
	}
}

// What was judged as a POST must not reach the application as a DELETE.
func TestProxyStrikesMethodOverrides(t *testing.T) {
	_, addr, _ := proxied(t, echo)
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X_Method_Override"} {
		res, _, _ := raw(t, addr, fmt.Sprintf("POST /api/x HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer alice\r\n%s: DELETE\r\nContent-Length: 0\r\n\r\n", name))
		for key, values := range upstreamSaw(t, res).Header {
			if strings.Join(values, "") == "DELETE" {
				t.Errorf("the upstream got %s", key)
			}
		}
	}
}

// deadlined is an answer that notes when reading of the request must end.
type deadlined struct {
	*httptest.ResponseRecorder
	reads []time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error { d.reads = append(d.reads, t); return nil }

// The server reads what is left of a body before it answers. From who was not
// let in it must not wait for that without end; a body that goes on to the
// upstream may take its time.
func TestProxyBoundsTheBodiesThatItDoesNotForward(t *testing.T) {
	_, _, up := proxied(t, echo)
	nowhere := newRig(t)
	nowhere.forwardTo(t, "http://127.0.0.1:1")
	away := nowhere.Proxy()
	for _, c := range []struct {
		h       http.Handler
		uri     string
		body    io.Reader
		status  int
		bounded bool
	}{
		{up, "/api/x", strings.NewReader("body"), 401, true},
		{up, "/api%2fx", strings.NewReader("body"), 400, true},
		{away, "/public/x", strings.NewReader("body"), 502, true},
		{up, "/public/x", strings.NewReader("body"), 200, false},
		{up, "/api/x", nil, 401, false},
	} {
		r := httptest.NewRequest("POST", c.uri, c.body)
		r.Host, r.RemoteAddr = "app.example", client+":1"
		w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		c.h.ServeHTTP(w, r)
		if w.Code != c.status || len(w.reads) > 0 != c.bounded {
			t.Errorf("%s: %d, deadlines %v, want %d, bounded %v", c.uri, w.Code, w.reads, c.status, c.bounded)
		}
		for _, d := range w.reads {
			if d.Before(before) || d.After(time.Now().Add(10*time.Second)) {
				t.Errorf("%s: a deadline %s after the request", c.uri, d.Sub(before))
			}
		}
	}
}

// A plugin may put a header of its own in the place of the credential that the
// client sent: what is judged is the client's, what is forwarded the plugin's.
func TestProxyPluginReplacesACredential(t *testing.T) {
	g, addr, _ := proxied(t, echo)
	g.opinion = func(*host.Call) (host.Opinion, error) {
		return host.Opinion{Effect: host.Allow, Headers: []host.Header{{Name: "Authorization", Value: "Basic upstream"}}}, nil
	}
	next := snapshotOf(g.pipeline.Swap(&host.Snapshot{}))
	next.PluginHeaders = []string{"Authorization"}
	g.pipeline.Swap(next)
	for path, want := range map[string]string{"/plugin/x": "Basic upstream", "/api/x": "", "/public/x": ""} {
		res, _, _ := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: app.example\r\n"+bearerAlice+"\r\n\r\n")
		if res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
			continue
		}
		if got := upstreamSaw(t, res).Header["Authorization"]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: the upstream got %q, want %q", path, got, want)
		}
	}
}
