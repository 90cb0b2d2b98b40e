package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// What a logout everywhere sends about a user.
const (
	readSlot  = "a read of the slot"
	putDue    = "an entry of the due-list"
	writeSlot = "the one write"
)

// about says what a command does to a user, empty if nothing.
func about(userID string, command []string) string {
	slot := "authhost:{" + userID + "}"
	switch name := strings.ToLower(command[0]); {
	case name != "evalsha" && name != "eval":
		if len(command) > 1 && command[1] == slot {
			return readSlot
		}
	case command[3] == slot:
		return writeSlot
	case len(command) > 5 && strings.HasPrefix(command[5], userID+"@"):
		return putDue
	}
	return ""
}

// subject is a user with two sessions and a JWT.
type subject struct {
	userID      string
	credentials []string
}

// newSubject logs an editor in twice.
func newSubject(t *testing.T, name string, idp *issuer, one, two *authhost) subject {
	t.Helper()
	jwt := idp.token(t, name, map[string]any{"roles": []string{"editor"}})
	first, id := one.logIn(t, jwt)
	second, _ := two.logIn(t, jwt)
	return subject{id, []string{jwt, first, second}}
}

// at expects one status for all that the user has, on each host, and as many
// sessions in the list.
func (s subject) at(t *testing.T, what string, status int, admin string, hosts ...*authhost) {
	t.Helper()
	for i, h := range hosts {
		for n, c := range s.credentials {
			if a := h.forwardAuth(t, "POST", "/api/gitops/detect-drift", bearer(c)...); a.status != status {
				t.Errorf("%s: replica %d, credential %d: %s, want %d", what, i, n, a, status)
			}
		}
		want := map[int]int{200: 2}[status]
		a := get(t, h.admin+"/v1/users/"+s.userID+"/sessions", bearer(admin)...)
		if n := strings.Count(a.body, `"id":`); a.status != http.StatusOK || n != want || n == 0 && !strings.Contains(a.body, `"items":[]`) {
			t.Errorf("%s: replica %d lists %s, want %d sessions", what, i, a, want)
		}
	}
}

// dueNow returns the entries of a user on due-lists that somebody is to see to
// within half an hour.
func (r *redisServer) dueNow(t *testing.T, userID string) (entries []string) {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: r.addr, Protocol: 2, DisableIdentity: true})
	defer c.Close()
	for list := range 64 {
		members, err := c.ZRange(t.Context(), fmt.Sprintf("authhost:due:{%02d}", list), 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			user, at, _ := strings.Cut(m, "@")
			if ms, err := strconv.ParseInt(at, 10, 64); err != nil || user == userID && ms < time.Now().Add(30*time.Minute).UnixMilli() {
				entries = append(entries, m)
			}
		}
	}
	return entries
}

