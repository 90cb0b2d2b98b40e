package login_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// A refresh is answered like a login, and the old token is gone.
func TestRefresh(t *testing.T) {
	for name, headers := range map[string][]string{
		"cookie":                 {"Cookie", "__Host-authhost=" + alice},
		"header":                 {"X-Auth-Token", alice},
		"bearer":                 {"Authorization", "Bearer " + alice},
		"header before cookie":   {"X-Auth-Token", alice, "Cookie", "__Host-authhost=" + bob},
		"cookie, of this site":   {"Cookie", "__Host-authhost=" + alice, "Sec-Fetch-Site", "same-origin"},
		"header from elsewhere":  {"X-Auth-Token", alice, "Sec-Fetch-Site", "cross-site"},
		"beside an app's cookie": {"Cookie", "theme=dark; __Host-authhost=" + alice},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			w := g.call("POST", "/v1/refresh", headers...)
			if w.Code != 200 || w.Header().Get("X-Auth-Token") != "ahs_new1" || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
			}
			if got := w.Header().Values("Set-Cookie"); len(got) != 1 ||
				got[0] != "__Host-authhost=ahs_new1; Path=/; Max-Age=5400; HttpOnly; Secure; SameSite=Strict" {
				t.Errorf("Set-Cookie %q", got)
			}
			var body map[string]string
			want := map[string]string{"token": "ahs_new1", "expires_at": "2026-01-02T04:34:05Z", "user_id": "usr_alice"}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || !maps.Equal(body, want) {
				t.Errorf("body %v, %v", body, err)
			}
			if !maps.Equal(g.live, map[string]string{"ahs_new1": "alice", bob: "bob"}) {
				t.Errorf("sessions %v", g.live)
			}
			if id := g.event.Decision.Identity; id == nil || id.UserID != "usr_alice" {
				t.Errorf("recorded as %v", id)
			}
			if w := g.call("POST", "/v1/refresh", headers...); w.Code != 401 {
				t.Errorf("again, with the old token: %d", w.Code)
			}
		})
	}
}

// What is no live session, or does not come first, is refreshed no more than it
// logs in.
func TestRefreshRefused(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		headers []string
	}{
		"nothing":                   {401, nil},
		"a JWT":                     {401, []string{"Authorization", "Bearer valid.carol.k"}},
		"a JWT before the session":  {401, []string{"Authorization", "Bearer valid.carol.k", "Cookie", "__Host-authhost=" + alice}},
		"garbage before it":         {401, []string{"Authorization", "Bearer garbage", "Cookie", "__Host-authhost=" + alice}},
		"two cookies":               {401, []string{"Cookie", "__Host-authhost=" + alice + "; __Host-authhost=" + bob}},
		"never issued":              {401, []string{"Cookie", "__Host-authhost=ahs_planted"}},
		"an access token":           {401, []string{"Authorization", "Bearer aht_x"}},
		"a cookie from elsewhere":   {403, []string{"Cookie", "__Host-authhost=" + alice, "Sec-Fetch-Site", "cross-site"}},
		"a cookie of a sister site": {403, []string{"Cookie", "__Host-authhost=" + alice, "Origin", "https://evil.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			w := g.call("POST", "/v1/refresh", c.headers...)
			if w.Code != c.status || w.Header().Get("X-Auth-Token") != "" || len(w.Header().Values("Set-Cookie")) != 0 {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if g.made != 0 || g.live[alice] != "alice" || g.live[bob] != "bob" {
				t.Errorf("sessions %v", g.live)
			}
		})
	}
	g := newRig(t)
	g.down = errDown
	w := g.call("POST", "/v1/refresh", "Cookie", "__Host-authhost="+alice)
	if w.Code != 503 || len(w.Header().Values("Set-Cookie")) != 0 || strings.Contains(w.Body.String(), errDown.Error()) {
		t.Errorf("cache away: %d %v %s", w.Code, w.Header(), w.Body)
	}
}
