package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd asks about sessions, makes them and ends them on several hosts until it
// is stopped, and keeps a record of what was acknowledged.
type crowd struct {
	hosts   []*authhost
	jwts    []string // one a user
	users   []string // their ids
	settled []string // sessions that were there before anything happened
	quit    chan struct{}
	workers sync.WaitGroup

	mu          sync.Mutex
	live, ended []string // sessions of which it is acknowledged, the oldest first
	logins      int      // acknowledged
	reads       refusals
	writes      refusals
	wrong       []string
}

// refusals are answers with 503.
type refusals struct {
	asked, refused int
	last           time.Time // when the last of them came
}

func (r *refusals) since(event time.Time) string {
	if !r.last.After(event) {
		return fmt.Sprintf("none of %d", r.asked)
	}
	return fmt.Sprintf("%d of %d, for %.1f s", r.refused, r.asked, r.last.Sub(event).Seconds())
}

// newCrowd logs users in, on hosts that trust idp and let everybody pass.
func newCrowd(t *testing.T, idp *issuer, hosts ...*authhost) *crowd {
	t.Helper()
	c := &crowd{hosts: hosts}
	for _, h := range hosts {
		h.awaitReady(t)
	}
	for n := range 8 {
		jwt := idp.token(t, fmt.Sprint("user ", n), nil)
		var a answer
		eventually(t, "replicas follow", func() bool { // who have just been started
			var err error
			a, err = try("POST", hosts[0].public+"/v1/login", bearer(jwt)...)
			return err == nil && a.status == http.StatusOK
		})
		e := parseEntry(t, a)
		c.jwts, c.users, c.settled = append(c.jwts, jwt), append(c.users, e.userID), append(c.settled, e.token)
	}
	return c
}

// start lets the crowd in, and returns once it has done something.
func (c *crowd) start(t *testing.T) {
	t.Helper()
	c.quit = make(chan struct{})
	c.reads, c.writes = refusals{}, refusals{}
	for _, h := range c.hosts {
		for _, act := range []func(*authhost){c.ask, c.ask, c.doubt, c.change} {
			c.workers.Go(func() {
				pace := time.NewTicker(10 * time.Millisecond)
				defer pace.Stop()
				for {
					select {
					case <-c.quit:
						return
					case <-pace.C:
						act(h)
					}
				}
			})
		}
	}
	t.Cleanup(c.stop)
	_, before := c.acknowledged()
	eventually(t, "sessions made and ended", func() bool { _, ended := c.acknowledged(); return ended > before+30 })
}

func (c *crowd) stop() {
	select {
	case <-c.quit:
	default:
		close(c.quit)
	}
	c.workers.Wait()
}

// acknowledged counts sessions.
func (c *crowd) acknowledged() (made, ended int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins, len(c.ended)
}

// standing asks about a session.
func standing(h *authhost, token string) (answer, error) {
	return try(http.MethodGet, h.public+"/authz/forward-auth", forwarded("POST", "/x", bearer(token)...)...)
}

// ask wants a session that was there all along to be let in, or to be told to
// come again.
func (c *crowd) ask(h *authhost) {
	a, err := standing(h, c.settled[rand.IntN(len(c.settled))])
	c.note(&c.reads, "a live session", a, err, http.StatusOK)
}

// doubt wants a session whose end was acknowledged never to be let in.
func (c *crowd) doubt(h *authhost) {
	c.mu.Lock()
	var token string
	if n := len(c.ended); n > 0 {
		token = c.ended[max(0, n-1-rand.IntN(50))]
	}
	c.mu.Unlock()
	if token == "" {
		return
	}
	a, err := standing(h, token)
	c.note(&c.reads, "a session that was ended", a, err, http.StatusUnauthorized)
}

// change logs somebody in or out.
func (c *crowd) change(h *authhost) {
	c.mu.Lock()
	token := ""
	if n := len(c.live); n > 20 && rand.IntN(20) > 0 {
		i := rand.IntN(n)
		token = c.live[i]
		c.live = slices.Delete(c.live, i, i+1) // whether it is, who knows, from here on
	}
	c.mu.Unlock()
	if token != "" {
		a, err := try("POST", h.public+"/v1/logout", bearer(token)...)
		if c.note(&c.writes, "a logout", a, err, http.StatusNoContent) {
			c.mu.Lock()
			c.ended = append(c.ended, token)
			c.mu.Unlock()
		}
		return
	}
	a, err := try("POST", h.public+"/v1/login", bearer(c.jwts[rand.IntN(len(c.jwts))])...)
	if c.note(&c.writes, "a login", a, err, http.StatusOK) {
		c.mu.Lock()
		c.live = append(c.live, a.header.Get("X-Auth-Token"))
		c.logins++
		c.mu.Unlock()
	}
}

// note judges an answer: the one that is wanted, or 503.
func (c *crowd) note(r *refusals, what string, a answer, err error, want int) (granted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.asked++
	switch {
	case err == nil && a.status == want:
		return true
	case err == nil && a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" && a.header.Get("Set-Cookie") == "":
		r.refused, r.last = r.refused+1, time.Now()
	default:
		c.wrong = append(c.wrong, fmt.Sprintf("%s: %v %s", what, err, a))
	}
	return false
}

// settle waits until a login, a check and a logout succeed on every host, again
// and again. A busy machine makes a 503 of its own now and then.
func (c *crowd) settle(t *testing.T) {
	t.Helper()
	well := func(h *authhost) bool {
		in, err := try("POST", h.public+"/v1/login", bearer(c.jwts[0])...)
		if err != nil || in.status != http.StatusOK {
			return false
		}
		token := in.header.Get("X-Auth-Token")
		a, err := standing(h, token)
		if err != nil || a.status != http.StatusOK {
			return false
		}
		out, err := try("POST", h.public+"/v1/logout", bearer(token)...)
		return err == nil && out.status == http.StatusNoContent
	}
	end := time.Now().Add(3 * patience)
	for inARow := 0; inARow < 20; inARow++ {
		if time.Now().After(end) {
			t.Fatal("the 503s do not end")
		}
		for _, h := range c.hosts {
			if !well(h) {
				inARow = -1
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
}

// verify wants nothing but what may be to have been answered, every settled
// session to live on every host, and returns how many sessions were lost of
// those whose login was acknowledged, and how many are back whose logout was.
func (c *crowd) verify(t *testing.T) (lost, back int) {
	t.Helper()
	if len(c.wrong) > 0 {
		t.Errorf("%d wrong answers, such as %s", len(c.wrong), strings.Join(c.wrong[:min(3, len(c.wrong))], "\n"))
	}
	for n, h := range c.hosts {
		for _, token := range c.settled {
			if status := h.statusOf(t, token); status != http.StatusOK {
				t.Errorf("host %d: a session of before: %d", n, status)
			}
		}
	}
	count := func(tokens []string, want, other int) (others int) {
		for _, token := range tokens {
			switch status := c.hosts[rand.IntN(len(c.hosts))].statusOf(t, token); status {
			case want:
			case other:
				others++
			default:
				t.Errorf("afterwards: %d", status)
			}
		}
		return others
	}
	lost, back = count(c.live, 200, 401), count(c.ended, 401, 200)
	c.live, c.ended, c.wrong = nil, nil, nil
	return lost, back
}
