package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const webhookSecret = "0123456789abcdef0123456789abcdef"

// notice is what logout-webhook posts.
type notice struct {
	ID, Why, What, Realm string
	UserID               string `json:"user_id"`
	Sub                  string
	Sessions             []string
	By                   struct{ Rank, ID string }
	At                   time.Time
}

// listener is who must know of ends of access. It may be down.
type listener struct {
	t    testing.TB
	addr string

	mu      sync.Mutex
	server  *http.Server
	notices map[string]notice // by id
	keys    map[string]string // idempotency keys, by id
	repeats int
}

func newListener(t testing.TB) *listener {
	l := &listener{t: t, addr: freeAddr(t), notices: map[string]notice{}, keys: map[string]string{}}
	t.Cleanup(l.down)
	return l
}

// up has it answer from now on.
func (l *listener) up() {
	l.t.Helper()
	socket, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.server = &http.Server{Handler: l}
	go l.server.Serve(socket)
}

func (l *listener) down() {
	if l.server != nil {
		l.server.Close()
	}
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var n notice
	if err == nil {
		err = json.Unmarshal(body, &n)
	}
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write(body)
	key := r.Header.Get("Idempotency-Key")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Source") != "e2e":
		l.t.Errorf("posted %s %v: %v", body, r.Header, err)
	case r.Header.Get("X-Authhost-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)):
		l.t.Errorf("signed as %s", r.Header.Get("X-Authhost-Signature"))
	case !strings.HasPrefix(n.ID, "evt_") || key != n.ID+"-logout-webhook-0":
		l.t.Errorf("event %q with key %q", n.ID, key)
	}
	if _, again := l.notices[n.ID]; again {
		l.repeats++
	}
	l.notices[n.ID] = n
	w.WriteHeader(http.StatusNoContent)
}

// all returns what it was told, each once.
func (l *listener) all() []notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.notices))
}

// about returns why it was told of a session's end, if it was, as often as it
// was by different events.
func (l *listener) about(session string) (why []string) {
	for _, n := range l.all() {
		if slices.Contains(n.Sessions, session) {
			why = append(why, n.Why)
		}
	}
	return why
}

// webhook is a configuration of hosts that tell a listener.
func webhook(l *listener) string {
	return fmt.Sprintf(`
plugins:
  - name: logout-webhook
    module: PLUGINS/logout-webhook.wasm
    config: {url: "http://%s/ended", headers: {x-source: e2e}, secret: %s}
    capabilities: [{http: {hosts: ["%s"], private: true}}]
`, l.addr, webhookSecret, l.addr)
}

// tellTime is how long an end may wait to be told: whom a sweeper looked at when
// it was killed is left to it for a minute, what a worker had claimed for half of
// one, and what could not be told for as long again as it could not.
const tellTime = 3 * time.Minute

const toldRealm = "    plugins: [logout-webhook]\n"

// outageTime is how long a listener is down.
func outageTime() time.Duration {
	if *soak {
		return 20 * time.Second
	}
	return 3 * time.Second
}

// Every end of access is told, once the receiver is back and though the replica
// that made it was killed; what did not end is not told of.
func TestEveryEndIsTold(t *testing.T) {
	t.Parallel()
	door := filepath.Join(t.TempDir(), "door.wasm") // which makes some sessions end idle
	if err := buildGuest(filepath.Join("testdata", "door"), door); err != nil {
		t.Fatal(err)
	}
	for _, driver := range []string{"file", "redis"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			s, idp, l := startShared(t, driver), newIssuer(t), newListener(t)
			hosts := serveAll(t, 2, idp.realm("    plugins: [door, logout-webhook]\n    session: {max_sessions: 3}\n")+
				webhook(l)+fmt.Sprintf("  - {name: door, module: %q}\n", door)+s.config(s.at, time.Second)+open)
			want := map[string]string{} // by session: why it ended
			since := time.Now()
			expiring(t, idp, hosts, want)
			ending(t, idp, hosts, want)
			live := hosts[0].login(t, idp.token(t, "erin", nil))
			jwt := idp.token(t, "frank", map[string]any{"jti": "one"})
			hosts[0].logout(t, bearer(jwt)...)
			hosts[0].logout(t, bearer(jwt)...) // again is nothing
			hosts[0].kill()
			time.Sleep(outageTime() - time.Since(since)) // the outage; nothing is asserted by it
			if n := len(l.all()); n != 0 {
				t.Fatalf("%d notices before the listener is there", n)
			}
			l.up()
			for session, why := range want {
				within(t, tellTime, "told of "+session+", "+why, func() bool { return slices.Contains(l.about(session), why) })
				if got := l.about(session); len(got) != 1 {
					t.Errorf("session %s is told of as %q, want %s", session, got, why)
				}
			}
			within(t, tellTime, "the JWT's end", func() bool { return l.count("token_ended") == 1 })
			if got := l.about(sessionID(t, live.token)); got != nil {
				t.Errorf("a live session is told of as %q", got)
			}
			hosts[1].expect(t, http.StatusOK, "the live session", bearer(live.token)...)
			for _, n := range l.all() {
				for _, id := range n.Sessions {
					if want[id] == "" {
						t.Errorf("told of %s, which nobody ended: %+v", id, n)
					}
				}
				if n.Realm != "main" || !strings.HasPrefix(n.UserID, "usr_") || n.At.Before(since.Add(-time.Minute)) || n.At.After(time.Now()) {
					t.Errorf("told %+v", n)
				}
			}
			// With the receiver there, it is told at once.
			e := hosts[1].login(t, idp.token(t, "grace", nil))
			hosts[1].logout(t, bearer(e.token)...)
			eventually(t, "a prompt notice", func() bool { return slices.Equal(l.about(sessionID(t, e.token)), []string{"logout"}) })
			body := get(t, hosts[1].telemetry+"/metrics").body
			for _, series := range []string{`authhost_logout_messages_total{plugin="logout-webhook",result="delivered"}`, `authhost_logout_events_total{result="asked"}`} {
				if !strings.Contains(body, series) {
					t.Errorf("no %s", series)
				}
			}
			if log := hosts[1].log(); strings.Contains(log, webhookSecret) || strings.Contains(log, e.token) {
				t.Error("a secret is in the log")
			}
			within(t, tellTime, "nothing waits", func() bool {
				out, code := cacheCommand(t, "stats", "--config", hosts[1].config, "--output", "json")
				tally := struct{ Events, Messages int }{-1, -1}
				return code == 0 && json.Unmarshal([]byte(out), &tally) == nil && tally.Events == 0 && tally.Messages == 0
			})
		})
	}
}

