package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/session"
)

// writerEnv tells the test binary to be one of those who write a session's
// attributes: a job in JSON.
const writerEnv = "AUTHHOST_E2E_WRITER"

// job is what one process writes.
type job struct {
	Driver, At    string // of the cache
	User, Session string
	Name          string // the attribute of its own
	Writes        int
}

const lanes = 2 // goroutines of one writer

// write adds one to two attributes of the session, its own and the one that
// all share, as often as the job says, by compare-and-swap.
func (j job) write() error {
	d, err := openShared(j.Driver, j.At)
	if err != nil {
		return err
	}
	defer d.Close()
	store, err := session.New(session.Options{Realm: "main", Cache: d})
	if err != nil {
		return err
	}
	failed := make(chan error, lanes)
	for range lanes {
		go func() {
			for range j.Writes / lanes {
				var err error
				for end := time.Now().Add(2 * patience); time.Now().Before(end); { // one that others forestalled was not made
					if err = store.ChangeAttributes(context.Background(), j.User, j.Session, j.add); !errors.Is(err, cache.ErrContended) {
						break
					}
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range lanes {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}

func (j job) add(attributes map[string]string) error {
	for _, name := range []string{j.Name, "all"} {
		n, _ := strconv.Atoi(attributes[name]) // 0 where there is none
		attributes[name] = strconv.Itoa(n + 1)
	}
	return nil
}

// serveJob is the process of a writer.
func serveJob(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	return j.write()
}

// useAndLogIn uses a session, then logs its user in on one host and out on
// another. busy says that one of them could not, for others kept changing the
// slot, or the cache was slow: on a busy machine that happens.
func useAndLogIn(here, there *authhost, token, jwt string) (busy bool, err error) {
	a, err := try("GET", here.public+"/authz/forward-auth", forwarded("GET", "/x", bearer(token)...)...)
	if err == nil && a.status == http.StatusServiceUnavailable {
		return true, nil
	}
	if err != nil || a.status != http.StatusOK {
		return false, fmt.Errorf("in use: %s, %w", a, err)
	}
	a, err = try("POST", here.public+"/v1/login", bearer(jwt)...)
	if err == nil && a.status == http.StatusOK {
		a, err = try("POST", there.public+"/v1/logout", "X-Auth-Token", a.header.Get("X-Auth-Token"))
	}
	switch {
	case err == nil && a.status == http.StatusNoContent:
		return false, nil
	case err == nil && a.status == http.StatusServiceUnavailable:
		return true, nil
	}
	return false, fmt.Errorf("login and logout: %s, %w", a, err)
}

// Three processes write one session's attributes at once, while two hosts let
// it be used, which moves its deadline, and its user logs in and out: not one
// write is lost.
func TestNoAttributeIsLost(t *testing.T) {
	onShared(t, func(t *testing.T, s *shared) {
		writes := map[string]int{"file": 1500, "redis": 1500, "etcd": 750}[s.driver]
		if *soak {
			writes = 10_002
		}
		idp := newIssuer(t)
		hosts := serveAll(t, 2, idp.realm("    session: {idle: 48s}")+s.config(s.at, 0)+open)
		jwt := idp.token(t, "alice", nil)
		live := hosts[0].login(t, jwt)
		j := job{Driver: s.driver, At: s.at, User: live.userID, Session: sessionID(t, live.token), Writes: writes / 3}

		done := make(chan struct{})
		var use sync.WaitGroup
		var times, busy int
		use.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond):
				}
				failed, err := useAndLogIn(hosts[n%2], hosts[(n+1)%2], live.token, jwt)
				if err != nil {
					t.Error(err)
					return
				}
				if times++; failed {
					busy++
				}
			}
		})
		began := time.Now()
		var writers []*exec.Cmd
		var said [3]bytes.Buffer
		for i := range 3 {
			j.Name = fmt.Sprint("of ", i)
			text, err := json.Marshal(j)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env, cmd.Stderr = append(os.Environ(), writerEnv+"="+string(text)), &said[i]
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			writers = append(writers, cmd)
		}
		for i, w := range writers {
			if err := w.Wait(); err != nil {
				t.Errorf("writer %d: %v: %s", i, err, said[i].String())
			}
		}
		took := time.Since(began)
		close(done)
		use.Wait()

		store, err := session.New(session.Options{Realm: "main", Cache: s.open(t)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.Attributes(t.Context(), j.User, j.Session)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"all": strconv.Itoa(writes)}
		for i := range 3 {
			want[fmt.Sprint("of ", i)] = strconv.Itoa(writes / 3)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("attributes %v, want %v", got, want)
		}
		wantEverywhere(t, hosts, http.StatusOK, "afterwards", live.token)
		if times == 0 || busy > max(times/2, 5) {
			t.Errorf("of %d users of the slot beside them %d had no turn", times, busy)
		}
		t.Logf("%d writes by three processes in %s, beside %d logins and logouts; %d more had no turn", writes, took.Round(time.Millisecond), times-busy, busy)
	})
}
