package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// visitor is a user who logs in and out until the host is killed, and what came
// of it. What was under way at a kill may have been done or not.
type visitor struct {
	jwt         string
	live, ended []string // tokens, as they were acknowledged
	unsure      []string // tokens whose logout was under way at a kill, or had no turn
}

const visitorSessions = 20

func (v *visitor) work(t *testing.T, h *authhost, acknowledged *atomic.Int64) {
	for {
		if len(v.live) < visitorSessions && rand.IntN(5) < 3 {
			a, err := try("POST", h.public+"/v1/login", bearer(v.jwt)...)
			if err != nil {
				return
			}
			if a.status == http.StatusServiceUnavailable { // no turn on a busy machine
				continue
			}
			if a.status != http.StatusOK {
				t.Errorf("login: %s", a)
				return
			}
			v.live = append(v.live, a.header.Get("X-Auth-Token"))
		} else if n := len(v.live); n > 0 {
			i := rand.IntN(n)
			token := v.live[i]
			v.live = slices.Delete(v.live, i, i+1)
			a, err := try("POST", h.public+"/v1/logout", bearer(token)...)
			if err != nil {
				v.unsure = append(v.unsure, token)
				return
			}
			if a.status == http.StatusServiceUnavailable {
				v.unsure = append(v.unsure, token)
				continue
			}
			if a.status != http.StatusNoContent {
				t.Errorf("logout: %s", a)
				return
			}
			v.ended = append(v.ended, token)
		}
		acknowledged.Add(1)
	}
}

// check asks for all that live and the last that ended.
func (v *visitor) check(t *testing.T, h *authhost) {
	t.Helper()
	for _, token := range v.live {
		h.expect(t, http.StatusOK, "a session that was acknowledged", bearer(token)...)
	}
	for _, token := range v.ended[max(0, len(v.ended)-visitorSessions):] {
		h.expect(t, http.StatusUnauthorized, "a session whose end was acknowledged", bearer(token)...)
	}
}

// A host on the file driver is killed in the middle of logins and logouts,
// again and again: what was acknowledged holds when the next one serves, and
// every record of the store is sound.
func TestKilledHosts(t *testing.T) {
	rounds := 10
	if *soak {
		rounds = 200
	}
	idp := newIssuer(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "authhost.yaml")
	writeFile(t, config, listen+fmt.Sprintf("cache: {driver: file, file: {dir: %q}}\n", filepath.Join(dir, "data"))+idp.realm("    session: {max_sessions: 1000}")+open)
	visitors := make([]*visitor, 4)
	for i := range visitors {
		visitors[i] = &visitor{jwt: idp.token(t, fmt.Sprint("visitor-", i), nil)}
	}
	var acknowledged atomic.Int64
	for round := range rounds {
		h := serveFile(t, config)
		for _, v := range visitors {
			v.check(t, h)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		patience := acknowledged.Load() + 1 + rand.Int64N(40)
		var all sync.WaitGroup
		for _, v := range visitors {
			all.Go(func() { v.work(t, h, &acknowledged) })
		}
		eventually(t, "so much is acknowledged", func() bool { return acknowledged.Load() >= patience || t.Failed() })
		h.kill()
		all.Wait()
		wantSound(t, config) // as the kill left it
	}
	h := serveFile(t, config)
	for _, v := range visitors {
		v.check(t, h)
	}
	wantSound(t, config)
	t.Logf("%d kills, %d logins and logouts acknowledged", rounds, acknowledged.Load())
}
