package e2e

import (
	"bytes"
	"net/http"
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
	done = time.Now()
	if err != nil || a.status != http.StatusNoContent {
		t.Fatalf("logout: %s, %v", a, err)
	}
	if f.fate == killed {
		h.kill()
	}
	return done
}

// killAtWrite kills a replica when Redis has answered its change of the user's
// slot, before it can hear of that, and returns that moment.
func (f *fire) killAtWrite(t *testing.T, h *authhost, userID string, logout func() (answer, error)) (done time.Time) {
	t.Helper()
	var once sync.Once
	written := make(chan time.Time, 1)
	kill := func(asked []byte) {
		if !bytes.Contains(asked, []byte("{"+userID+"}")) || !bytes.Contains(asked, []byte("evalsha\r\n")) {
			return
		}
		once.Do(func() {
			written <- time.Now()
			h.signal(syscall.SIGKILL)
		})
	}
	f.redis.answered.Store(&kill)
	defer f.redis.answered.Store(nil)
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
