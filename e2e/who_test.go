package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// callers are the columns of the tables below. Each authenticates as himself:
// alice and bob are users of realm main, carol is its admin, erin the admin of
// realm other, ann the operator.
var callers = []string{"nobody", "bad", "alice", "bob", "carol", "erin", "ann"}

// whoRow is one endpoint and what each caller gets there. In its path ALICE,
// DAVE (a user of realm other), GONE (of main, deactivated by its admin), BANNED
// (by the operator) and UNSEEN (never logged in) are user ids; SESSION and SPARE
// are the ids of the two sessions of whom the row is about.
type whoRow struct {
	about, method, path string
	want                [7]int //  nobody bad alice bob carol erin ann
	after               access
}

// access is what a user still has.
type access struct {
	active              bool
	sessions            int
	jwt, session, spare bool
}

var (
	untouched = access{active: true, sessions: 2, jwt: true, session: true, spare: true}
	loggedOut = access{active: true}
	shutOut   = access{}
	spareGone = access{active: true, sessions: 1, jwt: true, session: true}
	spareLeft = access{active: true, sessions: 1, jwt: true, spare: true}
)

// onAdmin is asked on the admin listener, where Host counts for nothing.
var onAdmin = []whoRow{
	{"ALICE", "GET", "/v1/users/ALICE", [7]int{401, 401, 200, 403, 200, 404, 403}, untouched},
	{"ALICE", "GET", "/v1/users/ALICE/sessions", [7]int{401, 401, 200, 403, 200, 404, 403}, untouched},
	{"ALICE", "POST", "/v1/users/ALICE/logout", [7]int{401, 401, 204, 403, 204, 404, 403}, loggedOut},
	{"ALICE", "POST", "/v1/users/ALICE/deactivate", [7]int{401, 401, 403, 403, 204, 404, 403}, shutOut},
	{"ALICE", "POST", "/v1/users/ALICE/activate", [7]int{401, 401, 403, 403, 204, 404, 403}, untouched},
	{"GONE", "GET", "/v1/users/GONE", [7]int{401, 401, 403, 403, 200, 404, 403}, shutOut},
	{"GONE", "POST", "/v1/users/GONE/activate", [7]int{401, 401, 403, 403, 204, 404, 403}, loggedOut},
	{"BANNED", "POST", "/v1/users/BANNED/activate", [7]int{401, 401, 403, 403, 403, 404, 403}, shutOut},
	{"CAROL", "POST", "/v1/users/CAROL/deactivate", [7]int{401, 401, 403, 403, 403, 404, 403}, untouched},
	{"UNSEEN", "GET", "/v1/users/UNSEEN", [7]int{401, 401, 403, 403, 200, 404, 403}, loggedOut},
	{"UNSEEN", "GET", "/v1/users/UNSEEN/sessions", [7]int{401, 401, 403, 403, 200, 404, 403}, loggedOut},
	{"UNSEEN", "POST", "/v1/users/UNSEEN/logout", [7]int{401, 401, 403, 403, 204, 404, 403}, loggedOut},
	{"UNSEEN", "POST", "/v1/users/UNSEEN/deactivate", [7]int{401, 401, 403, 403, 204, 404, 403}, shutOut},
	{"DAVE", "GET", "/v1/users/DAVE", [7]int{401, 401, 404, 404, 404, 200, 403}, untouched},
	{"DAVE", "GET", "/v1/users/DAVE/sessions", [7]int{401, 401, 404, 404, 404, 200, 403}, untouched},
	{"DAVE", "POST", "/v1/users/DAVE/logout", [7]int{401, 401, 404, 404, 404, 204, 403}, loggedOut},
	{"DAVE", "POST", "/v1/users/DAVE/deactivate", [7]int{401, 401, 404, 404, 404, 204, 403}, shutOut},
	{"DAVE", "POST", "/v1/users/DAVE/activate", [7]int{401, 401, 404, 404, 404, 204, 403}, untouched},

	{"ALICE", "GET", "/v1/system/realms/main/users/ALICE", [7]int{401, 401, 403, 403, 403, 403, 200}, untouched},
	{"ALICE", "GET", "/v1/system/realms/main/users/ALICE/sessions", [7]int{401, 401, 403, 403, 403, 403, 200}, untouched},
	{"ALICE", "POST", "/v1/system/realms/main/users/ALICE/logout", [7]int{401, 401, 403, 403, 403, 403, 204}, loggedOut},
	{"ALICE", "POST", "/v1/system/realms/main/users/ALICE/deactivate", [7]int{401, 401, 403, 403, 403, 403, 204}, shutOut},
	{"ALICE", "POST", "/v1/system/realms/main/users/ALICE/activate", [7]int{401, 401, 403, 403, 403, 403, 204}, untouched},
	{"GONE", "POST", "/v1/system/realms/main/users/GONE/activate", [7]int{401, 401, 403, 403, 403, 403, 204}, loggedOut},
	{"BANNED", "POST", "/v1/system/realms/main/users/BANNED/activate", [7]int{401, 401, 403, 403, 403, 403, 204}, loggedOut},
	{"DAVE", "POST", "/v1/system/realms/other/users/DAVE/logout", [7]int{401, 401, 403, 403, 403, 403, 204}, loggedOut},
	{"DAVE", "POST", "/v1/system/realms/other/users/DAVE/deactivate", [7]int{401, 401, 403, 403, 403, 403, 204}, shutOut},
	{"DAVE", "POST", "/v1/system/realms/main/users/DAVE/logout", [7]int{401, 401, 403, 403, 403, 403, 404}, untouched},
	{"ALICE", "POST", "/v1/system/realms/nowhere/users/ALICE/logout", [7]int{401, 401, 403, 403, 403, 403, 404}, untouched},

	{"ALICE", "GET", "/v1/plugins", [7]int{401, 401, 403, 403, 403, 403, 200}, untouched},
	{"ALICE", "GET", "/v1/plugins/none", [7]int{401, 401, 403, 403, 403, 403, 404}, untouched},
	{"ALICE", "POST", "/v1/plugins/none/reload", [7]int{401, 401, 403, 403, 403, 403, 404}, untouched},
	{"ALICE", "POST", "/v1/plugins/none/rollback", [7]int{401, 401, 403, 403, 403, 403, 404}, untouched},
	{"ALICE", "POST", "/v1/config/reload", [7]int{401, 401, 403, 403, 403, 403, 204}, untouched},
	{"ALICE", "GET", "/v1/me", [7]int{401, 401, 404, 404, 404, 404, 404}, untouched},
	{"ALICE", "DELETE", "/v1/me/sessions/SPARE", [7]int{401, 401, 404, 404, 404, 404, 404}, untouched},
}