func (l *listener) count(why string) (n int) {
	for _, e := range l.all() {
		if e.Why == why {
			n++
		}
	}
	return n
}

// within is eventually with a patience of its own.
func within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in %s: %s", d, what)
		}
	}
}

// expiring makes sessions that end by themselves, while nobody looks.
func expiring(t *testing.T, idp *issuer, hosts []*authhost, want map[string]string) {
	for i := range 4 {
		e := hosts[i%2].login(t, idp.token(t, fmt.Sprint("dave", i), map[string]any{"exp": time.Now().Add(4*time.Second).Unix() + 1}))
		want[sessionID(t, e.token)] = "absolute"
		e = hosts[i%2].login(t, idp.token(t, fmt.Sprint("ivan", i), map[string]any{"roles": []string{"brief"}}))
		want[sessionID(t, e.token)] = "idle"
	}
}

// ending ends sessions in every way that there is; hosts[0] acknowledges.
func ending(t *testing.T, idp *issuer, hosts []*authhost, want map[string]string) {
	alice := func() entry { return hosts[0].login(t, idp.token(t, "alice", nil)) }
	for range 3 {
		e := alice()
		hosts[0].logout(t, bearer(e.token)...)
		want[sessionID(t, e.token)] = "logout"
	}
	one, other := alice(), alice()
	if a := ask(t, "DELETE", hosts[0].public+"/v1/me/sessions/"+sessionID(t, one.token), bearer(other.token)...); a.status != http.StatusNoContent {
		t.Fatalf("a session of my own: %s", a)
	}
	want[sessionID(t, one.token)] = "session_ended"
	want[sessionID(t, other.token)] = "logout_everywhere"
	operator := func(userID, verb string) {
		t.Helper()
		if a := ask(t, "POST", hosts[0].admin+operatorPath(userID)+"/"+verb, bearer(operatorToken)...); a.status != http.StatusNoContent {
			t.Fatalf("%s: %s", verb, a)
		}
	}
	operator(other.userID, "logout")
	var bob entry
	for i := range 5 { // of which three may live
		bob = hosts[i%2].login(t, idp.token(t, "bob", nil))
		want[sessionID(t, bob.token)] = map[bool]string{true: "displaced", false: "deactivated"}[i < 2]
	}
	operator(bob.userID, "deactivate")
}

