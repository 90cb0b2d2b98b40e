package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A session is bought with a JWT in Authorization and nothing else.
func TestLoginTakesOneJWT(t *testing.T) {
	t.Parallel()
	r, idp := startRedis(t), newIssuer(t)
	h := serve(t, listen+idp.realm("")+r.cache()+open)
	h.awaitReady(t)
	good := idp.token(t, "alice", nil)
	out := idp.token(t, "alice", map[string]any{"jti": "out"})
	h.logout(t, bearer(out)...)
	live := h.login(t, good)

	before := r.contents(t)
	for _, c := range []struct {
		what   string
		header []string
	}{
		{"nothing", nil},
		{"Basic", []string{"Authorization", "Basic YWxpY2U6YWxpY2U="}},
		{"Bearer without a token", []string{"Authorization", "Bearer"}},
		{"the JWT without a scheme", []string{"Authorization", good}},
		{"garbage", bearer("garbage")},
		{"a session", bearer(live.token)},
		{"a session cookie", cookie(live.token)},
		{"a session in X-Auth-Token", []string{"X-Auth-Token", live.token}},
		{"an access token", bearer("aht_" + strings.TrimPrefix(live.token, "ahs_"))},
		{"the JWT in X-Auth-Token", []string{"X-Auth-Token", good}},
		{"the JWT in a cookie", []string{"Cookie", "kc_auth=" + good}},
		{"the JWT in the session cookie", cookie(good)},
		{"two of them", append(bearer(good), bearer(good)...)},
		{"two in one", bearer(good + ", Bearer " + good)},
		{"expired", bearer(idp.expired(t, "alice"))},
		{"not yet valid", bearer(idp.token(t, "alice", map[string]any{"nbf": inHours(1), "exp": inHours(2)}))},
		{"for another service", bearer(idp.token(t, "alice", map[string]any{"aud": "elsewhere"}))},
		{"made for too long", bearer(idp.token(t, "alice", map[string]any{"exp": inHours(25)}))},
		{"of nobody", bearer(idp.token(t, "alice", map[string]any{"sub": nil}))},
		{"logged out", bearer(out)},
	} {
		a := ask(t, "POST", h.public+"/v1/login", c.header...)
		if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %s", c.what, a)
		}
		if a.header.Get("Set-Cookie") != "" || a.header.Get("X-Auth-Token") != "" || strings.Contains(a.body, "ahs_") {
			t.Errorf("%s: %v %s", c.what, a.header, a.body)
		}
	}
	for _, place := range []string{"?token=", "?access_token=", "?Authorization=Bearer%20"} {
		if a := ask(t, "POST", h.public+"/v1/login"+place+url.QueryEscape(good)); a.status != http.StatusUnauthorized {
			t.Errorf("in the query: %s", a)
		}
	}
	if !sameContents(before, r.contents(t)) {
		t.Error("a refused login left something behind")
	}
}

// Other methods than POST do nothing at all, whatever they carry.
func TestAttack32_options_plants_no_session(t *testing.T) {
	t.Parallel()
	r, idp := startRedis(t), newIssuer(t)
	h := serve(t, listen+idp.realm("")+r.cache()+open)
	h.awaitReady(t)
	live := h.login(t, idp.token(t, "alice", nil))
	before := r.contents(t)
	planted := append(bearer(idp.token(t, "bob", nil)), cookie(live.token)...)
	for _, method := range []string{"OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "LOGIN"} {
		for _, path := range []string{"/v1/login", "/v1/logout"} {
			a := ask(t, method, h.public+path, append(planted, "X-HTTP-Method-Override", "POST", "X-Forwarded-Method", "POST")...)
			if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" || method != "HEAD" && !strings.Contains(a.body, `"method_not_allowed"`) || a.header.Get("Set-Cookie") != "" || a.header.Get("X-Auth-Token") != "" {
				t.Errorf("%s %s: %s %v", method, path, a, a.header)
			}
		}
		// What is asked about is gated, whatever its method.
		if a := h.forwardAuth(t, method, "/x"); a.status != http.StatusUnauthorized {
			t.Errorf("%s /x without a credential: %s", method, a)
		}
	}
	if a := get(t, h.public+"/authz/forward-auth", forwarded("OPTIONS", "/x", "Origin", "https://elsewhere.example", "Access-Control-Request-Method", "POST")...); a.status != http.StatusUnauthorized {
		t.Errorf("a preflight: %s", a)
	}
	if !sameContents(before, r.contents(t)) {
		t.Error("something was written")
	}
	h.expect(t, 200, "the session", cookie(live.token)...)
}

