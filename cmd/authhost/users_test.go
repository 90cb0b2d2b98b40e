package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
)

func TestUsersShow(t *testing.T) {
	s := newRemote(t)
	s.login("alice", 3)
	for _, c := range []struct {
		as   string
		args []string
	}{
		{"alice", []string{"users", "show", alice}},
		{"carol", []string{"users", "show", "--output", "table", alice}},
		{"operator", []string{"users", "--realm", "main", "show", alice}},
	} {
		code, out, problems := s.run(c.as, c.args...)
		lines := strings.Split(out, "\n")
		if code != exitDone || len(lines) != 3 || problems != "" || !slices.Equal(strings.Fields(lines[0]), []string{"USER", "REALM", "ACTIVE", "SESSIONS"}) ||
			!slices.Equal(strings.Fields(lines[1]), []string{alice, "main", "yes", "3"}) || strings.Index(lines[0], "REALM") != strings.Index(lines[1], "main") {
			t.Errorf("%s: %d\n%s%s", c.as, code, out, problems)
		}
	}
	code, out, _ := s.run("alice", "users", "show", alice, "--output=json")
	if want := fmt.Sprintf(`{"user_id":%q,"realm":"main","active":true,"sessions":3}`+"\n", alice); code != exitDone || out != want {
		t.Errorf("%d %s, want %s", code, out, want)
	}
}

func TestUsersLogout(t *testing.T) {
	s := newRemote(t)
	s.login("alice", 2)
	for i, c := range []struct {
		as   string
		args []string
		want string
		out  string
	}{
		{"carol", []string{"users", "logout", alice}, "admin " + alice, alice + " is logged out everywhere\n"},
		{"alice", []string{"users", "logout", alice, "--output", "json"}, "self " + alice, fmt.Sprintf(`{"user_id":%q,"logged_out":true}`+"\n", alice)},
		{"operator", []string{"users", "logout", alice, "--realm", "main"}, "operator " + alice, alice + " is logged out everywhere\n"},
	} {
		code, out, problems := s.run(c.as, c.args...)
		if code != exitDone || out != c.out || problems != "" || len(s.out) != i+1 || s.out[i] != c.want {
			t.Errorf("%s: %d %s%s, %q", c.as, code, out, problems, s.out)
		}
	}
}