// A replica that is told to end access, in whatever way, is killed when Redis has
// done it, before it can hear of that: nothing was asked and nobody nudged. The
// other one tells.
func TestKilledBetweenWriteAndHook(t *testing.T) {
	t.Parallel()
	s, idp, l := startShared(t, "redis"), newIssuer(t), newListener(t)
	g := newGate(t, s.at)
	realm := idp.realm(toldRealm) + webhook(l)
	l.up()
	survivor := serveAll(t, 1, realm+s.config(s.at, 0)+open)[0]
	ended := map[string]entry{} // by why
	for why, end := range map[string]func(h *authhost, e entry, jwt string) (answer, error){
		"logout": func(h *authhost, e entry, _ string) (answer, error) {
			return try("POST", h.public+"/v1/logout", bearer(e.token)...)
		},
		"token_ended": func(h *authhost, _ entry, jwt string) (answer, error) {
			return try("POST", h.public+"/v1/logout", bearer(jwt)...)
		},
		"session_ended": func(h *authhost, e entry, jwt string) (answer, error) {
			return try("DELETE", h.public+"/v1/me/sessions/"+sessionID(t, e.token), bearer(jwt)...)
		},
		"logout_everywhere": func(h *authhost, e entry, _ string) (answer, error) {
			return try("POST", h.admin+operatorPath(e.userID)+"/logout", bearer(operatorToken)...)
		},
		"deactivated": func(h *authhost, e entry, _ string) (answer, error) {
			return try("POST", h.admin+operatorPath(e.userID)+"/deactivate", bearer(operatorToken)...)
		},
	} {
		victim := serveAll(t, 1, realm+s.config(g.addr, 0)+open)[0]
		jwt := idp.token(t, "alice-"+why, nil)
		e := victim.login(t, jwt)
		eventually(t, "the login's own due entry is put", func() bool { return len(fields(t, s.open(t), e.userID)) > 0 })
		var killed atomic.Bool
		g.watch(func(m moment, command []string) {
			if m == done && about(e.userID, command) == writeSlot && !killed.Swap(true) {
				victim.signal(syscall.SIGKILL)
			}
		})
		if a, err := end(victim, e, jwt); err == nil {
			t.Fatalf("%s: the replica that was to be killed answers %s", why, a)
		}
		<-victim.ended
		if !killed.Load() {
			t.Fatalf("%s: it was not killed at its write", why)
		}
		g.watch(func(moment, []string) {})
		gone := e.token
		if why == "token_ended" {
			gone = jwt
		}
		survivor.expect(t, http.StatusUnauthorized, "after the write: "+why, bearer(gone)...)
		ended[why] = e
	}
	for why, e := range ended {
		within(t, tellTime, "the survivor tells: "+why, func() bool {
			return slices.ContainsFunc(l.all(), func(n notice) bool {
				return n.Why == why && n.UserID == e.userID && (why == "token_ended" || slices.Equal(n.Sessions, []string{sessionID(t, e.token)}))
			})
		})
	}
	if n := len(l.all()); n != len(ended) {
		t.Errorf("%d ends are told, want %d", n, len(ended))
	}
}

// Hosts on one folder are killed in the middle of logouts, again and again: every
// end that was acknowledged is told, and of those that were not just the ones
// that happened.
func TestKilledAmongLogouts(t *testing.T) {
	t.Parallel()
	rounds, longest := 3, tellTime
	if *soak { // some are claimed at several kills, each of which counts as a try: the last pause is 5 minutes
		rounds, longest = 40, 6*time.Minute
	}
	s, idp, l := startShared(t, "file"), newIssuer(t), newListener(t)
	l.up()
	config := idp.realm(toldRealm+"    session: {max_sessions: 1000}\n") + webhook(l) + s.config(s.at, 0) + open
	visitors := make([]*visitor, 4)
	for i := range visitors {
		visitors[i] = &visitor{jwt: idp.token(t, fmt.Sprint("visitor-", i), nil)}
	}
	var acknowledged atomic.Int64
	for range rounds {
		h := serveAll(t, 1, config)[0]
		enough := acknowledged.Load() + 30
		var all sync.WaitGroup
		for _, v := range visitors {
			all.Go(func() { v.work(t, h, &acknowledged) })
		}
		eventually(t, "so much is acknowledged", func() bool { return acknowledged.Load() >= enough || t.Failed() })
		h.kill()
		all.Wait()
	}
	h := serveAll(t, 1, config)[0]
	var live, ended []string
	acknowledgedEnds, unsure := 0, 0
	for _, v := range visitors {
		live, ended = append(live, v.live...), append(ended, v.ended...)
		acknowledgedEnds, unsure = acknowledgedEnds+len(v.ended), unsure+len(v.unsure)
		for _, token := range v.unsure {
			if h.statusOf(t, token) == http.StatusUnauthorized {
				ended = append(ended, token)
			} else {
				live = append(live, token)
			}
		}
	}
	for _, token := range ended {
		within(t, longest, "told of what has ended", func() bool { return slices.Equal(l.about(sessionID(t, token)), []string{"logout"}) })
	}
	for _, token := range live {
		h.expect(t, http.StatusOK, "a live session", bearer(token)...)
		if got := l.about(sessionID(t, token)); got != nil {
			t.Errorf("a live session is told of as %q", got)
		}
	}
	told := 0
	for _, n := range l.all() {
		told += len(n.Sessions)
	}
	if told != len(ended) {
		t.Errorf("%d sessions are told of, %d have ended", told, len(ended))
	}
	t.Logf("%d kills, %d acknowledged logouts; %d under way at a kill, of which %d happened; %d notices, %d of them repeated",
		rounds, acknowledgedEnds, unsure, len(ended)-acknowledgedEnds, len(l.all()), l.repeats)
}
