package login_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/login"
)

func TestLogin(t *testing.T) {
	g := newRig(t)
	w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k1")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"token": "ahs_new1", "expires_at": "2026-01-02T04:34:05Z", "user_id": "usr_carol"}
	if len(body) != len(want) {
		t.Errorf("body %v", body)
	}
	for k, v := range want {
		if body[k] != v {
			t.Errorf("%s = %q, want %q", k, body[k], v)
		}
	}
	if got := w.Header().Get("X-Auth-Token"); got != "ahs_new1" {
		t.Errorf("X-Auth-Token %q", got)
	}
	if got := w.Header().Values("Set-Cookie"); len(got) != 1 ||
		got[0] != "__Host-authhost=ahs_new1; Path=/; Max-Age=5400; HttpOnly; Secure; SameSite=Strict" {
		t.Errorf("Set-Cookie %q", got)
	}
}

func TestCookieSettings(t *testing.T) {
	for want, c := range map[string]login.Cookie{
		"sid=ahs_new1; Path=/; Max-Age=5400; HttpOnly; SameSite=Lax":                      {Name: "sid", SameSite: http.SameSiteLaxMode, InsecureHTTP: true},
		"__Host-authhost=ahs_new1; Path=/; Max-Age=5400; HttpOnly; Secure; SameSite=None": {SameSite: http.SameSiteNoneMode},
	} {
		g := newRig(t)
		g.realm.Cookie = c
		w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k1")
		if got := w.Header().Values("Set-Cookie"); len(got) != 1 || got[0] != want {
			t.Errorf("Set-Cookie %q, want %q", got, want)
		}
	}
}

// The cookie never outlives the session: what is left is cut to whole seconds.
func TestCookieMaxAge(t *testing.T) {
	for left, want := range map[time.Duration]string{
		1999 * time.Millisecond: "Max-Age=1;", time.Second: "Max-Age=1;", 999 * time.Millisecond: "Max-Age=0;", 24 * time.Hour: "Max-Age=86400;",
	} {
		g := newRig(t)
		g.ends = start.Add(left)
		w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k1")
		if got := w.Header().Get("Set-Cookie"); !strings.Contains(got, want) {
			t.Errorf("%s left: %q, want %s", left, got, want)
		}
	}
}

// Nothing but one valid JWT in Authorization logs anybody in, and every refusal
// reads the same.
func TestLoginRefused(t *testing.T) {
	var first string
	for name, headers := range map[string][]string{
		"nothing":              nil,
		"bad signature":        {"Authorization", "Bearer bad_signature.carol.k"},
		"expired":              {"Authorization", "Bearer expired.carol.k"},
		"not yet valid":        {"Authorization", "Bearer not_yet_valid.carol.k"},
		"wrong issuer":         {"Authorization", "Bearer wrong_issuer.carol.k"},
		"wrong audience":       {"Authorization", "Bearer wrong_audience.carol.k"},
		"garbage":              {"Authorization", "Bearer garbage"},
		"another scheme":       {"Authorization", "Basic valid.carol.k"},
		"a session token":      {"Authorization", "Bearer " + alice},
		"an access token":      {"Authorization", "Bearer aht_x"},
		"twice":                {"Authorization", "Bearer valid.carol.k", "Authorization", "Bearer valid.carol.k"},
		"in a cookie":          {"Cookie", "kc_auth=valid.carol.k"},
		"in another header":    {"X-Auth-Token", "valid.carol.k"},
		"a session cookie":     {"Cookie", "__Host-authhost=" + alice},
		"bad, and a cookie":    {"Authorization", "Bearer expired.carol.k", "Cookie", "__Host-authhost=" + alice},
		"logged out by itself": {"Authorization", "Bearer valid.carol.gone"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.revoked = []string{"gone"}
			w := g.call("POST", "/v1/login", headers...)
			if w.Code != 401 || g.made != 0 || w.Header().Get("X-Auth-Token") != "" || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%d, %d sessions, headers %v", w.Code, g.made, w.Header())
			}
			if first == "" {
				first = w.Body.String()
			}
			if w.Body.String() != first {
				t.Errorf("this refusal reads %q, another %q", w.Body, first)
			}
		})
	}
}

func TestLoginWithoutAnswer(t *testing.T) {
	g := newRig(t)
	g.keysAway = true
	if w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k"); w.Code != 503 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("key set away: %d", w.Code)
	}
	g.keysAway, g.down = false, errDown
	if w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k"); w.Code != 503 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("cache away: %d", w.Code)
	}
	if w := g.call("POST", "/v1/login", "Authorization", "Bearer expired.carol.k"); w.Code != 401 {
		t.Errorf("cache away, JWT expired: %d", w.Code)
	}
	if w := g.call("POST", "/v1/login", "Host", "nowhere.example", "Authorization", "Bearer valid.carol.k"); w.Code != 400 {
		t.Errorf("no realm: %d", w.Code)
	}
}

// A login neither adopts what a cookie holds, nor lets it decide whose session
// is made: not an id that was planted, not another user's live session.
func TestAttack08_fixation(t *testing.T) {
	for _, cookie := range []string{"ahs_planted", alice, "garbage", "valid.alice.k"} {
		g := newRig(t)
		w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k1", "Cookie", "__Host-authhost="+cookie, "X-Auth-Token", cookie)
		token := w.Header().Get("X-Auth-Token")
		if w.Code != 200 || token == cookie || g.live[token] != "carol" {
			t.Errorf("%s: %d, token %q of %q", cookie, w.Code, token, g.live[token])
		}
		if _, adopted := g.live["ahs_planted"]; adopted || g.live[alice] != "alice" {
			t.Errorf("%s: sessions %v", cookie, g.live)
		}
		if got := w.Header().Values("Set-Cookie"); len(got) != 1 || !strings.HasPrefix(got[0], "__Host-authhost="+token+";") {
			t.Errorf("%s: Set-Cookie %q", cookie, got)
		}
	}
}

// A cookie and a bearer token at once: the token alone counts at login, both
// end at logout.
func TestAttack27_cookie_and_bearer(t *testing.T) {
	g := newRig(t)
	w := g.call("POST", "/v1/login", "Authorization", "Bearer valid.carol.k1", "Cookie", "__Host-authhost="+bob)
	if !strings.Contains(w.Body.String(), `"usr_carol"`) {
		t.Errorf("login as %s", w.Body)
	}
	w = g.call("POST", "/v1/logout", "Authorization", "Bearer valid.carol.k1", "Cookie", "__Host-authhost="+bob)
	if _, live := g.live[bob]; w.Code != 204 || live || len(g.revoked) != 1 || g.live[alice] == "" {
		t.Errorf("%d, live %v, revoked %v", w.Code, g.live, g.revoked)
	}
}

// Only POST does anything.
func TestAttack32_other_methods(t *testing.T) {
	g := newRig(t)
	for _, path := range []string{"/v1/login", "/v1/refresh", "/v1/logout"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"} {
			w := g.call(method, path, "Authorization", "Bearer valid.carol.k1", "Cookie", "__Host-authhost="+alice)
			if w.Code != 405 || w.Header().Get("Allow") != "POST" || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s %s: %d %v", method, path, w.Code, w.Header())
			}
		}
	}
	if g.made != 0 || len(g.live) != 2 || len(g.revoked) != 0 {
		t.Errorf("made %d, live %v, revoked %v", g.made, g.live, g.revoked)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := login.New(login.Options{}); err == nil {
		t.Error("handlers without Open and Fail")
	}
}