// onPublic is asked on the public listener at a host of realm main.
var onPublic = []whoRow{
	{"ALICE", "GET", "/v1/me", [7]int{401, 401, 200, 200, 200, 401, 401}, untouched},
	{"ALICE", "GET", "/v1/me/sessions", [7]int{401, 401, 200, 200, 200, 401, 401}, untouched},
	{"ALICE", "DELETE", "/v1/me/sessions/SPARE", [7]int{401, 401, 204, 404, 404, 401, 401}, spareGone},
	{"ALICE", "DELETE", "/v1/me/sessions/SESSION", [7]int{401, 401, 204, 404, 404, 401, 401}, spareLeft},
	{"DAVE", "DELETE", "/v1/me/sessions/SPARE", [7]int{401, 401, 404, 404, 404, 401, 401}, untouched},
	{"ALICE", "GET", "/v1/users/ALICE", [7]int{404, 404, 404, 404, 404, 404, 404}, untouched},
	{"ALICE", "POST", "/v1/users/ALICE/logout", [7]int{404, 404, 404, 404, 404, 404, 404}, untouched},
	{"ALICE", "POST", "/v1/system/realms/main/users/ALICE/logout", [7]int{404, 404, 404, 404, 404, 404, 404}, untouched},
	{"ALICE", "POST", "/v1/config/reload", [7]int{404, 404, 404, 404, 404, 404, 404}, untouched},
}

// onOther is asked there at a host of realm other.
var onOther = []whoRow{
	{"ALICE", "GET", "/v1/me", [7]int{401, 401, 401, 401, 401, 200, 401}, untouched},
	{"ALICE", "GET", "/v1/me/sessions", [7]int{401, 401, 401, 401, 401, 200, 401}, untouched},
	{"ALICE", "DELETE", "/v1/me/sessions/SPARE", [7]int{401, 401, 401, 401, 401, 404, 401}, untouched},
	{"DAVE", "DELETE", "/v1/me/sessions/SPARE", [7]int{401, 401, 401, 401, 401, 404, 401}, untouched},
}

