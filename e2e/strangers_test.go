package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/session"
)

// strangers make up credentials.
type strangers struct {
	issuer               string
	user, public, secret []byte // of a session that there is
}

// anyToken is the nth credential that was never issued.
func (s *strangers) anyToken(t testing.TB, n int) string {
	switch n % 7 {
	case 0: // of a user whom the realm could have
		id, err := tokenBase32.DecodeString(strings.TrimPrefix(host.UserID("main", s.issuer, fmt.Sprint(n)), host.UserIDPrefix))
		if err != nil {
			t.Error(err)
		}
		return forge(t, id, random(15), random(25))
	case 1: // of a user of no realm
		return forge(t, random(20), random(15), random(25))
	case 2: // of a user who is logged in
		return forge(t, s.user, random(15), random(25))
	case 3: // of a session that there is
		return forge(t, s.user, s.public, random(25))
	case 4: // with a wrong sum
		return session.TokenPrefix + tokenBase32.EncodeToString(random(64))[:103]
	case 5:
		return "aht_" + tokenBase32.EncodeToString(random(64))
	}
	part := func(n int) string { return base64.RawURLEncoding.EncodeToString(random(n)) }
	return part(20) + "." + part(60) + "." + part(32)
}

// take reads the parts of a token that was issued.
func (s *strangers) take(t *testing.T, token string) {
	t.Helper()
	raw, err := tokenBase32.DecodeString(strings.TrimPrefix(token, session.TokenPrefix))
	if err != nil || len(raw) < 60 {
		t.Fatal(err)
	}
	s.user, s.public, s.secret = raw[:20], raw[20:35], raw[35:60]
	if forge(t, s.user, s.public, s.secret) != token {
		t.Fatal("the form of a token is another than this test knows")
	}
}

// Whatever number of credentials strangers make up, not one key more is in the
// cache, and what was there is as it was.
func TestStrangersAddNoKey(t *testing.T) {
	onShared(t, func(t *testing.T, s *shared) {
		requests := 5000
		if *soak {
			requests = 100_000
		}
		idp := newIssuer(t)
		h := serveAll(t, 1, idp.realm("")+s.config(s.at, time.Second)+open)[0]
		live := h.login(t, idp.token(t, "alice", nil))
		made := strangers{issuer: idp.url}
		made.take(t, live.token)
		before := s.keys(t)
		if len(before) == 0 {
			t.Fatal("there is nothing after a login")
		}

		began := time.Now()
		var wrong, next atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for n := int(next.Add(1)); n <= requests; n = int(next.Add(1)) {
					if err := made.ask(t, h, n); err != nil && wrong.Add(1) < 5 {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		t.Logf("%d requests in %s, %d wrong answers", requests, time.Since(began).Round(time.Millisecond), wrong.Load())
		sameKeys(t, before, s.keys(t))
		wantEverywhere(t, []*authhost{h}, http.StatusOK, "the one session that there is", live.token)
		wantListed(t, []*authhost{h}, live.userID, sessionID(t, live.token))
	})
}

// ask presents the nth made-up credential somewhere.
func (s *strangers) ask(t testing.TB, h *authhost, n int) error {
	token := s.anyToken(t, n)
	header := [][]string{bearer(token), {"X-Auth-Token", token}, cookie(token), {"Cookie", "kc_auth=" + token}}[n/7%4]
	method, where, want := http.MethodGet, h.public+"/authz/forward-auth", http.StatusUnauthorized
	switch n % 50 {
	case 10:
		method, where = http.MethodPost, h.public+"/v1/login"
	case 20: // ends nothing, and is no error
		method, where, want = http.MethodPost, h.public+"/v1/logout", http.StatusNoContent
	case 30:
		method, where = http.MethodPost, h.public+"/v1/refresh"
	case 40:
		method, where = http.MethodDelete, h.public+"/v1/me/sessions/"+session.IDPrefix+tokenBase32.EncodeToString(random(15))
	case 45:
		method, where = http.MethodPost, h.admin+"/v1/users/"+host.UserID("main", s.issuer, fmt.Sprint(n))+"/logout"
	default:
		header = forwarded("GET", "/x", header...)
	}
	a, err := try(method, where, header...)
	if err != nil || a.status != want || len(a.header["X-Auth-Token"]) != 0 || want != http.StatusNoContent && len(a.header["Set-Cookie"]) != 0 {
		return fmt.Errorf("%s %s with %s: %s %v, %w", method, where, token, a, a.header, err)
	}
	return nil
}

// sameKeys expects that no key is new, gone or other than it was.
func sameKeys(t *testing.T, before, after map[string]string) {
	t.Helper()
	var others []string
	for key, value := range after {
		if was, ok := before[key]; !ok || was != value {
			others = append(others, key)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			others = append(others, key)
		}
	}
	if len(others) > 0 {
		t.Errorf("%d keys are new, gone or altered, such as %q", len(others), others[0])
	}
}

// What strangers call a session is never a place: nothing is made, read or
// removed under a name that they chose, beside the store or in it.
func TestAttack33_ids_that_are_paths(t *testing.T) {
	t.Parallel()
	s, idp := startShared(t, "file"), newIssuer(t)
	h := serveAll(t, 1, idp.realm("")+s.config(s.at, 0)+open)[0]
	live := h.login(t, idp.token(t, "alice", nil))
	around := filepath.Dir(s.at)
	for _, victim := range []string{filepath.Join(around, "victim"), filepath.Join(s.at, "victim"), filepath.Join(s.at, "slots", "victim")} {
		writeFile(t, victim, live.token)
	}
	eventually(t, "the sweeper's locks", func() bool { // it takes each list's in its first round
		locks, err := filepath.Glob(filepath.Join(s.at, "due", "*", "lock"))
		return err == nil && len(locks) >= 64
	})
	before := treeOf(t, around)
	names := []string{
		"victim", "../victim", "../../victim", "slots/victim", "./victim", "/etc/passwd", filepath.Join(around, "victim"), filepath.Join(s.at, "slots", "format"),
		"..", ".", "", "lock", "format", "new-1", "victim\x00", "..%2fvictim", "%2e%2e/victim", `..\victim`, strings.Repeat("../", 40) + "etc/passwd", strings.Repeat("a", 300),
	}
	for _, name := range names {
		for _, id := range []string{name, session.TokenPrefix + name, session.IDPrefix + name, host.UserIDPrefix + name} {
			if !strings.ContainsRune(id, 0) {
				for _, header := range [][]string{bearer(id), {"X-Auth-Token", id}, cookie(id), {"Cookie", "kc_auth=" + id}} {
					h.expect(t, http.StatusUnauthorized, fmt.Sprintf("%q", id), header...)
					h.logout(t, header...)
				}
			}
			for _, ask := range []struct {
				method, url string
				header      []string
			}{
				{"DELETE", h.public + "/v1/me/sessions/", bearer(live.token)},
				{"GET", h.admin + "/v1/users/", bearer(live.token)},
				{"GET", h.admin + operatorPath(""), bearer(operatorToken)},
			} {
				if id == "" { // the collection itself
					continue
				}
				a, err := try(ask.method, ask.url+url.PathEscape(id), ask.header...)
				if err != nil || !slices.Contains([]int{http.StatusNotFound, http.StatusBadRequest, http.StatusTemporaryRedirect}, a.status) {
					t.Errorf("%s %s%q: %s, %v", ask.method, ask.url, id, a, err)
				}
			}
		}
	}
	after := treeOf(t, around)
	sameKeys(t, before, after)
	h.expect(t, http.StatusOK, "the one session that there is", bearer(live.token)...)
}

// treeOf returns every file and folder below dir.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	folders := []string{"."}
	for len(folders) > 0 {
		at := folders[0]
		folders = folders[1:]
		f, err := root.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := f.ReadDir(-1)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := filepath.Join(at, e.Name())
			tree[path] = e.Type().String()
			switch {
			case e.IsDir():
				folders = append(folders, path)
			case e.Type().IsRegular():
				f, err := root.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				content, err := io.ReadAll(f)
				f.Close()
				if err != nil {
					t.Fatal(err)
				}
				tree[path] += string(content)
			}
		}
	}
	return tree
}

