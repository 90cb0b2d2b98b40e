package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const operatorToken = "0123456789abcdef0123456789abcdef"

// replicas starts n hosts on one Redis that read through, with an operator and
// an introspection client.
func replicas(t *testing.T, n int, idp *issuer, redis *redisServer) []*authhost {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "operators"), "ann "+operatorToken+"\n")
	writeFile(t, filepath.Join(dir, "client"), "client-secret\n")
	config := listen + fmt.Sprintf(`
operator: {token_file: %q}
introspection_clients: [{id: api, secret_file: %q, realm: main}]
cache: {driver: redis, redis: {addrs: [%q]}, near: {max_staleness: 0s}}
`, filepath.Join(dir, "operators"), filepath.Join(dir, "client"), redis.addr) + idp.realm("") + gitops
	var hosts []*authhost
	for range n {
		hosts = append(hosts, serve(t, config))
	}
	return hosts
}

// logIn makes a session of a JWT.
func (h *authhost) logIn(t *testing.T, jwt string) (token, userID string) {
	t.Helper()
	a := ask(t, "POST", h.public+"/v1/login", bearer(jwt)...)
	var body struct {
		Token  string `json:"token"`
		UserID string `json:"user_id"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusOK {
		t.Fatalf("login: %s", a)
	}
	return body.Token, body.UserID
}

func (h *authhost) live(t *testing.T, token string) bool {
	t.Helper()
	return h.forwardAuth(t, "POST", "/api/gitops/detect-drift", bearer(token)...).status == http.StatusOK
}

// An admin ends a user's access everywhere at once; the user's peers cannot,
// and others are untouched.
func TestAdminLogsAUserOutEverywhere(t *testing.T) {
	idp, redis := newIssuer(t), startRedis(t)
	hosts := replicas(t, 3, idp, redis)
	jwt := idp.token(t, "editor", nil)
	first, user := hosts[0].logIn(t, jwt)
	second, _ := hosts[1].logIn(t, jwt)
	admin, adminID := hosts[2].logIn(t, idp.token(t, "admin", nil))
	peer, _ := hosts[0].logIn(t, idp.token(t, "viewer", nil))
	credentials := []string{jwt, first, second}

	for _, h := range hosts {
		for _, c := range append([]string{admin, peer}, credentials...) {
			if !h.live(t, c) {
				t.Fatal("a credential does not count before the logout")
			}
		}
	}
	path := "/v1/users/" + user
	for name, c := range map[string]struct {
		method, path string
		auth         []string
		status       int
	}{
		"nobody":                  {"POST", path + "/logout", nil, 401},
		"nobody, of nobody":       {"POST", "/v1/users/usr_x/logout", nil, 401},
		"a peer":                  {"POST", path + "/logout", bearer(peer), 403},
		"a peer lists":            {"GET", path + "/sessions", bearer(peer), 403},
		"the user looks":          {"GET", path, bearer(first), 200},
		"the user deactivates":    {"POST", path + "/deactivate", bearer(first), 403},
		"a malformed id":          {"GET", "/v1/users/usr_x", bearer(admin), 404},
		"an admin above realms":   {"GET", "/v1/system/realms/main/users/" + user, bearer(admin), 403},
		"the operator":            {"GET", "/v1/system/realms/main/users/" + user, bearer(operatorToken), 200},
		"the operator, elsewhere": {"GET", "/v1/system/realms/none/users/" + user, bearer(operatorToken), 404},
	} {
		if a := ask(t, c.method, hosts[1].admin+c.path, c.auth...); a.status != c.status {
			t.Errorf("%s: %s", name, a)
		}
	}
	if !hosts[2].live(t, first) {
		t.Fatal("someone who may not has ended a session")
	}

	for range 2 { // again: still 204
		if a := ask(t, "POST", hosts[1].admin+path+"/logout", bearer(admin)...); a.status != http.StatusNoContent {
			t.Fatalf("the admin: %s", a)
		}
		for i, h := range hosts {
			for _, c := range credentials {
				if a := h.forwardAuth(t, "POST", "/api/gitops/detect-drift", bearer(c)...); a.status != http.StatusUnauthorized {
					t.Errorf("replica %d: a credential after the logout: %s", i, a)
				}
			}
			if a := get(t, h.admin+path+"/sessions", bearer(admin)...); a.status != 200 || !strings.Contains(a.body, `"items":[]`) {
				t.Errorf("replica %d: the list: %s", i, a)
			}
			if !h.live(t, admin) || !h.live(t, peer) {
				t.Errorf("replica %d: another user was logged out", i)
			}
		}
	}
	if a := ask(t, "POST", hosts[0].public+"/v1/login", bearer(jwt)...); a.status != 401 {
		t.Errorf("login with a JWT of before: %s", a)
	}

	// A rogue admin is stopped by the operator, and cannot let himself in again.
	system := hosts[0].admin + "/v1/system/realms/main/users/" + adminID
	if a := ask(t, "POST", system+"/deactivate", bearer(operatorToken)...); a.status != http.StatusNoContent {
		t.Fatalf("deactivate: %s", a)
	}
	fresh := idp.token(t, "admin", map[string]any{"jti": "fresh"})
	if hosts[1].live(t, admin) || hosts[2].live(t, fresh) {
		t.Error("a deactivated admin is let in")
	}
	if a := ask(t, "POST", hosts[1].public+"/v1/login", bearer(fresh)...); a.status != 401 {
		t.Errorf("a deactivated admin logs in: %s", a)
	}
	if a := ask(t, "POST", system+"/activate", bearer(operatorToken)...); a.status != http.StatusNoContent {
		t.Errorf("activate: %s", a)
	}
}

func TestSelfServiceAndIntrospection(t *testing.T) {
	idp, redis := newIssuer(t), startRedis(t)
	hosts := replicas(t, 2, idp, redis)
	jwt := idp.token(t, "editor", nil)
	first, user := hosts[0].logIn(t, jwt)
	second, _ := hosts[1].logIn(t, jwt)

	var me struct {
		UserID    string `json:"user_id"`
		SessionID string `json:"session_id"`
	}
	if a := get(t, hosts[1].public+"/v1/me", bearer(first)...); json.Unmarshal([]byte(a.body), &me) != nil || me.UserID != user || me.SessionID == "" {
		t.Fatalf("me: %s", a)
	}
	active := func(token string) string {
		t.Helper()
		r, err := http.NewRequest("POST", hosts[1].public+"/v1/introspect", strings.NewReader("token="+token))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("api", "client-secret")
		resp, err := direct.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != 200 {
			t.Fatalf("introspect: %d, %v", resp.StatusCode, err)
		}
		return fmt.Sprint(body["active"])
	}
	if active(first) != "true" || active(second) != "true" || active(jwt) != "true" || active("ahs_x") != "false" {
		t.Error("introspection does not know what counts")
	}
	if a := ask(t, "DELETE", hosts[1].public+"/v1/me/sessions/"+me.SessionID, bearer(second)...); a.status != http.StatusNoContent {
		t.Fatalf("end one: %s", a)
	}
	if a := ask(t, "DELETE", hosts[1].public+"/v1/me/sessions/"+me.SessionID, bearer(second)...); a.status != http.StatusNotFound {
		t.Errorf("end it again: %s", a)
	}
	if active(first) != "false" || hosts[0].live(t, first) || !hosts[0].live(t, second) {
		t.Error("the wrong session ended")
	}

	// A rotated session has a new token and the old one counts no more.
	a := ask(t, "POST", hosts[0].public+"/v1/refresh", bearer(second)...)
	rotated := a.header.Get("X-Auth-Token")
	if a.status != 200 || rotated == "" || hosts[1].live(t, second) || !hosts[1].live(t, rotated) {
		t.Errorf("refresh: %s", a)
	}
}

// The commands of an operator, against a running host.
func TestUserCommands(t *testing.T) {
	idp, redis := newIssuer(t), startRedis(t)
	h := replicas(t, 1, idp, redis)[0]
	session, user := h.logIn(t, idp.token(t, "editor", nil))
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, operatorToken+"\n")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), append(args, "--server", h.admin, "--token-file", file, "--realm", "main")...)
		cmd.Env = os.Environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := run("users", "show", user); !strings.Contains(out, user) {
		t.Errorf("show:\n%s", out)
	}
	if out := run("sessions", "list", user, "--output", "json"); !strings.Contains(out, "ses_") || strings.Contains(out, session) {
		t.Errorf("list:\n%s", out)
	}
	run("users", "logout", user)
	if h.live(t, session) {
		t.Error("the session counts after users logout")
	}
}
