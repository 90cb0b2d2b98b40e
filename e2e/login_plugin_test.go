package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A plugin refuses logins by address, and nothing of a session is there then; it
// shortens those of others, in the write that makes them.
func TestPluginAtLogin(t *testing.T) {
	t.Parallel()
	dir, idp := t.TempDir(), newIssuer(t)
	if err := buildGuest(filepath.Join("testdata", "door"), filepath.Join(dir, "door.wasm")); err != nil {
		t.Fatal(err)
	}
	s := startShared(t, "file")
	h := serveAll(t, 1, idp.realm("    plugins: [door]\n    session: {idle: 1h}\n")+s.config(s.at, 0)+
		fmt.Sprintf("plugins:\n  - {name: door, module: %q}\n", filepath.Join(dir, "door.wasm"))+open)[0]
	alice := idp.token(t, "alice", nil)
	from := func(client, jwt string) answer {
		return ask(t, "POST", h.public+"/v1/login", append(bearer(jwt), "X-Forwarded-For", client)...)
	}
	for _, c := range []struct {
		client string
		status int
		parts  []string
	}{
		{"203.0.113.7", 403, []string{`"reason":"not from this network"`, `"plugin":"door"`, `"status":403`}},
		{"198.51.100.2", 429, []string{`"reason":"slow down"`, `"plugin":"door"`}},
		{"192.0.2.9", 401, []string{`"reason":"unauthenticated"`}},
	} {
		a := from(c.client, alice)
		if a.status != c.status || a.header.Get("X-Auth-Token") != "" || a.header.Get("Set-Cookie") != "" || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("from %s: %s", c.client, a)
		}
		for _, part := range c.parts {
			if !strings.Contains(a.body, part) {
				t.Errorf("from %s: %s, want %s", c.client, a, part)
			}
		}
		if c.status == 429 && a.header.Get("Retry-After") != "17" || c.status == 401 && strings.Contains(a.body, "who are you") {
			t.Errorf("from %s: %s %v", c.client, a, a.header)
		}
	}
	if slots, _, err := s.open(t).List(t.Context(), "", 10); err != nil || len(slots) != 0 {
		t.Errorf("refused logins left %q, %v", slots, err)
	}
	member := h.login(t, alice)
	if got, err := s.open(t).Get(t.Context(), member.userID, "a:"+sessionID(t, member.token)); err != nil || !strings.Contains(string(got[0]), "member") {
		t.Errorf("attributes %q, %v", got, err)
	}
	before := time.Now()
	guest := h.login(t, idp.token(t, "bob", map[string]any{"roles": []string{"guest"}}))
	if from, to := before.Add(28*time.Second), time.Now().Add(31*time.Second); guest.expires.Before(from) || guest.expires.After(to) {
		t.Errorf("a guest's session ends at %s, want %s to %s", guest.expires, from, to)
	}
	if a := from("10.1.2.3", idp.token(t, "carol", map[string]any{"roles": []string{"later"}})); a.status != http.StatusServiceUnavailable || strings.Contains(a.body, "deadline") {
		t.Errorf("a deadline that is no shortening: %s", a)
	}
	brief := h.login(t, idp.token(t, "dave", map[string]any{"roles": []string{"brief"}}))
	h.expect(t, http.StatusOK, "in use", bearer(brief.token)...)
	eventually(t, "the shorter idle deadline", func() bool { // asked of the cache: a request would be a use
		return len(fields(t, s.open(t), brief.userID)) == 0
	})
	h.expect(t, http.StatusUnauthorized, "unused", bearer(brief.token)...)
	h.expect(t, http.StatusOK, "the member's", bearer(member.token)...)
	if body := get(t, h.telemetry+"/metrics").body; !strings.Contains(body, `authhost_plugin_errors_total{hook="on_login",plugin="door"}`) {
		t.Error("the failed call was not counted")
	}
}

// A plugin that is listed where it is never asked is refused, by name.
func TestPluginIsListedWhereItIsNotAsked(t *testing.T) {
	t.Parallel()
	dir, idp := t.TempDir(), newIssuer(t)
	if err := buildGuest(filepath.Join("testdata", "door"), filepath.Join(dir, "door.wasm")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ config, want string }{
		"a realm": {idp.realm("    plugins: [rbac-gitops]\n") + gitops, "neither on_login nor on_logout"},
		"a route": {idp.realm("") + fmt.Sprintf("plugins:\n  - {name: door, module: %q}\nroutes: [{path: /**, plugins: [door]}]\n", filepath.Join(dir, "door.wasm")), "neither on_credential nor on_authorize"},
		"nobody":  {idp.realm("    plugins: [nobody]\n") + open, `there is no plugin "nobody"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "authhost.yaml")
			writeFile(t, file, strings.ReplaceAll(listen+folderCache(t.TempDir())+c.config, "PLUGINS", artifacts(t)))
			refusedBy(t, file, c.want)
		})
	}
}
