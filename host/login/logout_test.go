package login_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

const clearing = "__Host-authhost=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"

func TestLogout(t *testing.T) {
	const clearKC = "kc_auth=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"
	for name, c := range map[string]struct {
		headers []string
		ended   []string // sessions
		revoked []string // JWTs
		cookies []string
	}{
		"nothing":                {nil, nil, nil, []string{clearing}},
		"session cookie":         {[]string{"Cookie", "__Host-authhost=" + alice}, []string{alice}, nil, []string{clearing}},
		"session in a header":    {[]string{"X-Auth-Token", alice}, []string{alice}, nil, []string{clearing}},
		"session as bearer":      {[]string{"Authorization", "Bearer " + alice}, []string{alice}, nil, []string{clearing}},
		"JWT":                    {[]string{"Authorization", "Bearer valid.carol.k"}, nil, []string{"k"}, []string{clearing}},
		"expired JWT":            {[]string{"Authorization", "Bearer expired.carol.k"}, nil, []string{"k"}, []string{clearing}},
		"JWT of tomorrow":        {[]string{"Authorization", "Bearer not_yet_valid.carol.k"}, nil, []string{"k"}, []string{clearing}},
		"badly signed JWT":       {[]string{"Authorization", "Bearer bad_signature.carol.k"}, nil, nil, []string{clearing}},
		"JWT for somebody else":  {[]string{"Authorization", "Bearer wrong_audience.carol.k"}, nil, nil, []string{clearing}},
		"JWT cookie":             {[]string{"Cookie", "kc_auth=valid.carol.k"}, nil, []string{"k"}, []string{clearing, clearKC}},
		"garbage cookie":         {[]string{"Cookie", "kc_auth=garbage"}, nil, nil, []string{clearing, clearKC}},
		"two cookies of a name":  {[]string{"Cookie", "kc_auth=valid.carol.a; kc_auth=valid.carol.b"}, nil, nil, []string{clearing, clearKC}},
		"access token":           {[]string{"Authorization", "Bearer aht_x"}, nil, nil, []string{clearing}},
		"a cookie of the app":    {[]string{"Cookie", "theme=dark"}, nil, nil, []string{clearing}},
		"unknown session":        {[]string{"Cookie", "__Host-authhost=ahs_never"}, nil, nil, []string{clearing}},
		"everything at once":     {[]string{"Authorization", "Bearer valid.carol.a", "X-Auth-Token", bob, "Cookie", "kc_auth=valid.dave.b; __Host-authhost=" + alice}, []string{alice, bob}, []string{"a", "b"}, []string{clearing, clearKC}},
		"same-origin by browser": {[]string{"Cookie", "__Host-authhost=" + alice, "Sec-Fetch-Site", "same-origin"}, []string{alice}, nil, []string{clearing}},
		"same origin by header":  {[]string{"Cookie", "__Host-authhost=" + alice, "Origin", "https://app.example"}, []string{alice}, nil, []string{clearing}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			for range 2 { // again is the same
				w := g.call("POST", "/v1/logout", c.headers...)
				if w.Code != 204 || w.Body.Len() != 0 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				if got := w.Header().Values("Set-Cookie"); !slices.Equal(got, c.cookies) {
					t.Errorf("Set-Cookie %q, want %q", got, c.cookies)
				}
			}
			for _, s := range []string{alice, bob} {
				if _, live := g.live[s]; live == slices.Contains(c.ended, s) {
					t.Errorf("%s live: %v", s, live)
				}
			}
			slices.Sort(g.revoked)
			if got := slices.Compact(g.revoked); !slices.Equal(got, c.revoked) && len(got)+len(c.revoked) > 0 {
				t.Errorf("revoked %q, want %q", got, c.revoked)
			}
		})
	}
}

// A client that has gone meanwhile is logged out all the same.
func TestLogoutOfWhoHasGone(t *testing.T) {
	g := newRig(t)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, "POST", "https://app.example/v1/logout", nil)
	r.Header.Set("Authorization", "Bearer "+alice)
	g.server.ServeHTTP(httptest.NewRecorder(), r)
	if _, live := g.live[alice]; live {
		t.Error("the session still counts")
	}
}

