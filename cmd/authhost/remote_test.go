package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
	"github.com/authhost/authhost/host/credential"
	"github.com/authhost/authhost/host/edge"
)

var (
	alice         = host.UserID("main", "lab", "alice")
	operatorToken = strings.Repeat("o", 40)
)

// remote is an admin API of one realm: the real endpoints on people in memory.
// Session tokens are ahs_ and the user's name; carol is the realm's admin.
type remote struct {
	*httptest.Server
	t    *testing.T
	dir  string
	list map[string][]host.SessionInfo // by user id
	out  []string                      // who logged whom out
	down bool

	plugins []admin.Plugin
	asked   []string // what was asked of plugins
	refuse  error    // what that is answered with
}

func newRemote(t *testing.T) *remote {
	s := &remote{t: t, dir: t.TempDir(), list: map[string][]host.SessionInfo{}}
	finder, err := credential.New(credential.Options{Sources: []credential.Source{{Header: "Authorization"}}})
	if err != nil {
		t.Fatal(err)
	}
	operators, err := admin.ParseOperators([]byte("ann " + operatorToken))
	if err != nil {
		t.Fatal(err)
	}
	realm := &admin.Realm{Name: "main", AdminRole: "admin", Finder: finder, Bearer: finder, Sessions: s}
	h, err := admin.New(admin.Options{
		Open: func(r *http.Request) (admin.Visit, error) {
			request, err := edge.SelfRequest(r, &host.Snapshot{})
			return admin.Visit{Request: request, Realms: []*admin.Realm{realm}, Operators: operators}, err
		},
		Reload:  func(context.Context) error { return nil },
		Plugins: remotePlugins{s},
		Fail:    edge.Fail,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(h.Admin))
	t.Cleanup(s.Close)
	for _, who := range []string{"alice", "bob", "carol"} {
		s.write(who, "ahs_"+who+"\n")
	}
	s.write("operator", operatorToken)
	return s
}

func (s *remote) write(name, content string) {
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *remote) Resolve(_ context.Context, token string) (host.Validation, error) {
	name := strings.TrimPrefix(token, "ahs_")
	if !slices.Contains([]string{"alice", "bob", "carol"}, name) {
		return host.Validation{Verdict: host.Unknown}, nil
	}
	id := &host.Identity{Realm: "main", UserID: host.UserID("main", "lab", name), SessionID: "ses_" + name + "0003"}
	if name == "carol" {
		id.Roles = []string{"admin"}
	}
	return host.Validation{Verdict: host.Valid, Identity: id}, nil
}

func (s *remote) Revoked(context.Context, *host.Identity) (bool, error) { return false, nil }

func (s *remote) fails() error {
	if s.down {
		return &host.Error{Kind: host.Unavailable, Public: "the session cache does not answer"}
	}
	return nil
}

func (s *remote) User(_ context.Context, id string) (host.User, error) {
	return host.User{Active: true, Sessions: len(s.list[id])}, s.fails()
}

func (s *remote) List(_ context.Context, id string, page host.Page) ([]host.SessionInfo, string, error) {
	from := 0
	if page.Token != "" {
		_, _ = fmt.Sscanf(page.Token, "from & %d", &from)
	}
	all := s.list[id][from:]
	if len(all) > page.Limit {
		return all[:page.Limit], fmt.Sprintf("from & %d", from+page.Limit), s.fails()
	}
	return all, "", s.fails()
}

func (s *remote) EndSession(context.Context, string, string, host.Actor) (bool, error) {
	return false, nil
}

func (s *remote) EndAll(_ context.Context, id string, by host.Actor, _ string) error {
	if s.down {
		return s.fails()
	}
	s.out = append(s.out, by.Rank.String()+" "+id)
	delete(s.list, id)
	return nil
}

func (s *remote) Deactivate(context.Context, string, host.Actor) error { return s.fails() }
func (s *remote) Activate(context.Context, string, host.Actor) error   { return s.fails() }

// login gives a user n sessions.
func (s *remote) login(name string, n int) {
	id := host.UserID("main", "lab", name)
	for i := range n {
		at := time.Date(2026, 3, 4, 5, 6, i, 0, time.UTC)
		s.list[id] = append(s.list[id], host.SessionInfo{ID: fmt.Sprintf("ses_%s%04d", name, i), CreatedAt: at, LastSeenAt: at.Add(time.Hour),
			IdleExpiresAt: at.Add(8 * time.Hour), ExpiresAt: at.Add(24 * time.Hour)})
	}
}

// run runs a command as somebody, and returns its exit code and output.
func (s *remote) run(as string, args ...string) (code int, stdout, stderr string) {
	var out, problems bytes.Buffer
	args = append(args, "--server", s.URL+"/", "--token-file", filepath.Join(s.dir, as))
	code = run(s.t.Context(), args, &out, &problems)
	return code, out.String(), problems.String()
}
