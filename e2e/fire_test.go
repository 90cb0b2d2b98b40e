package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	fireClients  = 64
	fireReplicas = 3
)

// fireStaleness is short so that a round is; the soak has what authhost has
// unless told otherwise. It is no time that anything must take: who asks later
// must be turned away, however slow all of it is.
func fireStaleness() time.Duration {
	if *soak {
		return time.Second
	}
	return 250 * time.Millisecond
}

// fate is what becomes of the replica that is told to log a user out.
type fate string

const (
	lives       fate = "lives"
	killed      fate = "killed"       // once it acknowledged
	killedFirst fate = "killed first" // once its write is done, before it hears of that
)

// Three replicas let one user in, for 64 clients that keep asking, until one
// of them is told to log the user out: who asks after that was acknowledged is
// let in by none of them, or after max_staleness where reads are remembered,
// even when nobody is told of the change, and even when the replica that made it
// is gone.
func TestLogoutUnderFire(t *testing.T) {
	some, rounds := fireStaleness(), 2
	if *soak {
		rounds = 20
	}
	for i, c := range []struct {
		driver    string
		staleness time.Duration
		hearing   hearing
		fate      fate
	}{
		{"redis", 0, heard, lives},
		{"redis", 0, heard, killedFirst},
		{"redis", some, heard, lives},
		{"redis", some, muted, lives},
		{"redis", some, refused, lives},
		{"redis", some, refused, killed},
		{"redis", some, muted, killedFirst},
		{"etcd", 0, heard, killed},
		{"etcd", some, heard, lives},
		{"etcd", some, muted, killedFirst},
		{"file", 0, heard, lives},
		{"file", 0, heard, killedFirst},
		{"file", some, heard, killed}, // which remembers nothing
	} {
		t.Run(fmt.Sprintf("%s %s %s %s", c.driver, c.staleness, c.hearing, c.fate), func(t *testing.T) {
			f := newFire(t, c.driver, c.staleness, c.hearing)
			f.fate, f.way = c.fate, i
			n, end := 0, time.Now().Add(patience)
			for ; !t.Failed() && (n < rounds || c.hearing != heard && f.late == 0 && time.Now().Before(end)); n++ {
				f.round(t, n)
			}
			t.Logf("%d rounds: %d answers, %d allows asked after the logout, the last of them %s after it",
				n, f.answers, f.late, f.latest.Round(time.Millisecond))
			f.wasAsMeant(t, c.hearing)
		})
	}
}

// fire is replicas on one cache, the clients that ask them, and what came of
// it.
type fire struct {
	staleness time.Duration // that is allowed
	fate      fate
	way       int // in which the first logout is asked for, see logout
	idp       *issuer
	hosts     []*authhost
	shared    *shared
	redis     *redisGate
	etcd      *etcdGate

	hits    float64 // reads answered from memory, until each logout
	answers int
	late    int           // allows asked after a logout, within what is allowed
	latest  time.Duration // the longest after it
	wrong   int           // allows asked later than that
}

func newFire(t *testing.T, driver string, staleness time.Duration, h hearing) *fire {
	t.Helper()
	s := startShared(t, driver)
	f := &fire{staleness: staleness, idp: newIssuer(t), shared: s}
	at := s.at
	switch {
	case driver == "redis":
		f.redis = newRedisGate(t, s.at, h)
		at = f.redis.addr
	case h == muted:
		f.etcd, at = newEtcdGate(t, s.at)
	}
	f.hosts = serveAll(t, fireReplicas, f.idp.realm("")+s.config(at, staleness)+open)
	if driver == "file" {
		f.staleness = 0 // it is as near as a memory
	}
	return f
}

// wasAsMeant expects that reads were remembered where they may be, and that
// nobody was told where nobody was to be.
func (f *fire) wasAsMeant(t *testing.T, h hearing) {
	t.Helper()
	if (f.hits > 0) != (f.staleness > 0) {
		t.Errorf("%v reads were answered from memory", f.hits)
	}
	switch {
	case f.redis != nil && f.staleness > 0:
		if n := f.redis.subscribed.Load(); n < fireReplicas {
			t.Errorf("%d subscriptions", n)
		}
		if n := f.redis.swallowed.Load(); (n > 0) != (h == muted) {
			t.Errorf("%d messages were swallowed", n)
		}
	case f.etcd != nil:
		if n := f.etcd.watches.Load(); n < fireReplicas {
			t.Errorf("%d watches", n)
		}
	}
	if h != heard && f.late == 0 {
		t.Error("nobody was ever told late: the messages were not cut")
	}
}

