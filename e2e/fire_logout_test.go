package e2e

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// logout has one replica log the user out, in one of the ways that there are,
// and returns when that was acknowledged.
func (f *fire) logout(t *testing.T, n, who int, userID string, credentials []string) (done time.Time) {
	t.Helper()
	h := f.hosts[who]
	method, url, header := "POST", h.admin+operatorPath(userID)+"/logout", bearer(operatorToken)
	if f.fate == killedFirst {
		return f.killAtWrite(t, h, userID, func() (answer, error) { return try(method, url, header...) })
	}
	switch (n + f.way) % 4 {
	case 1:
		url = h.admin + operatorPath(userID) + "/deactivate"
	case 2: // by the user, with any of the sessions
		url, header = h.admin+"/v1/users/"+userID+"/logout", bearer(credentials[1])
	case 3: // of each credential alone, in one call
		url = h.public + "/v1/logout"
		header = append(bearer(credentials[0]), "X-Auth-Token", credentials[1], "Cookie", "kc_auth="+credentials[2]+"; "+sessionCookie+"="+credentials[3])
	}
	a, err := try(method, url, header...)
	if err == nil && a.status == http.StatusServiceUnavailable { // on a busy machine: done or not, and asked for again
		url, header = h.admin+operatorPath(userID)+"/logout", bearer(operatorToken)
		eventually(t, "a logout", func() bool {
			a, err = try(method, url, header...)
			return err != nil || a.status != http.StatusServiceUnavailable
		})
	}
	done = time.Now()
	if err != nil || a.status != http.StatusNoContent {
		t.Fatalf("logout: %s, %v", a, err)
	}
	if f.fate == killed {
		h.kill()
	}
	return done
}

// killAtWrite kills a replica when the cache has made its change of the user's
// slot, before it can hear of that, and returns that moment.
func (f *fire) killAtWrite(t *testing.T, h *authhost, userID string, logout func() (answer, error)) (done time.Time) {
	t.Helper()
	written := make(chan time.Time, 1)
	kill := sync.OnceFunc(func() {
		written <- time.Now()
		h.signal(syscall.SIGKILL)
	})
	defer f.atWrite(t, userID, kill)()
	if a, err := logout(); err == nil {
		t.Fatalf("the replica that was to be killed answers %s", a)
	}
	select {
	case done = <-written:
	case <-time.After(patience):
		t.Fatal("nothing was written")
	}
	<-h.ended
	if out := h.log(); strings.Contains(out, "user logged out everywhere") {
		t.Error("the replica heard of its write")
	}
	return done
}

// atWrite calls kill when the cache has changed the user's slot, before whoever
// asked for that can hear of it, until stop is called.
func (f *fire) atWrite(t *testing.T, userID string, kill func()) (stop func()) {
	t.Helper()
	switch {
	case f.redis != nil:
		answered := func(asked []byte) {
			if bytes.Contains(asked, []byte("{"+userID+"}")) && bytes.Contains(asked, []byte("evalsha\r\n")) {
				kill()
			}
		}
		f.redis.answered.Store(&answered)
		return func() { f.redis.answered.Store(nil) }
	case f.etcd != nil:
		put := func(key string) {
			if key == "authhost/slot/"+userID {
				kill()
			}
		}
		f.etcd.put.Store(&put)
		return func() { f.etcd.put.Store(nil) }
	}
	return f.shared.atWrite(t, userID, kill)
}

// atWrite is that of a folder. A change is told of before it is acknowledged,
// by whoever holds the journal's lock: the test does.
func (s *shared) atWrite(t *testing.T, userID string, kill func()) (stop func()) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(s.at, "journal", "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	d, quit := s.open(t), make(chan struct{})
	before := fields(t, d, userID)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
			}
			now, err := d.All(context.Background(), userID)
			if err != nil {
				t.Error(err)
				return
			}
			if !maps.EqualFunc(before, now, bytes.Equal) {
				kill()
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	return func() {
		close(quit)
		watch.Wait()
		lock.Close()
	}
}