// A logout everywhere fails at each step of its way to Redis, or the host that
// makes it is killed there: before the one write all is as it was, after it
// everything is out on every replica, whatever the admin was told; and what is
// left over another replica cleans up.
func TestLogoutCutShort(t *testing.T) {
	idp, redis := newIssuer(t), startRedis(t)
	others := replicas(t, 2, idp, redis)
	admin, _ := others[0].logIn(t, idp.token(t, "admin", nil))
	bystander := newSubject(t, "bystander", idp, others[0], others[1])
	logout := func(h *authhost, s subject) (int, error) {
		a, err := try("POST", h.admin+"/v1/users/"+s.userID+"/logout", bearer(admin)...)
		return a.status, err
	}
	type cut struct {
		what, on string
		when     moment
		kill     bool // the host, instead of its connections
		status   int  // what the admin is told; 0: nothing
		out      bool
	}
	type left struct {
		cut
		subject
		gate *gate
		host *authhost
	}
	var all []left
	for _, c := range []cut{
		{"the due-list is out of reach", putDue, arrived, false, 503, false},
		{"the due-list does not answer", putDue, done, false, 503, false},
		{"cut before the write", writeSlot, arrived, false, 503, false},
		{"killed before the write", writeSlot, arrived, true, 0, false},
		{"the write's answer is lost", writeSlot, done, false, 503, true},
		{"killed after the write", writeSlot, done, true, 0, true},
		{"cut after the write", writeSlot, told, false, 204, true},
	} {
		g := newGate(t, redis.addr)
		a := replicas(t, 1, idp, &redisServer{addr: g.addr})[0]
		hosts := append([]*authhost{a}, others...)
		s := newSubject(t, c.what, idp, a, others[0])
		s.at(t, "before: "+c.what, 200, admin, hosts...)
		slot := "authhost:{" + s.userID + "}"
		before := redis.contents(t)[slot]

		var cuts atomic.Int32
		g.watch(func(m moment, command []string) {
			if m != c.when || about(s.userID, command) != c.on || cuts.Add(1) > 1 {
				return
			}
			if c.kill {
				a.kill()
			}
			g.shut()
		})
		status, err := logout(a, s)
		if status != c.status || (err != nil) != c.kill || cuts.Load() != 1 {
			t.Errorf("%s: the admin is told %d, %v, want %d; %d cuts", c.what, status, err, c.status, cuts.Load())
		}
		s.at(t, c.what, map[bool]int{false: 200, true: 401}[c.out], admin, others...)
		if after := redis.contents(t)[slot]; !c.out && !maps.Equal(before, after) {
			t.Errorf("%s: the slot holds %d fields, or others than the %d before", c.what, len(after), len(before))
		}
		all = append(all, left{c, s, g, a})
	}
	for _, l := range all {
		slot := "authhost:{" + l.userID + "}"
		within(t, tellTime, "another replica sees to "+l.what, func() bool { return len(redis.dueNow(t, l.userID)) == 0 })
		fields := slices.Sorted(maps.Keys(redis.contents(t)[slot]))
		if l.out && !slices.Equal(fields, []string{"h"}) || !l.out && len(fields) != 3 {
			t.Errorf("%s: left in the slot: %q", l.what, fields)
		}
		l.at(t, "cleaned up, "+l.what, map[bool]int{false: 200, true: 401}[l.out], admin, others...)
		again := others[1]
		hosts := others
		if !l.kill { // the host that was cut off is back
			l.gate.watch(func(moment, []string) {})
			l.gate.open()
			l.host.awaitReady(t)
			again = l.host
			hosts = append([]*authhost{l.host}, others...)
		}
		for range 2 {
			if status, err := logout(again, l.subject); status != http.StatusNoContent {
				t.Errorf("again, %s: %d, %v", l.what, status, err)
			}
		}
		l.at(t, "again, "+l.what, 401, admin, hosts...)
		bystander.at(t, "another user, "+l.what, 200, admin, hosts...)
	}
}

// A logout everywhere is one write, and the last thing that its host sends
// before it says so.
func TestLogoutIsOneWrite(t *testing.T) {
	t.Parallel()
	idp, redis := newIssuer(t), startRedis(t)
	g := newGate(t, redis.addr)
	h := replicas(t, 1, idp, &redisServer{addr: g.addr})[0]
	admin, _ := h.logIn(t, idp.token(t, "admin", nil))
	s := newSubject(t, "alice", idp, h, h)
	sent := make(chan string, 100)
	g.watch(func(m moment, command []string) {
		if what := about(s.userID, command); m == arrived && what != "" {
			sent <- what
		}
	})
	if a := ask(t, "POST", h.admin+"/v1/users/"+s.userID+"/logout", bearer(admin)...); a.status != http.StatusNoContent {
		t.Fatalf("logout: %s", a)
	}
	g.watch(func(moment, []string) {})
	var got []string
	for len(sent) > 0 {
		got = append(got, <-sent)
	}
	if want := []string{readSlot, putDue, writeSlot}; !slices.Equal(got, want) {
		t.Errorf("sent: %q, want %q", got, want)
	}
	s.at(t, "after it", 401, admin, h)
}
