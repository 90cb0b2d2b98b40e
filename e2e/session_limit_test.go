package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// With when_full: refuse a user who has max_sessions gets 429 from whichever
// process is asked, loses nothing by it, and is let in again by each as soon as
// any of them has ended one session; one login for each session that ended.
func TestLoginBeyondTheLimit(t *testing.T) {
	onShared(t, func(t *testing.T, s *shared) {
		idp := newIssuer(t)
		hosts := serveAll(t, 2, idp.realm("    session: {max_sessions: 2, when_full: refuse}")+s.config(s.at, 0)+open)
		f := &full{hosts: hosts, jwt: idp.token(t, "alice", nil)}
		one := hosts[0].login(t, f.jwt)
		two := hosts[1].login(t, f.jwt)
		f.refuses(t, one, two)
		hosts[0].login(t, idp.token(t, "bob", nil)) // it is each user's own

		hosts[1].logout(t, bearer(one.token)...)
		three := hosts[0].login(t, f.jwt)
		f.refuses(t, two, three)

		if a := ask(t, "DELETE", hosts[0].public+"/v1/me/sessions/"+sessionID(t, two.token), bearer(three.token)...); a.status != http.StatusNoContent {
			t.Fatalf("end one: %s", a)
		}
		four := hosts[1].login(t, f.jwt)
		f.refuses(t, three, four)

		a := ask(t, "POST", hosts[1].public+"/v1/refresh", bearer(three.token)...) // no login
		five := entry{token: a.header.Get("X-Auth-Token"), userID: three.userID}
		if a.status != http.StatusOK || five.token == "" {
			t.Fatalf("refresh: %s", a)
		}
		f.refuses(t, four, five)

		hosts[0].logout(t, bearer(four.token)...)
		f.letsInOne(t, five)
	})
}

// full is a user who has as many sessions as are allowed.
type full struct {
	hosts []*authhost
	jwt   string
}

// refuses expects that no host lets him log in, and that these sessions, all
// that he has, live on.
func (f *full) refuses(t *testing.T, sessions ...entry) {
	t.Helper()
	for i, h := range f.hosts {
		a := ask(t, "POST", h.public+"/v1/login", bearer(f.jwt)...)
		if a.status != http.StatusTooManyRequests || !strings.Contains(a.body, `"session_limit"`) || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("host %d: one login more: %s", i, a)
		}
		if a.header.Get("Set-Cookie") != "" || a.header.Get("X-Auth-Token") != "" || strings.Contains(a.body, "ahs_") {
			t.Errorf("host %d: refused, with %v %s", i, a.header, a.body)
		}
	}
	var ids []string
	for _, e := range sessions {
		wantEverywhere(t, f.hosts, http.StatusOK, "a session of before", e.token)
		ids = append(ids, sessionID(t, e.token))
	}
	wantListed(t, f.hosts, sessions[0].userID, ids...)
}

// letsInOne expects that of many logins at once, on every host, one gets the
// place that is free beside the session that he has.
func (f *full) letsInOne(t *testing.T, left entry) {
	t.Helper()
	var logins sync.WaitGroup
	answers := make([]answer, 3*len(f.hosts))
	for i := range answers {
		logins.Go(func() {
			var err error
			if answers[i], err = try("POST", f.hosts[i%len(f.hosts)].public+"/v1/login", bearer(f.jwt)...); err != nil {
				t.Error(err)
			}
		})
	}
	logins.Wait()
	in := []entry{left}
	for i, a := range answers {
		switch a.status {
		case http.StatusOK:
			in = append(in, entry{token: a.header.Get("X-Auth-Token"), userID: left.userID})
		case http.StatusTooManyRequests:
		default:
			t.Errorf("login %d of many: %s", i, a)
		}
	}
	if len(in) != 2 {
		t.Fatalf("%d of %d logins got the one place", len(in)-1, len(answers))
	}
	f.refuses(t, in...)
}
