package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gatewayLogin reads the answer to a login: its token and its cookie.
func gatewayLogin(t testing.TB, a answer) (token string, cookie *http.Cookie) {
	t.Helper()
	var body struct {
		Token  string `json:"token"`
		UserID string `json:"user_id"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusOK {
		t.Fatalf("login: %s", a)
	}
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) != 1 || cookies[0].Value != body.Token || a.header.Get("X-Auth-Token") != body.Token || !strings.HasPrefix(body.Token, "ahs_") {
		t.Fatalf("login: token %q, header %q, cookies %v", body.Token, a.header.Get("X-Auth-Token"), cookies)
	}
	return body.Token, cookies[0]
}

func TestGatewaySession(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	eachGateway(t, idp.realm("")+gitops, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		g.refuses(t, http.StatusUnauthorized, "POST", "/v1/login")
		g.refuses(t, http.StatusMethodNotAllowed, "GET", "/v1/login")
		editor := bearer(idp.token(t, "editor", map[string]any{"roles": []string{"editor", "on call"}, "groups": []string{"ops", "dev,x"}, "jti": g.name}))
		token, cookie := gatewayLogin(t, g.ask(t, "POST", "/v1/login", editor...))
		if cookie.Name != "__Host-authhost" || !cookie.HttpOnly || !cookie.Secure || cookie.Path != "/" || cookie.SameSite != http.SameSiteStrictMode || cookie.MaxAge <= 0 {
			t.Errorf("the cookie is %s", cookie)
		}

		session := []string{"Cookie", cookie.Name + "=" + token, "Origin", "http://console.example", "Sec-Fetch-Site", "same-origin"}
		r := g.passes(t, "POST", "/api/gitops/sync", session...)
		who := r.identity()
		if !strings.HasPrefix(who["Session-Id"], "ses_") {
			t.Errorf("session id %q", who["Session-Id"])
		}
		r.Header.Del("X-Auth-Request-Session-Id")
		r.Header["X-Auth-Request-Session-Id"] = []string{""}
		checkIdentity(t, g, &r, map[string]string{"User": "editor", "Realm": "main", "Roles": "editor,on%20call", "Groups": "ops,dev%2Cx",
			"Email": "editor@console.example", "Credential": "cookie/session"})
		g.passes(t, "POST", "/api/gitops/sync", "X-Auth-Token", token)

		elsewhere := []string{"Cookie", cookie.Name + "=" + token, "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site"}
		g.refuses(t, http.StatusForbidden, "POST", "/api/gitops/sync", elsewhere...)
		g.refuses(t, http.StatusForbidden, "POST", "/v1/logout", elsewhere...)
		g.passes(t, "POST", "/api/gitops/sync", session...)

		out := g.refuses(t, http.StatusNoContent, "POST", "/v1/logout", session...)
		if set := out.header.Get("Set-Cookie"); !strings.HasPrefix(set, cookie.Name+"=;") || !strings.Contains(set, "Max-Age=0") {
			t.Errorf("logout sets the cookie %q", set)
		}
		g.refuses(t, http.StatusUnauthorized, "POST", "/api/gitops/sync", session...)
		g.refuses(t, http.StatusUnauthorized, "POST", "/api/gitops/sync", "X-Auth-Token", token)

		// A JWT ends by logout too.
		g.passes(t, "POST", "/api/gitops/sync", editor...)
		g.refuses(t, http.StatusNoContent, "POST", "/v1/logout", editor...)
		g.refuses(t, http.StatusUnauthorized, "POST", "/api/gitops/sync", editor...)
	})
}

// Everybody sees and ends his own sessions through the gateway. Introspection,
// and whatever is only spelt like these paths, is the application's.
func TestGatewayOwnSessions(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	secret := filepath.Join(t.TempDir(), "client")
	writeFile(t, secret, "the client's secret")
	client := fmt.Sprintf("introspection_clients: [{id: api, secret_file: %q, realm: main}]\n", secret)
	eachGateway(t, idp.realm("")+memoryCache+open+client, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		jwt := bearer(idp.token(t, g.name, nil)) // a user for each gateway
		kept, _ := gatewayLogin(t, g.ask(t, "POST", "/v1/login", jwt...))
		lost, _ := gatewayLogin(t, g.ask(t, "POST", "/v1/login", jwt...))
		page := append(cookie(kept), "Origin", "http://console.example", "Sec-Fetch-Site", "same-origin")

		var me struct {
			Subject   string `json:"sub"`
			SessionID string `json:"session_id"`
		}
		own(t, g, "GET", "/v1/me", &me, page...)
		var sessions struct {
			Items []struct {
				ID      string
				Current bool
			}
		}
		own(t, g, "GET", "/v1/me/sessions?limit=10", &sessions, page...)
		other := ""
		for _, s := range sessions.Items {
			if s.Current != (s.ID == me.SessionID) {
				t.Errorf("of %+v, %s is the current one", sessions, me.SessionID)
			}
			if !s.Current {
				other = s.ID
			}
		}
		if me.Subject != g.name || len(sessions.Items) != 2 || other == "" {
			t.Fatalf("%+v has the sessions %+v", me, sessions)
		}

		elsewhere := append(cookie(kept), "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site")
		g.refuses(t, http.StatusForbidden, "DELETE", "/v1/me/sessions/"+other, elsewhere...)
		g.passes(t, "GET", "/x", cookie(lost)...)
		g.refuses(t, http.StatusNoContent, "DELETE", "/v1/me/sessions/"+other, page...)
		g.refuses(t, http.StatusNotFound, "DELETE", "/v1/me/sessions/"+other, page...)
		g.refuses(t, http.StatusUnauthorized, "GET", "/x", cookie(lost)...)
		renewed, _ := gatewayLogin(t, g.refuses(t, http.StatusOK, "POST", "/v1/refresh", page...))
		g.passes(t, "GET", "/x", cookie(renewed)...)
		g.refuses(t, http.StatusUnauthorized, "GET", "/v1/me")

		g.refuses(t, http.StatusUnauthorized, "POST", "/v1/introspect", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("api:the client's secret")))
		for _, path := range []string{"/v1/introspect", "/v1/users", "/v1/men", "/v1/me/", "/v1/me/sessions/a/b", "/v1/me/access-tokens", "/V1/me", "/x/v1/me", "/v1/login/x"} {
			g.passes(t, "POST", path, jwt...)
		}
	})
}

// own asks authhost through the gateway and reads its answer.
func own(t *testing.T, g *gateway, method, target string, into any, header ...string) {
	t.Helper()
	a := g.refuses(t, http.StatusOK, method, target, header...)
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%s %s: %s: %v", method, target, a, err)
	}
}

// The identity headers of a user of many groups are no page of memory long.
func TestGatewayManyGroups(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	var groups []string
	for n := range 150 {
		groups = append(groups, fmt.Sprintf("/organisation/department-%03d/team-%03d/readers", n, n))
	}
	whole := strings.Join(groups, ",")
	if len(whole) < 6800 {
		t.Fatalf("only %d bytes of groups", len(whole))
	}
	eachGateway(t, idp.realm("")+gitops, func(t *testing.T, g *gateway, h *authhost) {
		h.awaitReady(t)
		token, _ := gatewayLogin(t, ask(t, "POST", h.public+"/v1/login", bearer(idp.token(t, "editor", map[string]any{"groups": groups, "jti": g.name}))...))
		r := g.passes(t, "POST", guarded, "X-Auth-Token", token)
		if got := r.Header.Get("X-Auth-Request-Groups"); got != whole {
			t.Errorf("%d bytes of groups arrived, want %d", len(got), len(whole))
		}
		g.refuses(t, http.StatusNoContent, "POST", "/v1/logout", "X-Auth-Token", token)
	})
}

func TestGatewayWebSocket(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		handshake := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version", "13"}
		g.refuses(t, http.StatusUnauthorized, "GET", "/ws/events", handshake...)
		for _, name := range []string{"websocket", "WebSocket"} { // browsers differ
			handshake[3] = name
			c := g.open(t, "GET", "/ws/events?since=1", "", append(handshake, editor...)...)
			if c.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%s: %s", name, c.Status)
			}
			line, err := c.reader.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			r := g.received(t, answer{status: http.StatusOK, body: line})
			if r.Target != "/ws/events?since=1" || r.Header.Get("Sec-Websocket-Version") != "13" {
				t.Errorf("arrived as %+v", r)
			}
			checkIdentity(t, g, &r, map[string]string{"User": "editor", "Realm": "main", "Roles": "editor", "Groups": "ops",
				"Email": "editor@console.example", "Credential": "header/jwt"})
			for _, message := range []string{"\x81\x02hi", strings.Repeat("\x00\xff", 40_000)} {
				if _, err := io.WriteString(c.conn, message); err != nil {
					t.Fatal(err)
				}
				back := make([]byte, len(message))
				if _, err := io.ReadFull(c.reader, back); err != nil || string(back) != message {
					t.Fatalf("%d bytes came back otherwise: %v", len(message), err)
				}
			}
			c.conn.Close()
		}
	})
}

// Bodies go to the application and not to authhost, which takes 64 KiB at most.
func TestGatewayBodies(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		body := strings.Repeat("0123456789abcde\n", 3<<15) // 1.5 MiB: more than nginx takes by itself
		sum := sha256.Sum256([]byte(body))
		chunked := fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 1<<20, body[:1<<20], 1<<19, body[1<<20:])
		for _, sent := range []struct {
			name, body string
			header     []string
		}{
			{"with a length", body, nil},
			{"chunked", chunked, []string{"Transfer-Encoding", "chunked"}},
		} {
			r := g.received(t, g.askBody(t, "POST", "/api/gitops/sync", sent.body, append(sent.header, editor...)...))
			if r.Length != int64(len(body)) || r.Sum != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: %d bytes arrived", sent.name, r.Length)
			}
			before := g.asked.Load()
			if a := g.askBody(t, "POST", "/api/gitops/sync", sent.body, sent.header...); a.status != http.StatusUnauthorized || g.asked.Load() != before {
				t.Errorf("%s, without a token: %s", sent.name, a)
			}
		}
	})
}

// An upload arrives while it is being sent.
func TestGatewayUploadStream(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		c := g.dial(t)
		fmt.Fprintf(c, "POST /upload HTTP/1.1\r\nHost: console.example\r\nTransfer-Encoding: chunked\r\n%s: %s\r\n\r\n4\r\nbody\r\n", editor[0], editor[1])
		select {
		case <-g.begun:
		case <-time.After(patience):
			t.Fatal("the beginning did not arrive before the end was sent")
		}
		if r := g.received(t, talk(t, c, "POST", "0\r\n\r\n").read(t)); r.Length != 3 {
			t.Errorf("%d bytes followed the first", r.Length)
		}
	})
}

// Each event arrives before the next is sent.
func TestGatewayEventStream(t *testing.T) {
	t.Parallel()
	withGateways(t, func(t *testing.T, g *gateway, editor []string) {
		c := g.open(t, "GET", "/events", "", editor...)
		events := bufio.NewReader(c.Body)
		for n := range 3 {
			line, err := events.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", n); err != nil || line != want {
				t.Fatalf("got %q, %v, want %q", line, err, want)
			}
			if _, err := events.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			g.next <- struct{}{}
		}
	})
}