// An admin of one realm is nobody in another: an id of that is not there, and
// its user stays logged in.
func TestAttack41_admin_of_another_realm_through_the_program(t *testing.T) {
	s, idp := startShared(t, "redis"), newIssuer(t)
	realms := fmt.Sprintf(`
realms:
  - {name: main, hosts: ["main.example", "127.0.0.1"], issuers: [{issuer: %[1]q, audiences: [console], jwks_url: %[1]q}]}
  - {name: other, hosts: ["other.example"], issuers: [{issuer: %[1]q, audiences: [others], jwks_url: %[1]q}]}
`, idp.url)
	hosts := serveAll(t, 2, realms+s.config(s.at, 0)+open)
	alice := hosts[0].login(t, idp.token(t, "alice", nil))
	own := idp.token(t, "admin", nil)
	foreign := idp.token(t, "admin", map[string]any{"aud": "others"})
	session := hosts[0].login(t, foreign, "Host", "other.example")
	before := s.keys(t)
	for i, h := range hosts {
		for name, header := range map[string][]string{"JWT": bearer(foreign), "session": bearer(session.token), "cookie": cookie(session.token)} {
			for _, site := range [][]string{nil, {"Host", "main.example"}, {"Host", "other.example"}} {
				for method, ends := range map[string][]string{"POST": {"/logout", "/deactivate", "/activate"}, "GET": {"", "/sessions"}} {
					for _, end := range ends {
						if a := ask(t, method, h.admin+"/v1/users/"+alice.userID+end, append(slices.Clone(header), site...)...); a.status != http.StatusNotFound {
							t.Errorf("host %d: %s at %v, %s %s: %s", i, name, site, method, end, a)
						}
					}
				}
			}
		}
	}
	sameKeys(t, before, s.keys(t))
	for i, h := range hosts {
		if a := h.at(t, "main.example", bearer(alice.token)...); a.status != http.StatusOK {
			t.Errorf("host %d: Alice is out: %s", i, a)
		}
	}
	// Her own realm's admin may.
	if a := ask(t, "POST", hosts[1].admin+"/v1/users/"+alice.userID+"/logout", bearer(own)...); a.status != http.StatusNoContent {
		t.Fatalf("the realm's admin: %s", a)
	}
	if a := hosts[0].at(t, "main.example", bearer(alice.token)...); a.status != http.StatusUnauthorized {
		t.Errorf("Alice after it: %s", a)
	}
	if maps.Equal(before, s.keys(t)) {
		t.Error("the keys do not show what was done")
	}
}
