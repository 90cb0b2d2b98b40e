package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// idleTime is longer than a busy machine leaves between two uses.
const idleTime = 15 * time.Second

// Sessions that end by themselves, by lying idle or with the JWT that they were
// made from: each replica answers 401 from then on, none lists them, and what
// is kept of them goes though nobody ever asks. A live one beside them, in the
// same slot and in another, is what it was.
func TestExpiredAndSwept(t *testing.T) {
	t.Parallel()
	onShared(t, func(t *testing.T, s *shared) {
		idp := newIssuer(t)
		hosts := serveAll(t, 2, idp.realm(fmt.Sprintf("    session: {idle: %s}", idleTime))+s.config(s.at, 0)+open)
		e := &expiry{hosts: hosts, idp: idp, raw: s.open(t)}
		// Nobody asks about Carol and Dave, in any way, until nothing is left.
		carol := hosts[0].login(t, idp.token(t, "carol", nil))
		dave := hosts[1].login(t, e.brief(t, "dave", time.Now().Add(idleTime/2)))
		bob := hosts[1].login(t, idp.token(t, "bob", nil))
		e.alice(t, bob)
		for name, user := range map[string]string{"idle": carol.userID, "absolute": dave.userID} {
			e.keepAlive(t, "the end of what nobody asked about: "+name, []entry{bob}, func() bool { return len(fields(t, e.raw, user)) == 0 })
		}
		for key := range s.keys(t) {
			if strings.Contains(key, carol.userID) || strings.Contains(key, dave.userID) {
				t.Errorf("left over: %q", key)
			}
		}
		for _, gone := range []entry{carol, dave} {
			wantEverywhere(t, hosts, http.StatusUnauthorized, "swept", gone.token)
			wantListed(t, hosts, gone.userID)
		}
	})
}

// expiry is two hosts whose sessions end soon.
type expiry struct {
	hosts []*authhost
	idp   *issuer
	raw   cache.Driver
}

// brief is a JWT that ends at a moment.
func (e *expiry) brief(t *testing.T, user string, end time.Time) string {
	return e.idp.token(t, user, map[string]any{"exp": end.Unix() + 1, "jti": "brief"})
}

// keepAlive uses sessions until ok is true.
func (e *expiry) keepAlive(t *testing.T, what string, live []entry, ok func() bool) {
	t.Helper()
	n := 0
	eventually(t, what, func() bool {
		n++
		for _, l := range live {
			e.hosts[n%len(e.hosts)].expect(t, http.StatusOK, "in use", bearer(l.token)...)
		}
		return ok()
	})
}

// alice has three sessions: one lies idle, one ends with its JWT though it is
// used, and one is used and lives.
func (e *expiry) alice(t *testing.T, bob entry) {
	jwt := e.idp.token(t, "alice", nil)
	live := e.hosts[0].login(t, jwt)
	before := time.Now()
	idle := e.hosts[1].login(t, jwt)
	idleFrom, idleTo := before.Add(idleTime-2*time.Millisecond), time.Now().Add(idleTime)
	used := e.hosts[0].login(t, e.brief(t, "alice", time.Now().Add(idleTime+time.Second)))
	user, inUse := live.userID, []entry{live, bob}
	wantListed(t, e.hosts, user, sessionID(t, live.token), sessionID(t, idle.token), sessionID(t, used.token))
	bobs := slices.Sorted(maps.Keys(fields(t, e.raw, bob.userID)))

	var idleEnded, usedEnded bool
	e.keepAlive(t, "expiry", inUse, func() bool {
		if !usedEnded {
			asked := time.Now()
			a := e.hosts[1].at(t, "console.example", bearer(used.token)...)
			usedEnded = a.status == http.StatusUnauthorized
			refuseIf(t, usedEnded && time.Now().Before(used.expires), "the one in use ended too early")
			refuseIf(t, a.status == http.StatusOK && asked.After(used.expires), "the one in use is let in after its end")
		}
		asked := time.Now()
		idleEnded = !slices.Contains(e.hosts[0].ids(t, user), sessionID(t, idle.token)) // to ask about it would be to use it
		refuseIf(t, idleEnded && time.Now().Before(idleFrom), "the idle one ended too early")
		refuseIf(t, !idleEnded && asked.After(idleTo), "the idle one is listed after its end")
		return idleEnded && usedEnded
	})
	for what, gone := range map[string]entry{"idle": idle, "absolute": used} {
		wantEverywhere(t, e.hosts, http.StatusUnauthorized, what, gone.token)
	}
	wantListed(t, e.hosts, user, sessionID(t, live.token))
	e.keepAlive(t, "the sweeper", inUse, func() bool {
		left := slices.Sorted(maps.Keys(fields(t, e.raw, user)))
		return slices.Equal(left, []string{"h", "s:" + sessionID(t, live.token)})
	})
	wantListed(t, e.hosts, user, sessionID(t, live.token))
	wantListed(t, e.hosts, bob.userID, sessionID(t, bob.token))
	if now := slices.Sorted(maps.Keys(fields(t, e.raw, bob.userID))); !slices.Equal(now, bobs) {
		t.Errorf("a neighbour's slot holds %q, it held %q", now, bobs)
	}
}

func refuseIf(t *testing.T, wrong bool, what string) {
	t.Helper()
	if wrong {
		t.Fatal(what)
	}
}