// Every caller, by every credential that he can have, at every endpoint: what he
// is answered, and what has become of the user concerned. What is refused
// changed nothing.
func TestWhoMayThroughTheProgram(t *testing.T) {
	t.Parallel()
	c := newCitizens(t)
	for _, table := range []struct {
		at   string
		host []string
		rows []whoRow
	}{
		{c.admin, nil, onAdmin},
		{c.public, []string{"Host", "main.example"}, onPublic},
		{c.public, []string{"Host", "other.example"}, onOther},
	} {
		for _, row := range table.rows {
			for column, name := range callers {
				for form := range c.credentials(name) {
					c.cell(t, row, name, form, table.at, row.want[column], table.host...)
				}
				if row.method == "GET" || row.want[column] >= 300 {
					c.has(t, fmt.Sprintf("%s %s %v by %s", row.method, row.path, table.host, name), row.about, c.all[row.about].access)
				}
			}
		}
	}
	if n := c.metric(t, "authhost_reloads_total", `target="config"`); n != 1 {
		t.Errorf("%v reloads of the configuration, the operator's is one", n)
	}
	for _, name := range []string{"BOB", "CAROL", "ERIN"} {
		c.has(t, name+" in the end", name, untouched)
	}
	t.Logf("%d cells", c.cells)
	if c.cells < 1000 {
		t.Errorf("only %d cells", c.cells)
	}
}

// cell asks once; where that does something, then about the user concerned.
func (c *citizens) cell(t *testing.T, row whoRow, caller, form, at string, want int, host ...string) {
	t.Helper()
	c.cells++
	p := c.all[row.about]
	what := fmt.Sprintf("%s %s %v by %s (%s)", row.method, row.path, host, caller, form)
	a := ask(t, row.method, at+c.path(t, row.path, p), append(c.credentials(caller)[form], host...)...)
	if a.status != want {
		t.Errorf("%s: %s, want %d", what, a, want)
	}
	switch {
	case a.status == http.StatusOK && row.method == "GET":
		if text := c.shown(t, row.path, caller, p); !strings.Contains(a.body, text) || strings.Contains(a.body, "ahs_") {
			t.Errorf("%s: %s, want %s in it", what, a, text)
		}
	case a.status >= 400:
		if a.header.Get("Content-Type") != "application/problem+json" || strings.Contains(a.body, p.id) {
			t.Errorf("%s: %s", what, a)
		}
	}
	if a.status == http.StatusUnauthorized {
		if c.unknown == "" {
			c.unknown = a.body
		}
		if a.body != c.unknown {
			t.Errorf("%s: a 401 of its own: %s", what, a)
		}
	}
	if row.method != "GET" && want < 300 {
		c.has(t, what, row.about, row.after)
	}
}

// has compares what a user still has. Of whom something has ended, another takes
// the place.
func (c *citizens) has(t *testing.T, what, name string, want access) {
	t.Helper()
	p := c.all[name]
	got := c.stands(t, p)
	if got != want {
		t.Errorf("%s: afterwards %+v, want %+v", what, got, want)
	}
	if got != p.access {
		c.renew(t, name)
	}
}

// path puts ids in the place of names.
func (c *citizens) path(t *testing.T, path string, about *citizen) string {
	t.Helper()
	for name, p := range c.all {
		path = strings.ReplaceAll(path, name, p.id)
	}
	if strings.HasSuffix(path, "SESSION") {
		return strings.TrimSuffix(path, "SESSION") + sessionID(t, about.session.token)
	}
	if strings.HasSuffix(path, "SPARE") {
		return strings.TrimSuffix(path, "SPARE") + sessionID(t, about.spare.token)
	}
	return path
}

// shown is what a caller finds in an answer: of himself where the endpoint is
// his own.
func (c *citizens) shown(t *testing.T, path, caller string, about *citizen) string {
	t.Helper()
	own := strings.HasPrefix(path, "/v1/me")
	if own {
		about = c.all[strings.ToUpper(caller)]
	}
	switch {
	case strings.HasSuffix(path, "/sessions") && about.jwt == "":
		return `"items":[]`
	case strings.HasSuffix(path, "/sessions"):
		return sessionID(t, about.spare.token)
	case own || strings.Contains(path, "/users/"):
		return about.id
	}
	return ""
}
