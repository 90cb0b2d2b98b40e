package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/session"
)

// open lets every known user pass.
const open = `
routes:
  - {path: /public, authenticate: none}
  - {path: "/**", default: allow}
`

// entry is what a login answers.
type entry struct {
	token, userID string
	expires       time.Time
	cookie        *http.Cookie
}

// login makes a session and checks the answer's form. header may name another
// Host, and so another realm.
func (h *authhost) login(t testing.TB, jwt string, header ...string) entry {
	t.Helper()
	return parseEntry(t, ask(t, "POST", h.public+"/v1/login", append(bearer(jwt), header...)...))
}

func parseEntry(t testing.TB, a answer) entry {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("login: %s", a)
	}
	var body struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
		UserID    string    `json:"user_id"`
	}
	strict := json.NewDecoder(strings.NewReader(a.body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&body); err != nil {
		t.Fatalf("login: %s: %v", a, err)
	}
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) != 1 || cookies[0].Value != body.Token || a.header.Get("X-Auth-Token") != body.Token || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("login: body %s, headers %v", a.body, a.header)
	}
	if _, err := session.ParseToken(body.Token); err != nil {
		t.Fatalf("login: %v: %s", err, body.Token)
	}
	return entry{body.Token, body.UserID, body.ExpiresAt, cookies[0]}
}

// logout ends what the header presents.
func (h *authhost) logout(t testing.TB, header ...string) {
	t.Helper()
	if a := ask(t, "POST", h.public+"/v1/logout", header...); a.status != http.StatusNoContent {
		t.Fatalf("logout: %s", a)
	}
}

// at is a forward-auth question about a page of one host.
func (h *authhost) at(t testing.TB, site string, header ...string) answer {
	t.Helper()
	return get(t, h.public+"/authz/forward-auth",
		append([]string{"X-Forwarded-Method", "POST", "X-Forwarded-Proto", "https", "X-Forwarded-Host", site, "X-Forwarded-Uri", "/x"}, header...)...)
}

// statusOf returns the status of a page for a token once the host can tell: on a
// busy machine it may say at first that it cannot.
func (h *authhost) statusOf(t testing.TB, token string) (status int) {
	t.Helper()
	eventually(t, "an answer other than 503", func() bool {
		status = h.at(t, "console.example", bearer(token)...).status
		return status != http.StatusServiceUnavailable
	})
	return status
}

// expect asks about a page of console.example.
func (h *authhost) expect(t testing.TB, status int, what string, header ...string) answer {
	t.Helper()
	a := h.at(t, "console.example", header...)
	if a.status != status {
		t.Errorf("%s: got %s, want %d", what, a, status)
	}
	return a
}

func cookie(token string) []string { return []string{"Cookie", sessionCookie + "=" + token} }

// sessionCookie is its name unless the configuration says another.
const sessionCookie = "__Host-authhost"

// cache is the part of a configuration that names this Redis, read through
// every time.
func (r *redisServer) cache() string {
	return fmt.Sprintf("cache: {driver: redis, redis: {addrs: [%q]}, near: {max_staleness: 0s}}\n", r.addr)
}

func folderCache(dir string) string {
	return fmt.Sprintf("cache: {driver: file, file: {dir: %q}, near: {max_staleness: 0s}}\n", dir)
}

const memoryCache = "cache: {driver: memory}\n"