// shot is one answer.
type shot struct {
	asked, answered time.Time
	status          int
	err             error
}

// client asks one replica about one credential, again and again.
type client struct {
	host   int
	url    string
	header []string
	shots  []shot
	allows atomic.Int64
	last   atomic.Int64 // when the question of the last answer was asked, in ns after the round began
}

// round logs a user that nobody knew before in and out.
func (f *fire) round(t *testing.T, n int) {
	t.Helper()
	user := fmt.Sprint("user", n)
	jwt := f.idp.token(t, user, nil)
	credentials := []string{jwt}
	var id string
	for _, h := range f.hosts {
		made := h.login(t, jwt)
		credentials, id = append(credentials, made.token), made.userID
	}
	began, quit := time.Now(), make(chan struct{})
	var clients []*client
	var all sync.WaitGroup
	for i := range fireClients {
		host := i % fireReplicas
		c := &client{host: host, url: f.hosts[host].public + "/authz/forward-auth", header: forwarded("GET", "/x", bearer(credentials[i/fireReplicas%len(credentials)])...)}
		clients = append(clients, c)
		all.Go(func() { c.fire(began, quit) })
	}
	stop := sync.OnceFunc(func() { close(quit); all.Wait() })
	defer stop()
	eventually(t, "every client let in", func() bool {
		for _, c := range clients {
			if c.allows.Load() < 3 {
				return false
			}
		}
		return true
	})

	if f.staleness > 0 { // what is remembered is of any age
		time.Sleep(rand.N(f.staleness))
	}
	who := n % fireReplicas
	f.hits += f.hosts[who].metric(t, "authhost_cache_near_total", `event="hit"`)
	sent := time.Now()
	done := f.logout(t, n, who, id, credentials)
	limit := done.Add(f.staleness)
	eventually(t, "answers to every client that asked after the logout", func() bool {
		for _, c := range clients {
			if began.Add(time.Duration(c.last.Load())).Before(limit.Add(20*time.Millisecond)) && (f.fate == lives || c.host != who) {
				return false
			}
		}
		return true
	})
	stop()
	for i, c := range clients {
		for _, s := range c.shots {
			if f.fate != lives && c.host == who && s.err != nil {
				continue // it is gone
			}
			f.judge(t, fmt.Sprintf("round %d, client %d of replica %d", n, i, c.host), s, sent, done, limit)
		}
	}
	if f.fate != lives {
		f.hosts[who] = serveFile(t, f.hosts[who].config)
		f.hosts[who].awaitReady(t)
	}
}

// judge counts an answer, and refuses one that must not be.
func (f *fire) judge(t *testing.T, what string, s shot, sent, done, limit time.Time) {
	t.Helper()
	f.answers++
	switch {
	case s.err != nil:
		t.Errorf("%s: %v", what, s.err)
	case s.status == http.StatusServiceUnavailable:
		t.Logf("%s: 503", what) // cannot tell, which a slow machine may come to
	case s.status != http.StatusOK && s.status != http.StatusUnauthorized:
		t.Errorf("%s: %d", what, s.status)
	case s.status == http.StatusUnauthorized && s.answered.Before(sent):
		t.Errorf("%s: turned away before the logout", what)
	case s.status == http.StatusOK && s.asked.After(limit):
		if f.wrong++; f.wrong < 4 {
			t.Errorf("%s: let in, asked %s after the logout", what, s.asked.Sub(done))
		}
	case s.status == http.StatusOK && s.asked.After(done):
		f.late++
		f.latest = max(f.latest, s.asked.Sub(done))
	}
}

func (c *client) fire(began time.Time, quit chan struct{}) {
	for {
		select {
		case <-quit:
			return
		default:
		}
		asked := time.Now()
		a, err := try(http.MethodGet, c.url, c.header...)
		c.shots = append(c.shots, shot{asked, time.Now(), a.status, err})
		if err == nil {
			c.last.Store(int64(asked.Sub(began)))
			if a.status == http.StatusOK {
				c.allows.Add(1)
			}
		}
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
	}
}