// A cookie that another site made the browser send ends nothing.
func TestLogoutFromAnotherSite(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	live := h.login(t, idp.token(t, "alice", nil))
	for _, foreign := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://elsewhere.example"},
		{"Origin", "null"},
	} {
		a := ask(t, "POST", h.public+"/v1/logout", append(foreign, cookie(live.token)...)...)
		if a.status != http.StatusForbidden || !strings.Contains(a.body, `"cross_origin"`) || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%q: %s %v", foreign, a, a.header)
		}
		h.expect(t, 200, "the session after it", cookie(live.token)...)
		h.expect(t, 403, "and what it may not do either", append(foreign, cookie(live.token)...)...)
		// What a browser does not send of itself speaks for itself; but no
		// cookie is taken away.
		if a := ask(t, "POST", h.public+"/v1/logout", append(foreign, bearer("garbage")...)...); a.status != http.StatusNoContent || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%q without a cookie: %s %v", foreign, a, a.header)
		}
	}
	own := strings.TrimPrefix(h.public, "http://")
	a := ask(t, "POST", h.public+"/v1/logout", append(cookie(live.token), "Origin", "http://"+own, "Sec-Fetch-Site", "same-origin")...)
	cleared := (&http.Response{Header: a.header}).Cookies()
	if a.status != http.StatusNoContent || len(cleared) != 1 || cleared[0].Name != sessionCookie || cleared[0].Value != "" || cleared[0].MaxAge >= 0 ||
		!cleared[0].Secure || !cleared[0].HttpOnly || cleared[0].Path != "/" {
		t.Errorf("from its own site: %s %v", a, a.header)
	}
	h.expect(t, 401, "the session", cookie(live.token)...)
	if a := ask(t, "POST", h.public+"/v1/logout"); a.status != http.StatusNoContent {
		t.Errorf("with nothing to end: %s", a)
	}
}

// A session that was planted before the login is not the one that the login
// makes, and stays what it was.
func TestAttack08_fixation_through_the_program(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	mallory := h.login(t, idp.token(t, "mallory", nil))
	for _, planted := range []string{mallory.token, forge(t, random(20), random(15), random(25)), "chosen", "ahs_chosen"} {
		alice := h.login(t, idp.token(t, "alice", nil), append(cookie(planted), "X-Auth-Token", planted)...)
		if alice.token == planted {
			t.Fatalf("the login adopted %s", planted)
		}
		if a := h.at(t, "console.example", cookie(planted)...); a.header.Get("X-Auth-Request-User") == "alice" {
			t.Errorf("%s is Alice now", planted)
		}
		h.expect(t, 200, "Alice's own", cookie(alice.token)...)
	}
	h.expect(t, 200, "Mallory's own", cookie(mallory.token)...)
}

// Logged out is logged out: in every place, at once, and for good.
func TestAttack25_after_logout(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, listen+idp.realm("")+memoryCache+open)
	h.awaitReady(t)
	jwt := idp.token(t, "alice", nil)
	h.expect(t, 200, "before", bearer(jwt)...) // remembered from now on
	live := h.login(t, jwt)
	for _, token := range []string{live.token, jwt} {
		h.logout(t, "Cookie", "kc_auth="+token)
		for range 2 { // and the second logout changes nothing
			for _, header := range [][]string{bearer(token), {"X-Auth-Token", token}, {"Cookie", "kc_auth=" + token}, cookie(token)} {
				h.expect(t, 401, "after logout", header...)
			}
			h.logout(t, bearer(token)...)
		}
	}
	h.expect(t, 200, "a new JWT", bearer(idp.token(t, "alice", map[string]any{"jti": "new"}))...)
}