// contents returns everything that Redis holds of users, by key: the due-lists
// are not, which name them.
func (r *redisServer) contents(t testing.TB) map[string]map[string]string {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: r.addr, Protocol: 2, DisableIdentity: true})
	defer c.Close()
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]map[string]string, len(keys))
	for _, k := range keys {
		if strings.HasPrefix(k, "authhost:due:") {
			continue
		}
		if all[k], err = c.HGetAll(t.Context(), k).Result(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func sameContents(a, b map[string]map[string]string) bool {
	return maps.EqualFunc(a, b, maps.Equal[map[string]string])
}

// Two hosts that share a cache are one: what one of them did counts at the
// other with the next request.
func TestSessionsAreShared(t *testing.T) {
	shared := t.TempDir()
	for _, driver := range []struct {
		name   string
		cache  func() string
		shared bool
	}{
		{"redis", func() string { return startRedis(t).cache() }, true},
		{"file", func() string { return folderCache(shared) }, true},
		{"memory", func() string { return memoryCache }, false},
	} {
		t.Run(driver.name, func(t *testing.T) {
			idp := newIssuer(t)
			config := listen + idp.realm("") + driver.cache() + open
			a, b := serve(t, config), serve(t, config)
			a.awaitReady(t)
			b.awaitReady(t)
			there := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[driver.shared]
			gone := map[bool]int{true: http.StatusUnauthorized, false: http.StatusOK}[driver.shared]

			jwt := idp.token(t, "alice", nil)
			one, two := a.login(t, jwt), a.login(t, jwt)
			first := a.expect(t, 200, "at the one that made it", bearer(one.token)...)
			second := b.expect(t, there, "at the other", bearer(one.token)...)
			if id := first.header.Get("X-Auth-Request-Session-Id"); !strings.HasPrefix(id, "ses_") || driver.shared && id != second.header.Get("X-Auth-Request-Session-Id") {
				t.Errorf("session id %q here, %q there", id, second.header.Get("X-Auth-Request-Session-Id"))
			}
			b.expect(t, there, "as cookie", cookie(one.token)...)
			b.expect(t, there, "as X-Auth-Token", "X-Auth-Token", one.token)

			if driver.shared {
				b.logout(t, cookie(one.token)...)
			} else {
				a.logout(t, cookie(one.token)...)
			}
			a.expect(t, 401, "logged out, here", bearer(one.token)...)
			b.expect(t, 401, "logged out, there", cookie(one.token)...)
			a.expect(t, 200, "another session of the user", bearer(two.token)...)
			a.expect(t, 200, "the JWT that it was made from", bearer(jwt)...)

			// One call ends all that it presents.
			a.logout(t, append(bearer(jwt), cookie(two.token)...)...)
			a.expect(t, 401, "session ended beside a JWT, here", bearer(two.token)...)
			b.expect(t, 401, "session ended beside a JWT, there", bearer(two.token)...)
			a.expect(t, 401, "JWT logged out, here", bearer(jwt)...)
			b.expect(t, gone, "JWT logged out, there", bearer(jwt)...)
			if answer := ask(t, "POST", a.public+"/v1/login", bearer(jwt)...); answer.status != http.StatusUnauthorized {
				t.Errorf("login with a JWT that was logged out: %s", answer)
			}
			a.expect(t, 200, "another JWT of the user", bearer(idp.token(t, "alice", map[string]any{"jti": "other"}))...)
		})
	}
}

// deadlineRealms are realms that differ in how long their sessions live.
func deadlineRealms(idp *issuer) string {
	realm := func(name, hosts, session string) string {
		return fmt.Sprintf("  - {name: %s, hosts: [%q], issuers: [{issuer: %q, audiences: [%s], jwks_url: %q}], session: %s}\n",
			name, hosts, idp.url, name, idp.url, session)
	}
	return listen + memoryCache + open + "realms:\n" + realm(audience, "*", "{}") +
		realm("outlive", "outlive.example", "{outlive_token: true}") +
		realm("short", "short.example", "{absolute: 10m, cookie: {name: short_session, same_site: lax, insecure_http: true}}") +
		realm("idle", "idle.example", "{idle: 15s}")
}

// A session ends with the JWT that it was made from, or after the configured
// time, whichever is first.
func TestAttack40_short_token_long_session(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, deadlineRealms(idp))
	h.awaitReady(t)
	for _, c := range []struct {
		site, audience string
		token          time.Duration // what is left of the JWT
		session        time.Duration // what is left of the session
		cookie         http.Cookie
	}{
		{"console.example", audience, 5 * time.Minute, 5 * time.Minute, http.Cookie{Name: sessionCookie, Secure: true, SameSite: http.SameSiteStrictMode}},
		{"console.example", audience, 23 * time.Hour, 23 * time.Hour, http.Cookie{Name: sessionCookie, Secure: true, SameSite: http.SameSiteStrictMode}},
		{"outlive.example", "outlive", 5 * time.Minute, 24 * time.Hour, http.Cookie{Name: sessionCookie, Secure: true, SameSite: http.SameSiteStrictMode}},
		{"short.example", "short", time.Hour, 10 * time.Minute, http.Cookie{Name: "short_session", SameSite: http.SameSiteLaxMode}},
		{"short.example", "short", time.Minute, time.Minute, http.Cookie{Name: "short_session", SameSite: http.SameSiteLaxMode}},
	} {
		what := fmt.Sprintf("%s, JWT of %s", c.site, c.token)
		before := time.Now()
		end := before.Add(c.token).Truncate(time.Second)
		got := h.login(t, idp.token(t, "alice", map[string]any{"aud": c.audience, "exp": end.Unix()}), "Host", c.site)
		after := time.Now()
		if c.session == c.token && !got.expires.Equal(end) {
			t.Errorf("%s: expires_at %s, the JWT's exp is %s", what, got.expires, end)
		}
		if got.expires.Before(before.Add(c.session-time.Second)) || got.expires.After(after.Add(c.session)) {
			t.Errorf("%s: expires in %s, want %s", what, time.Until(got.expires), c.session)
		}
		age := time.Duration(got.cookie.MaxAge) * time.Second
		if most := got.expires.Add(time.Second).Sub(before); age > most || age < got.expires.Sub(after)-2*time.Second {
			t.Errorf("%s: Max-Age %s, the session ends in %s", what, age, most)
		}
		if k := got.cookie; k.Name != c.cookie.Name || k.Secure != c.cookie.Secure || k.SameSite != c.cookie.SameSite ||
			!k.HttpOnly || k.Path != "/" || k.Domain != "" || k.Partitioned || !k.Expires.IsZero() {
			t.Errorf("%s: Set-Cookie %s", what, k.Raw)
		}
		if a := h.at(t, c.site, "Cookie", c.cookie.Name+"="+got.token); a.status != http.StatusOK || a.header.Get("X-Auth-Request-User-Id") != got.userID {
			t.Errorf("%s: the cookie gets %s", what, a)
		}
	}
}

func TestSessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, deadlineRealms(idp))
	h.awaitReady(t)
	end := time.Now().Add(11 * time.Second).Truncate(time.Second) // 10 seconds or more
	brief := func(audience string) string {
		return idp.token(t, "alice", map[string]any{"aud": audience, "exp": end.Unix()})
	}
	short, long := h.login(t, brief(audience)), h.login(t, brief("outlive"), "Host", "outlive.example")
	eventually(t, "the session's end", func() bool {
		a := h.at(t, "console.example", cookie(short.token)...)
		if a.status == http.StatusUnauthorized && time.Now().Before(end) {
			t.Fatalf("ended %s too early", time.Until(end))
		}
		return a.status == http.StatusUnauthorized
	})
	if a := h.at(t, "outlive.example", cookie(long.token)...); a.status != http.StatusOK {
		t.Errorf("a session that may outlive its JWT: %s", a)
	}
	// The issuer's leeway is for its JWTs, and buys no session.
	h.expect(t, 200, "the JWT within its leeway", bearer(brief(audience))...)
	if a := ask(t, "POST", h.public+"/v1/login", bearer(brief(audience))...); a.status != http.StatusUnauthorized || a.header.Get("Set-Cookie") != "" {
		t.Errorf("login with a JWT that has ended: %s", a)
	}
	eventually(t, "the log", func() bool { return h.countTried("/x", "cookie/session:expired") == 1 })
}

