package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serveProxy runs authhost as reverse proxy before an application: it is its
// own gateway.
func serveProxy(t *testing.T, config string) (*gateway, *authhost) {
	t.Helper()
	app := newGatewayApp(t)
	h := serveProxyTo(t, app.server.URL, config)
	return &gateway{"proxy", strings.TrimPrefix(h.proxy, "http://"), app}, h
}

func serveProxyTo(t *testing.T, upstream, config string) *authhost {
	t.Helper()
	h := serve(t, strings.Replace(listen, "{", `{proxy: "127.0.0.1:0", `, 1)+"upstream: "+upstream+"\n"+memoryCache+config)
	h.awaitReady(t)
	return h
}

// proxyRealm has a query credential beside the usual ones.
func proxyRealm(idp *issuer) string {
	return fmt.Sprintf(`
realms:
  - name: main
    issuers: [{issuer: %q, audiences: [%s], jwks_url: %q}]
    credentials: [{header: Authorization}, {cookie: kc_auth}, {query: _token, paths: ["/ws/**", /events]}]
`, idp.url, audience, idp.url)
}

func TestProxyPolicy(t *testing.T) {
	idp := newIssuer(t)
	g, _ := serveProxy(t, proxyRealm(idp)+gitops)
	viewer, editor := bearer(idp.token(t, "viewer", nil)), bearer(idp.token(t, "editor", map[string]any{"groups": []string{"ops", "a,b"}}))
	const page = "/api/gitops/sync"

	if a := g.refuses(t, http.StatusUnauthorized, "POST", page); a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("no WWW-Authenticate: %v", a.header)
	}
	g.refuses(t, http.StatusForbidden, "POST", page, viewer...)
	r := g.passes(t, "POST", page, editor...)
	checkIdentity(t, g, &r, map[string]string{"User": "editor", "Realm": "main", "Roles": "editor", "Groups": "ops,a%2Cb",
		"Email": "editor@console.example", "Credential": "header/jwt"})
	if r.Header.Get("Authorization") != editor[1] || r.Host != "console.example" || r.Header.Get("X-Forwarded-Host") != "console.example" || r.Header.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the application was sent %v for %s", r.Header, r.Host)
	}

	// Nobody known: every header is there all the same, and empty.
	r = g.passes(t, "GET", "/healthz")
	if known := r.identity(); len(known) != 0 {
		t.Errorf("of nobody the application was told %v", known)
	}
	for _, name := range identityHeaders {
		if len(r.Header[name]) != 1 {
			t.Errorf("%s is there %d times", name, len(r.Header[name]))
		}
	}
	// A cookie of the same user stands in, unless another site sent it.
	stale := bearer(idp.token(t, "editor", map[string]any{"iat": 1_000_000_000, "exp": 1_000_003_600}))
	fallback := append(stale, "Cookie", "theme=dark; kc_auth="+idp.token(t, "editor", nil))
	if r = g.passes(t, "POST", page, fallback...); r.identity()["Credential"] != "cookie/jwt" {
		t.Errorf("identity %v", r.identity())
	}
	g.refuses(t, http.StatusForbidden, "POST", page, append(fallback, "Sec-Fetch-Site", "cross-site")...)
}

// What the client says of itself never reaches the application, however it is
// spelt, and whether or not anybody is known.
func TestAttack05_proxy_strikes_the_clients_headers(t *testing.T) {
	idp := newIssuer(t)
	g, _ := serveProxy(t, proxyRealm(idp)+gitops)
	editor := bearer(idp.token(t, "editor", nil))
	var header []string
	for _, name := range identityHeaders {
		for _, spelt := range []string{
			name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.Replace(name, "Auth-", "Auth_", 1),
			strings.Replace(name, "Request-", "Request.", 1), strings.ReplaceAll(strings.ToLower(name), "-", "_"),
		} {
			header = append(header, spelt, lie)
		}
	}
	header = append(header, "X-Forwarded-Uri", lie, "X-Forwarded-Method", lie, "X_Forwarded_Host", lie, "X-Original-Url", lie, "X-Rewrite-Url", lie)
	for _, path := range []string{"/api/gitops/sync", "/healthz"} {
		r := g.passes(t, "POST", path, append(header, editor...)...)
		if user := r.identity()["User"]; (user == "editor") != (path != "/healthz") {
			t.Errorf("%s: user %q", path, user)
		}
	}
	g.refuses(t, http.StatusUnauthorized, "POST", "/api/gitops/sync", header...)

	// Nor by way of Connection, which would have our own removed.
	r := g.passes(t, "POST", "/api/gitops/sync", append(editor, "Connection", strings.Join(identityHeaders, ", "))...)
	if r.identity()["User"] != "editor" {
		t.Errorf("identity %v", r.identity())
	}
	// Nor as a trailer.
	body := "4\r\nbody\r\n0\r\nX-Auth-Request-User: " + lie + "\r\n\r\n"
	got := g.received(t, g.askBody(t, "POST", "/api/gitops/sync", body, append(editor, "Transfer-Encoding", "chunked", "Trailer", "X-Auth-Request-User")...))
	if got.Length != 4 || len(got.Trailer) != 0 {
		t.Errorf("a body of %d bytes with trailers %v", got.Length, got.Trailer)
	}
}

