package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// A user's slot that is gone, taken away by whatever means behind authhost's
// back, takes the sessions with it: they count nowhere, within max_staleness,
// are not listed, and do not come back with the slot that the user's next login
// makes, though their records turn up in it again.
func TestAttack38_slot_taken_away(t *testing.T) {
	onShared(t, func(t *testing.T, s *shared) {
		for name, staleness := range map[string]time.Duration{"read through": 0, "remembered": 200 * time.Millisecond} {
			t.Run(name, func(t *testing.T) {
				idp := newIssuer(t)
				hosts := serveAll(t, 2, idp.realm("")+s.config(s.at, staleness)+open)
				l := &lost{hosts: hosts, raw: s.open(t), jwt: idp.token(t, "alice", nil), staleness: staleness}
				l.logIn(t)
				bob := hosts[0].login(t, idp.token(t, "bob", nil))
				s.remove(t, l.userID)
				l.isOut(t)
				wantEverywhere(t, hosts, http.StatusOK, "another user", bob.token)
			})
		}
	})
}

// A Redis that evicts for lack of memory does the same.
func TestAttack38_slot_evicted(t *testing.T) {
	s, idp := startShared(t, "redis"), newIssuer(t)
	hosts := serveAll(t, 2, idp.realm("")+s.config(s.at, 0)+open)
	l := &lost{hosts: hosts, raw: s.open(t), jwt: idp.token(t, "alice", nil)}
	l.logIn(t)
	c := s.redisClient(t)
	set := func(name, value string) {
		t.Helper()
		if err := c.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("maxmemory-policy", "allkeys-lru")
	set("maxmemory-samples", "64")
	for _, h := range hosts {
		h.awaitUnready(t, "cache")
	}
	wantEverywhere(t, hosts, http.StatusOK, "on a Redis that may evict", l.tokens[0])
	set("maxmemory", "4mb")
	filler := strings.Repeat("x", 10_000)
	eventually(t, "the slot's eviction", func() bool {
		for n := range 100 {
			if err := c.Set(t.Context(), fmt.Sprint("filler ", time.Now().UnixNano(), n), filler, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		n, err := c.Exists(t.Context(), "authhost:{"+l.userID+"}").Result()
		return err == nil && n == 0
	})
	set("maxmemory", "0")
	l.isOut(t)
	set("maxmemory-policy", "noeviction")
	for _, h := range hosts {
		h.awaitReady(t)
	}
}

// lost is a user whose slot will be.
type lost struct {
	hosts     []*authhost
	raw       cache.Driver
	jwt       string
	staleness time.Duration

	userID  string
	tokens  []string // one made on each host
	records map[string][]byte
}

func (l *lost) logIn(t *testing.T) {
	t.Helper()
	for _, h := range l.hosts {
		made := h.login(t, l.jwt)
		l.userID, l.tokens = made.userID, append(l.tokens, made.token)
	}
	for _, token := range l.tokens {
		wantEverywhere(t, l.hosts, http.StatusOK, "before", token)
	}
	l.records = fields(t, l.raw, l.userID)
}

// isOut expects that the sessions are gone, and stay so when the user is back.
func (l *lost) isOut(t *testing.T) {
	t.Helper()
	time.Sleep(l.staleness) // nobody is told of what is done behind their back
	none := func(when string) {
		t.Helper()
		for _, token := range l.tokens {
			wantEverywhere(t, l.hosts, http.StatusUnauthorized, when, token)
		}
	}
	none("the slot is gone")
	wantListed(t, l.hosts, l.userID)
	fresh := l.hosts[0].login(t, l.jwt)
	none("the user is back")
	wantEverywhere(t, l.hosts, http.StatusOK, "the new session", fresh.token)
	wantListed(t, l.hosts, l.userID, sessionID(t, fresh.token))
	for _, h := range l.hosts {
		if a := ask(t, "POST", h.public+"/v1/refresh", bearer(l.tokens[0])...); a.status != http.StatusUnauthorized {
			t.Errorf("rotation of a session that is gone: %s", a)
		}
	}
	again := cache.Change{Expires: time.Now().Add(time.Hour)}
	for name, value := range l.records {
		if name != "h" {
			again.Put = append(again.Put, cache.Field{Name: name, Value: value})
		}
	}
	if applied, err := l.raw.Change(t.Context(), l.userID, again); err != nil || !applied || len(again.Put) != len(l.tokens) {
		t.Fatal(applied, err, len(again.Put))
	}
	time.Sleep(l.staleness)
	none("their records are back")
	wantListed(t, l.hosts, l.userID, sessionID(t, fresh.token))
}