// A session that is used lives on; one that lies idle does not.
func TestIdleDeadline(t *testing.T) {
	t.Parallel()
	idp := newIssuer(t)
	h := serve(t, deadlineRealms(idp))
	h.awaitReady(t)
	jwt := idp.token(t, "alice", map[string]any{"aud": "idle"})
	used, unused := h.login(t, jwt, "Host", "idle.example"), h.login(t, jwt, "Host", "idle.example")
	made := time.Now()
	eventually(t, "sixteen seconds of use", func() bool {
		if a := h.at(t, "idle.example", bearer(used.token)...); a.status != http.StatusOK {
			t.Fatalf("in use, after %s: %s", time.Since(made), a)
		}
		return time.Since(made) > 16*time.Second
	})
	if a := h.at(t, "idle.example", bearer(unused.token)...); a.status != http.StatusUnauthorized {
		t.Errorf("unused for sixteen seconds: %s", a)
	}
	eventually(t, "the log", func() bool { return h.countTried("/x", "header/session:expired") == 1 })
}

// What one realm issued counts for nothing in another, and is not ended there
// either; the realm is that of the host, however it is written.
func TestAttack23_credential_of_another_realm(t *testing.T) {
	idp := newIssuer(t)
	h := serve(t, strings.Replace(deadlineRealms(idp), "{idle: 15s}", "{}", 1)) // it is asked elsewhere for a while
	h.awaitReady(t)
	jwt := idp.token(t, "alice", map[string]any{"aud": "idle"})
	live := h.login(t, jwt, "Host", "IDLE.Example:8443")
	for _, site := range []string{"console.example", "outlive.example", "idle.example.evil", "xidle.example"} {
		for what, header := range map[string][]string{"session": bearer(live.token), "session cookie": cookie(live.token), "JWT": bearer(jwt)} {
			if a := h.at(t, site, header...); a.status != http.StatusUnauthorized {
				t.Errorf("%s at %s: %s", what, site, a)
			}
			h.logout(t, append(header, "Host", site)...)
		}
		if a := ask(t, "POST", h.public+"/v1/login", append(bearer(jwt), "Host", site)...); a.status != http.StatusUnauthorized {
			t.Errorf("login at %s: %s", site, a)
		}
	}
	for _, site := range []string{"idle.example", "IDLE.example", "idle.example.", "idle.EXAMPLE:443"} {
		if a := h.at(t, site, cookie(live.token)...); a.status != http.StatusOK || a.header.Get("X-Auth-Request-Realm") != "idle" {
			t.Errorf("at %s: %s", site, a)
		}
	}
	for _, site := range []string{"", "idle.example:x", "idle_example/..", "a b", "idle.example,console.example"} {
		if a := h.at(t, site, cookie(live.token)...); a.status != http.StatusBadRequest {
			t.Errorf("at %q: %s", site, a)
		}
	}
}

var tokenBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// forge makes a well-formed session token: 20 bytes of a user id, 15 of a
// session's id and 25 of a secret, with a right checksum.
func forge(t testing.TB, user, public, secret []byte) string {
	t.Helper()
	raw := bytes.Join([][]byte{user, public, secret}, nil)
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(append([]byte(session.TokenPrefix), raw...)))
	token := session.TokenPrefix + tokenBase32.EncodeToString(raw)
	if _, err := session.ParseToken(token); err != nil {
		t.Fatalf("the forged token is not well-formed: %v", err)
	}
	return token
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Whatever id is presented, it makes nothing, displaces nothing, and says
// nothing.
func TestUnknownSessionIsNotAdopted(t *testing.T) {
	r, idp := startRedis(t), newIssuer(t)
	h := serve(t, listen+idp.realm("")+r.cache()+open)
	h.awaitReady(t)
	live := h.login(t, idp.token(t, "alice", nil))
	raw, err := tokenBase32.DecodeString(strings.TrimPrefix(live.token, session.TokenPrefix))
	if err != nil {
		t.Fatal(err)
	}
	user, public, secret := raw[:20], raw[20:35], raw[35:60]
	if forge(t, user, public, secret) != live.token {
		t.Fatal("the form of a token is another than this test knows")
	}
	ofRealm := func(n int) []byte {
		id, err := tokenBase32.DecodeString(strings.TrimPrefix(host.UserID("main", idp.url, fmt.Sprint(n)), host.UserIDPrefix))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}

	before := r.contents(t)
	if len(before) != 1 {
		t.Fatalf("%d keys after one login", len(before))
	}
	for n := range 1000 {
		var token string
		switch n % 4 {
		case 0: // a user whom the realm could have
			token = forge(t, ofRealm(n), random(15), random(25))
		case 1: // a user of no realm
			token = forge(t, random(20), random(15), random(25))
		case 2: // a user who is logged in
			token = forge(t, user, random(15), random(25))
		case 3: // a session that there is
			token = forge(t, user, public, random(25))
		}
		header := [][]string{bearer(token), {"X-Auth-Token", token}, cookie(token), {"Cookie", "kc_auth=" + token}}[n/4%4]
		a := h.expect(t, http.StatusUnauthorized, "a session that was never issued", header...)
		if len(a.header["Set-Cookie"]) != 0 {
			t.Fatal("it sets a cookie")
		}
		if n%10 == 0 {
			h.logout(t, header...)
			if a := ask(t, "POST", h.public+"/v1/login", header...); a.status != http.StatusUnauthorized {
				t.Errorf("login by it: %s", a)
			}
		}
	}
	if after := r.contents(t); !sameContents(before, after) {
		t.Errorf("%d keys, %d before; or their contents differ", len(after), len(before))
	}
	h.expect(t, http.StatusOK, "the one session that there is", bearer(live.token)...)
	if counted := h.metric(t, "authhost_verdicts_total", `verdict="unknown"`); counted != 1000+100 { // requests and logouts
		t.Errorf("%v verdicts unknown", counted)
	}
}