// The path is cleaned, judged, and forwarded as it was judged.
func TestAttack10_proxy_forwards_what_it_judged(t *testing.T) {
	idp := newIssuer(t)
	g, h := serveProxy(t, proxyRealm(idp)+gitops)
	viewer, editor := bearer(idp.token(t, "viewer", nil)), bearer(idp.token(t, "editor", nil))
	for _, c := range []struct{ sent, forwarded string }{
		{"/api/gitops/sync", "/api/gitops/sync"},
		{"/healthz/../api/gitops/sync", "/api/gitops/sync"},
		{"/healthz/%2e%2e/api/gitops/sync", "/api/gitops/sync"},
		{"/api//gitops/./sync", "/api/gitops/sync"},
		{"//api/gitops/sync", "/api/gitops/sync"},
		{"/api/gitops/%73ync", "/api/gitops/sync"},
		{"/../../api/gitops/sync?x=/healthz", "/api/gitops/sync?x=/healthz"},
		{"/api/gitops/x/../sync?a=%2F&b=1;2", "/api/gitops/sync?a=%2F&b=1;2"},
	} {
		g.refuses(t, http.StatusUnauthorized, "POST", c.sent)
		g.refuses(t, http.StatusForbidden, "POST", c.sent, viewer...)
		if r := g.received(t, g.ask(t, "POST", c.sent, editor...)); r.Target != c.forwarded {
			t.Errorf("%s reached the application as %s, want %s", c.sent, r.Target, c.forwarded)
		}
	}
	eventually(t, "the log of what was judged", func() bool {
		n := 0
		for _, line := range h.logged("request") {
			if line["path"] == "/api/gitops/sync" && line["edge"] == "proxy" {
				n++
			}
		}
		return n == 3*8
	})
	for _, path := range []string{"/healthz%2f..%2fapi/gitops/sync", "/healthz%5c..%5capi", "/healthz;/api/gitops/sync", "/healthz%3bx", "/healthz%00", "/healthz%23", "/healthz%252f",
		"/healthz%ff", "http://console.example/healthz", "*"} {
		for _, header := range [][]string{nil, editor} {
			g.refuses(t, http.StatusBadRequest, "POST", path, header...)
		}
	}
	if r := g.received(t, g.ask(t, "GET", "/x/../caf%c3%a9/%20%25?q=%zz", editor...)); r.Target != "/caf%C3%A9/%20%25?q=%zz" {
		t.Errorf("escapes: %s", r.Target)
	}
	// A credential in the query is the proxy's, not the application's.
	token := strings.TrimPrefix(editor[1], "Bearer ")
	if r := g.received(t, g.ask(t, "GET", "/ws/1?a=1&_token="+token+"&b=2")); r.Target != "/ws/1?a=1&b=2" || r.identity()["Credential"] != "query/jwt" {
		t.Errorf("%s with %v", r.Target, r.identity())
	}
	g.refuses(t, http.StatusUnauthorized, "GET", "/x?_token="+token)
	if strings.Contains(h.log(), token) {
		t.Error("the token is in the log")
	}
}

