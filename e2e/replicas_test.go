package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/authhost/authhost/host/session"
)

// sessionID is the public id of the session that a token is of.
func sessionID(t testing.TB, token string) string {
	t.Helper()
	parsed, err := session.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.SessionID
}

// Two and three processes on one cache are one authhost: whichever made a
// session, each of the others resolves it, moves its idle deadline, lists it
// and ends it.
func TestProcessesAreOne(t *testing.T) {
	onShared(t, func(t *testing.T, s *shared) {
		for _, n := range []int{2, 3} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				idp := newIssuer(t)
				hosts := serveAll(t, n, idp.realm("    session: {idle: 24s}")+s.config(s.at, 0)+open)
				for maker := range n {
					p := &processes{hosts: hosts, first: maker, jwt: idp.token(t, fmt.Sprintf("user %d of %d", maker, n), nil)}
					p.liveTogether(t)
				}
			})
		}
	})
}

// processes are hosts on one cache, of which one makes a session first.
type processes struct {
	hosts []*authhost
	first int
	jwt   string
}

// after is the nth host after the one that made the session.
func (p *processes) after(n int) *authhost { return p.hosts[(p.first+n)%len(p.hosts)] }

// one makes a session on the nth host, and expects all to know it at once.
func (p *processes) one(t *testing.T, n int) (token, id, user string) {
	t.Helper()
	made := p.after(n).login(t, p.jwt)
	id = sessionID(t, made.token)
	for i, h := range p.hosts {
		a := h.expect(t, http.StatusOK, fmt.Sprint("a new session, host ", i), bearer(made.token)...)
		if got := a.header.Get("X-Auth-Request-Session-Id"); got != id {
			t.Errorf("host %d: session id %q, want %q", i, got, id)
		}
	}
	return made.token, id, made.userID
}

func (p *processes) liveTogether(t *testing.T) {
	session, id, user := p.one(t, 0)
	other, otherID, _ := p.one(t, 1)
	wantListed(t, p.hosts, user, id, otherID)
	for i, h := range p.hosts { // as the user is shown them
		own := parseList(t, get(t, h.public+"/v1/me/sessions", bearer(other)...))
		current := slices.IndexFunc(own, func(l listed) bool { return l.Current })
		if len(own) != 2 || current < 0 || own[current].ID != otherID {
			t.Errorf("host %d: %+v", i, own)
		}
	}
	if p.first == 0 { // it takes as long as an idle deadline is left alone
		p.isTouched(t, session, id, user)
	}
	session, id = p.isRotated(t, session, id, user, otherID)

	if a := ask(t, "DELETE", p.after(1).public+"/v1/me/sessions/"+id, bearer(other)...); a.status != http.StatusNoContent {
		t.Fatalf("end one: %s", a)
	}
	wantEverywhere(t, p.hosts, http.StatusUnauthorized, "ended by another session", session)
	wantEverywhere(t, p.hosts, http.StatusOK, "that other session", other)
	wantListed(t, p.hosts, user, otherID)
	if a := ask(t, "DELETE", p.after(2).public+"/v1/me/sessions/"+id, bearer(other)...); a.status != http.StatusNotFound {
		t.Errorf("end it again: %s", a)
	}

	third, _, _ := p.one(t, 2)
	p.after(3).logout(t, bearer(third)...)
	wantEverywhere(t, p.hosts, http.StatusUnauthorized, "logged out", third)
	wantListed(t, p.hosts, user, otherID)

	p.one(t, 1)
	if a := ask(t, "POST", p.after(2).admin+operatorPath(user)+"/logout", bearer(operatorToken)...); a.status != http.StatusNoContent {
		t.Fatalf("logout everywhere: %s", a)
	}
	wantEverywhere(t, p.hosts, http.StatusUnauthorized, "logged out everywhere", other)
	wantEverywhere(t, p.hosts, http.StatusUnauthorized, "logged out everywhere, JWT", p.jwt)
	wantListed(t, p.hosts, user)
}

// isTouched uses a session on one host until another lists it as used.
func (p *processes) isTouched(t *testing.T, token, id, user string) {
	t.Helper()
	as := func(n int) listed {
		list := p.after(n).list(t, user)
		i := slices.IndexFunc(list, func(l listed) bool { return l.ID == id })
		if i < 0 {
			t.Fatalf("the session is not listed: %+v", list)
		}
		return list[i]
	}
	before := as(0)
	eventually(t, "the use of a session on another host", func() bool {
		p.after(1).expect(t, http.StatusOK, "in use", bearer(token)...)
		return as(2).LastSeenAt.After(before.LastSeenAt)
	})
	if now := as(0); !now.IdleExpiresAt.After(before.IdleExpiresAt) || !now.ExpiresAt.Equal(before.ExpiresAt) || !now.CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("used: %+v, before: %+v", now, before)
	}
}

// isRotated gives a session another id on one host.
func (p *processes) isRotated(t *testing.T, old, oldID, user, otherID string) (token, id string) {
	t.Helper()
	a := ask(t, "POST", p.after(1).public+"/v1/refresh", bearer(old)...)
	token = a.header.Get("X-Auth-Token")
	if a.status != http.StatusOK || token == "" {
		t.Fatalf("refresh: %s", a)
	}
	if id = sessionID(t, token); id == oldID {
		t.Error("refresh left the id as it was")
	}
	wantEverywhere(t, p.hosts, http.StatusUnauthorized, "the token of before", old)
	wantEverywhere(t, p.hosts, http.StatusOK, "the token of after", token)
	wantListed(t, p.hosts, user, id, otherID)
	return token, id
}