// While the cache does not acknowledge, nothing is cleared; it may be repeated.
func TestAttack29_cache_error_clears_no_cookie(t *testing.T) {
	for _, headers := range [][]string{
		{"Cookie", "__Host-authhost=" + alice},
		{"Authorization", "Bearer valid.carol.k"},
		{"Cookie", "kc_auth=valid.carol.k"},
	} {
		g := newRig(t)
		g.down = errDown
		w := g.call("POST", "/v1/logout", headers...)
		if w.Code != 503 || len(w.Header().Values("Set-Cookie")) != 0 || strings.Contains(w.Body.String(), errDown.Error()) {
			t.Errorf("%v: %d %v %s", headers, w.Code, w.Header(), w.Body)
		}
		if len(g.live) != 2 {
			t.Errorf("%v: sessions %v", headers, g.live)
		}
		g.down = nil
		if w := g.call("POST", "/v1/logout", headers...); w.Code != 204 {
			t.Errorf("%v, again: %d", headers, w.Code)
		}
	}
}

// A JWT that cannot be judged is not taken for nothing to do; what can be ended
// ends all the same.
func TestLogoutWithoutKeySet(t *testing.T) {
	g := newRig(t)
	g.keysAway = true
	w := g.call("POST", "/v1/logout", "Authorization", "Bearer valid.carol.k", "Cookie", "__Host-authhost="+alice)
	if w.Code != 503 || len(w.Header().Values("Set-Cookie")) != 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if _, live := g.live[alice]; live {
		t.Error("the session that could be ended was not")
	}
	if w := g.call("POST", "/v1/logout", "Cookie", "__Host-authhost="+bob); w.Code != 204 {
		t.Errorf("a session alone: %d", w.Code)
	}
}

// Another site can neither end a session by its cookie nor take the cookie
// away.
func TestLogoutCrossOrigin(t *testing.T) {
	for _, from := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		for _, cookie := range []string{"__Host-authhost=" + alice, "kc_auth=valid.carol.k", "kc_auth=garbage"} {
			g := newRig(t)
			w := g.call("POST", "/v1/logout", append([]string{"Cookie", cookie, "X-Auth-Token", bob}, from...)...)
			if w.Code != 403 || !strings.Contains(w.Body.String(), "cross_origin") || len(w.Header().Values("Set-Cookie")) != 0 {
				t.Errorf("%v %s: %d %s", from, cookie, w.Code, w.Body)
			}
			if len(g.live) != 2 || len(g.revoked) != 0 {
				t.Errorf("%v %s: live %v, revoked %v", from, cookie, g.live, g.revoked)
			}
		}
		g := newRig(t)
		w := g.call("POST", "/v1/logout", from...)
		if w.Code != 204 || len(w.Header().Values("Set-Cookie")) != 0 {
			t.Errorf("%v without a cookie: %d %v", from, w.Code, w.Header())
		}
		// A token in a header is no site's but the caller's own.
		w = g.call("POST", "/v1/logout", append([]string{"X-Auth-Token", bob}, from...)...)
		if _, live := g.live[bob]; w.Code != 204 || live {
			t.Errorf("%v by header: %d", from, w.Code)
		}
	}
}

// The record of a logout names who logged out.
func TestLogoutIsRecorded(t *testing.T) {
	for _, c := range []struct {
		headers []string
		user    string // empty: nobody
		label   string
		tried   int
	}{
		{[]string{"Cookie", "__Host-authhost=" + alice}, "usr_alice", "cookie/session", 1},
		{[]string{"Authorization", "Bearer " + bob}, "usr_bob", "header/session", 1},
		{[]string{"Authorization", "Bearer valid.carol.k"}, "usr_carol", "header/jwt", 1},
		{[]string{"Authorization", "Bearer valid.carol.k", "Cookie", "__Host-authhost=" + alice}, "usr_carol", "header/jwt", 2},
		{[]string{"Authorization", "Bearer bad_signature.carol.k", "Cookie", "__Host-authhost=" + alice}, "usr_alice", "cookie/session", 2},
		{[]string{"Cookie", "__Host-authhost=ahs_never"}, "", "", 1},
		{nil, "", "", 0},
	} {
		g := newRig(t)
		g.call("POST", "/v1/logout", c.headers...)
		user := ""
		if id := g.event.Decision.Identity; id != nil {
			user = id.UserID
		}
		if label := g.event.Decision.Credential.Label(); user != c.user || label != c.label || len(g.event.Tried) != c.tried {
			t.Errorf("%v: recorded as %q by %q, %d tried", c.headers, user, label, len(g.event.Tried))
		}
	}
}