// What the application flushes passes when it is sent, not when more follows.
func TestProxyFlushes(t *testing.T) {
	idp := newIssuer(t)
	more := make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Accept"))
		if r.Header.Get("Accept") == "text/plain" { // of a known length
			w.Header().Set("Content-Length", "24")
		}
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n", n)
			http.NewResponseController(w).Flush()
			select {
			case <-more:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(app.Close)
	h := serveProxyTo(t, app.URL, proxyRealm(idp)+gitops)
	for n, kind := range []string{"text/event-stream", "application/x-ndjson", "text/plain"} {
		request := fmt.Sprintf("GET /events?_token=%s HTTP/1.1\r\nHost: console.example\r\nAccept: %s\r\n\r\n", idp.token(t, "viewer", nil), kind)
		c := talk(t, dial(t, h.proxy), "GET", request)
		if c.StatusCode != http.StatusOK || c.Header.Get("Content-Type") != kind {
			t.Fatalf("%s %v", c.Status, c.Header)
		}
		// Recorded when it was let through, not when it ends.
		eventually(t, "the log line", func() bool { return h.countTried("/events", "query/jwt:valid") == n+1 })
		lines := bufio.NewScanner(c.Body)
		for n := range 3 {
			// The application says no more until this line has come through.
			if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", n) {
				t.Fatalf("%s, line %d: %q %v", kind, n, lines.Text(), lines.Err())
			}
			more <- struct{}{}
		}
		if lines.Scan() {
			t.Errorf("%s: more: %q", kind, lines.Text())
		}
	}
}

func TestProxyUpgrade(t *testing.T) {
	idp := newIssuer(t)
	g, _ := serveProxy(t, proxyRealm(idp)+gitops)
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	for _, c := range []struct {
		target string
		header []string
	}{
		{"/ws/1", append(upgrade, bearer(idp.token(t, "viewer", nil))...)},
		{"/ws/1?_token=" + idp.token(t, "viewer", nil), upgrade},
	} {
		conn := g.open(t, "GET", c.target, "", c.header...)
		if conn.StatusCode != http.StatusSwitchingProtocols || conn.Header.Get("Upgrade") != "websocket" {
			t.Fatalf("%s", conn.Status)
		}
		line, err := conn.reader.ReadString('\n')
		var r appRequest
		if err != nil || json.Unmarshal([]byte(line), &r) != nil {
			t.Fatalf("%q %v", line, err)
		}
		r.check(t)
		if r.Target != "/ws/1" || r.identity()["User"] != "viewer" {
			t.Errorf("the application was asked for %s by %v", r.Target, r.identity())
		}
		for _, frame := range []string{"\x81\x02hi", "\x00\xff\x0a", strings.Repeat("\x82", 70_000)} {
			if _, err := io.WriteString(conn.conn, frame); err != nil {
				t.Fatal(err)
			}
			back := make([]byte, len(frame))
			if _, err := io.ReadFull(conn.reader, back); err != nil || string(back) != frame {
				t.Fatalf("%d bytes did not come back: %v", len(frame), err)
			}
		}
		conn.conn.Close()
	}
	g.refuses(t, http.StatusUnauthorized, "GET", "/ws/1", upgrade...)
	// Another HTTP inside the connection would carry requests that nobody
	// judges.
	c := g.open(t, "GET", "/ws/1", "", append([]string{"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"},
		bearer(idp.token(t, "viewer", nil))...)...)
	if r := g.received(t, c.read(t)); r.Header.Get("Upgrade") != "" {
		t.Errorf("the application was asked for %s", r.Header.Get("Upgrade"))
	}
}

func TestProxyBodies(t *testing.T) {
	idp := newIssuer(t)
	g, h := serveProxy(t, proxyRealm(idp)+gitops)
	editor := bearer(idp.token(t, "editor", nil))
	for _, size := range []int{0, 1, 100_000, 32 << 20} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		sum := sha256.Sum256([]byte(body))
		r := g.received(t, g.askBody(t, "POST", "/api/gitops/sync", body, editor...))
		if r.Length != int64(size) || r.Sum != hex.EncodeToString(sum[:]) {
			t.Errorf("of %d bytes %d arrived", size, r.Length)
		}
	}
	g.refuses(t, http.StatusUnauthorized, "POST", "/api/gitops/sync")

	// An application's own answers pass as they are; one that is away is 502.
	for _, status := range []string{"400", "401", "403", "404", "500", "503"} {
		if a := g.ask(t, "GET", "/failing/"+status, editor...); fmt.Sprint(a.status) != status || !strings.Contains(a.body, "the application's own") {
			t.Errorf("the application's %s: %s", status, a)
		}
	}
	g.server.Close()
	a := g.ask(t, "GET", "/x", editor...)
	if a.status != http.StatusBadGateway || a.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.body, `"upstream_unavailable"`) {
		t.Errorf("without the application: %s", a)
	}
	if a := g.ask(t, "GET", "/x"); a.status != http.StatusUnauthorized {
		t.Errorf("without the application, nobody: %s", a)
	}
	eventually(t, "the log", func() bool { return len(h.logged("upstream does not answer")) > 0 })
}