func TestSessionsList(t *testing.T) {
	s := newRemote(t)
	s.login("alice", 2500) // three pages
	t.Setenv("TZ", "UTC")
	code, out, problems := s.run("alice", "sessions", "list", alice)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != exitDone || problems != "" || len(lines) != 2501 {
		t.Fatalf("%d, %d lines, %s", code, len(lines), problems)
	}
	for i, line := range lines {
		if !strings.Contains(line, "  ") || len(line) > 160 || strings.HasSuffix(line, "yes") != (i == 4) {
			t.Fatalf("line %d: %s", i, line)
		}
	}
	moment := s.list[alice][3].LastSeenAt.Local().Format("2006-01-02 15:04:05 MST")
	if !strings.HasPrefix(lines[4], "ses_alice0003  ") || strings.Index(lines[0], "LAST SEEN") != strings.Index(lines[4], moment) {
		t.Errorf("not aligned, or not %s:\n%s\n%s", moment, lines[0], lines[4])
	}

	code, out, _ = s.run("carol", "sessions", "list", alice, "--output", "json")
	var all struct {
		Items []struct {
			ID        string    `json:"id"`
			CreatedAt time.Time `json:"created_at"`
			Current   bool      `json:"current"`
		} `json:"items"`
		NextPage any `json:"next_page"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitDone || len(all.Items) != 2500 || all.NextPage != nil {
		t.Fatalf("%d, %d items, %v", code, len(all.Items), err)
	}
	for i, item := range all.Items {
		if item.ID != fmt.Sprintf("ses_alice%04d", i) || !item.CreatedAt.Equal(s.list[alice][i].CreatedAt) || item.Current {
			t.Fatalf("item %d: %+v", i, item)
		}
	}
	if code, out, _ := s.run("bob", "sessions", "list", host.UserID("main", "lab", "bob"), "--output", "json"); code != exitDone || out != `{"items":[],"next_page":null}`+"\n" {
		t.Errorf("nothing: %d %s", code, out)
	}
}

func TestClientRefused(t *testing.T) {
	s := newRemote(t)
	s.write("stranger", "ahs_mallory")
	s.write("two", "ahs_alice ahs_bob")
	s.write("none", "\n")
	s.login("alice", 1)
	for _, c := range []struct {
		as   string
		args []string
		want string
	}{
		{"bob", []string{"users", "show", alice}, "403 Forbidden: not_allowed"},
		{"bob", []string{"users", "logout", alice}, "403 Forbidden: not_allowed"},
		{"bob", []string{"sessions", "list", alice}, "403 Forbidden: not_allowed"},
		{"operator", []string{"users", "logout", alice}, "403 Forbidden: not_allowed (an operator's token wants --realm R besides)\n"},
		{"carol", []string{"users", "logout", alice, "--realm", "main"}, "403 Forbidden: not_allowed (--realm wants an operator's token)\n"},
		{"carol", []string{"plugins", "list"}, "403 Forbidden: not_allowed (an operator's token is wanted)\n"},
		{"operator", []string{"users", "logout", alice, "--realm", "nowhere"}, "404 Not Found: no_such_realm"},
		{"operator", []string{"users", "logout", alice, "--realm", "a/b"}, "400 Bad Request: "},
		{"carol", []string{"users", "show", "usr_x"}, "404 Not Found: no_such_user"},
		{"stranger", []string{"users", "show", alice}, "401 Unauthorized: unauthenticated (of --token-file: unknown, expired or ended)\n"},
		{"two", []string{"users", "show", alice}, "want one token and nothing else"},
		{"none", []string{"users", "show", alice}, "want one token and nothing else"},
		{"missing", []string{"users", "show", alice}, "no such file"},
	} {
		code, out, problems := s.run(c.as, c.args...)
		if code != exitRefused || out != "" || !strings.Contains(problems, c.want) || strings.Contains(problems, "ahs_") || strings.Contains(problems, "usage:") {
			t.Errorf("%s %v: %d %s%s", c.as, c.args, code, out, problems)
		}
	}
	s.down = true
	for _, args := range [][]string{{"users", "show", alice}, {"users", "logout", alice}, {"sessions", "list", alice}} {
		if code, out, problems := s.run("carol", args...); code != exitRefused || out != "" || !strings.Contains(problems, "503 Service Unavailable: the session cache does not answer") {
			t.Errorf("%v: %d %s%s", args, code, out, problems)
		}
	}
	s.Close()
	if code, _, problems := s.run("carol", "users", "show", alice); code != exitRefused || !strings.Contains(problems, "refused") {
		t.Errorf("no server: %d %s", code, problems)
	}
	if len(s.out) != 0 {
		t.Errorf("done all the same: %q", s.out)
	}
}

func TestClientUsage(t *testing.T) {
	s := newRemote(t)
	token := filepath.Join(s.dir, "carol")
	for _, args := range [][]string{
		{"users"}, {"users", "show"}, {"users", "show", ""}, {"users", "show", alice, "more"}, {"users", "remove", alice}, {"users", alice},
		{"sessions"}, {"sessions", "list"}, {"sessions", "show", alice},
		{"users", "show", alice, "--output", "xml"}, {"users", "show", alice, "--nonsense"},
		{"users", "show", alice, "--server", "ftp://host"}, {"users", "show", alice, "--server", "127.0.0.1:8081"}, {"users", "show", alice, "--server", "http://"},
		{"users", "show", alice, "--server", "http://u:secret@127.0.0.1:1"}, {"users", "show", alice, "--server", "http://127.0.0.1:1/?a=b"},
	} {
		var out, problems bytes.Buffer
		if code := run(t.Context(), append(args, "--token-file", token), &out, &problems); code != exitUsage || out.Len() > 0 || problems.Len() == 0 {
			t.Errorf("%v: %d %s%s", args, code, &out, &problems)
		}
		if strings.Contains(problems.String(), "secret") {
			t.Errorf("%v: %s", args, &problems)
		}
	}
	var out, problems bytes.Buffer
	if code := run(t.Context(), []string{"users", "show", alice}, &out, &problems); code != exitUsage || !strings.Contains(problems.String(), "--token-file FILE is required") {
		t.Errorf("no token: %d %s", code, &problems)
	}
}

// What is no authhost gets no further than an error: a redirect is not
// followed with the token, a list without an end is left, and a terminal is
// shown nothing that it would obey.
func TestClientDistrusts(t *testing.T) {
	s := newRemote(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	page := func(next string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"items":[{"id":"ses_\u001b[2J","created_at":"2026-01-02T03:04:05Z"}],"next_page":%s}`, next)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   int
		want   string
	}{
		"redirect":         {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, exitRefused, `302 Found\n$`},
		"a page for ever":  {page(`"again"`), exitRefused, "has no end"},
		"escape sequences": {page("null"), exitDone, `(?m)^ses_\?\[2J  `},
		"not JSON":         {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, exitRefused, "not what authhost answers"},
		"no problem":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, exitRefused, `502 Bad Gateway\n$`},
		"a nasty problem": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			fmt.Fprint(w, `{"reason":"\u001b]0;x\u0007\r\n"}`)
		}, exitRefused, regexp.QuoteMeta("403 Forbidden: ?]0;x??? (an operator's token wants --realm R besides)\n") + "$"},
	} {
		server := httptest.NewServer(c.answer)
		t.Cleanup(server.Close)
		var out, problems bytes.Buffer
		code := run(t.Context(), []string{"sessions", "list", alice, "--server", server.URL, "--token-file", filepath.Join(s.dir, "carol")}, &out, &problems)
		if text := out.String() + problems.String(); code != c.code || !regexp.MustCompile(c.want).MatchString(text) || strings.ContainsAny(text, "\x1b\x07\r") {
			t.Errorf("%s: %d %q", name, code, text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := runUsers(ctx, []string{"show", alice, "--server", s.URL, "--token-file", filepath.Join(s.dir, "carol")}, &bytes.Buffer{}, &bytes.Buffer{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
