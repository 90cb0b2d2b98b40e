package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
)

// remotePlugins are a remote's plugins.
type remotePlugins struct{ s *remote }

func (p remotePlugins) List() []admin.Plugin { return slices.Clone(p.s.plugins) }

func (p remotePlugins) Reload(_ context.Context, name string) error {
	p.s.asked = append(p.s.asked, "reload "+name)
	return p.s.refuse
}

func (p remotePlugins) RollBack(_ context.Context, name string) error {
	p.s.asked = append(p.s.asked, "rollback "+name)
	return p.s.refuse
}

var pluginLoaded = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func (s *remote) havePlugins() {
	generation := func(n int, version string) admin.Generation {
		return admin.Generation{SHA256: strings.Repeat(fmt.Sprint(n), 64), Version: version, Number: n, LoadedAt: pluginLoaded, Hooks: []string{"configure", "on_authorize"}}
	}
	one := generation(1, "1.0.0")
	change := admin.Change{Method: "POST", Host: "console.example", Path: "/x\x1b[2J", UserID: alice, Roles: []string{"viewer"},
		Old: admin.Answer{Decision: "allow", Status: 200, Reason: "fine"}, New: admin.Answer{Decision: "deny", Status: 403, Reason: "viewers may not"}}
	anonymous := change
	anonymous.UserID = ""
	s.plugins = []admin.Plugin{
		{Name: "gate", State: "refused", Generation: generation(2, "1.1.0"), LastError: "replay: 3 of 9 recent decisions would change", Previous: &one,
			Health: admin.Health{Instances: 2, Idle: 1, Memory: 3 << 19, Breakers: []admin.Breaker{{Hook: "on_credential"}, {Hook: "on_authorize", Open: true}}},
			Last: admin.Attempt{At: pluginLoaded, SHA256: strings.Repeat("3", 64), Version: "1.2.0", Asked: 9, Changed: 3, Changes: []admin.Change{change, anonymous},
				Steps: []admin.Step{{Name: "read", Outcome: "ok", Detail: "9 bytes", Millis: 0.25}, {Name: "replay", Outcome: "refused", Detail: "3 of 9 recent decisions would change\nmore", Millis: 12}}}},
		{Name: "other", State: "serving", Generation: generation(1, "")},
	}
}

func TestPluginsList(t *testing.T) {
	s := newRemote(t)
	s.havePlugins()
	t.Setenv("TZ", "UTC")
	code, out, problems := s.run("operator", "plugins", "list")
	lines := strings.Split(out, "\n")
	if code != exitDone || problems != "" || len(lines) != 4 ||
		!strings.HasPrefix(lines[1], "gate ") || !strings.HasSuffix(lines[1], "replay: 3 of 9 recent decisions would change") || !strings.Contains(lines[1], " 222222222222 ") ||
		!slices.Equal(strings.Fields(lines[2])[:5], []string{"other", "serving", "1", "-", "111111111111"}) {
		t.Errorf("%d\n%s%s", code, out, problems)
	}
	code, out, _ = s.run("operator", "plugins", "list", "--output", "json")
	var all struct {
		Items []struct {
			Name       string
			Generation int
		}
		Next any `json:"next_page"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitDone || len(all.Items) != 2 || all.Items[0].Generation != 2 {
		t.Errorf("%d %s", code, out)
	}
}

// Whoever looks sees at once what serves, where the last attempt stopped, and
// what it would have changed.
func TestPluginsShow(t *testing.T) {
	s := newRemote(t)
	s.havePlugins()
	t.Setenv("TZ", "UTC")
	at := pluginLoaded.Local().Format("2006-01-02 15:04:05 MST")
	want := `plugin      gate
state       refused
serves      generation 2, version 1.1.0, sha256 ` + strings.Repeat("2", 64) + `, loaded ` + at + `
hooks       configure on_authorize
health      2 instances, 1 idle, 1.5 MiB; on_authorize fails whoever asks, and is not asked for a while
previous    generation 1, version 1.0.0, sha256 ` + strings.Repeat("1", 64) + `, loaded ` + at + `
last error  replay: 3 of 9 recent decisions would change

last attempt, of 333333333333, version 1.2.0, ` + at + `:
STEP    OUTCOME  MS    DETAIL
read    ok       0.2   9 bytes
replay  refused  12.0  3 of 9 recent decisions would change
                       more

3 of 9 recent decisions differ:
POST console.example/x?[2J by ` + alice + `, roles [viewer]
  old: allow 200 fine
  new: deny 403 viewers may not
POST console.example/x?[2J by anonymous
  old: allow 200 fine
  new: deny 403 viewers may not
and 1 more
`
	for verb, asked := range map[string]string{"show": "", "reload": "reload gate", "rollback": "rollback gate"} {
		s.asked = nil
		code, out, problems := s.run("operator", "plugins", verb, "gate")
		if code != exitDone || problems != "" || out != want {
			t.Errorf("%s: %d\n%s%s\nwant\n%s", verb, code, out, problems, want)
		}
		if strings.Join(s.asked, ",") != asked {
			t.Errorf("%s: asked for %q", verb, s.asked)
		}
		code, out, _ = s.run("operator", "plugins", verb, "gate", "--output", "json")
		var p admin.Plugin
		if err := json.Unmarshal([]byte(out), &p); err != nil || code != exitDone || p.Last.Changes[0].New.Reason != "viewers may not" {
			t.Errorf("%s: %d %s", verb, code, out)
		}
	}
	if code, out, _ := s.run("operator", "plugins", "show", "other"); code != exitDone || !strings.Contains(out, "previous    none\n") {
		t.Errorf("%d %s", code, out)
	}
}

func TestPluginsRefused(t *testing.T) {
	s := newRemote(t)
	s.havePlugins()
	for _, verb := range []string{"show", "reload", "rollback"} {
		for as, want := range map[string]string{"carol": "403 Forbidden: not_allowed", "alice": "403 Forbidden: not_allowed"} {
			if code, out, problems := s.run(as, "plugins", verb, "gate"); code != exitRefused || out != "" || !strings.Contains(problems, want) {
				t.Errorf("%s by %s: %d %s%s", verb, as, code, out, problems)
			}
		}
	}
	if code, _, problems := s.run("operator", "plugins", "show", "none"); code != exitRefused || !strings.Contains(problems, "404 Not Found: no_such_plugin") {
		t.Errorf("%d %s", code, problems)
	}
	for want, err := range map[string]error{
		"authhost: refused: 422 Unprocessable Entity: step cases: g.yaml:2: one\n  g.yaml:9: two?[2J\n": &host.Error{Kind: host.Refused, Step: "cases", Public: "g.yaml:2: one\ng.yaml:9: two\x1b[2J"},
		"authhost: refused: 409 Conflict: no_previous_version\n":                                        &host.Error{Kind: host.Conflict, Public: "no_previous_version"},
		"authhost: refused: 503 Service Unavailable: authhost is stopping\n":                            &host.Error{Kind: host.Unavailable, Public: "authhost is stopping"},
	} {
		s.refuse = err
		for _, verb := range []string{"reload", "rollback"} {
			if code, out, problems := s.run("operator", "plugins", verb, "gate"); code != exitRefused || out != "" || problems != want {
				t.Errorf("%s: %d %s%q", verb, code, out, problems)
			}
		}
	}
}

func TestPluginsUsage(t *testing.T) {
	s := newRemote(t)
	for _, args := range [][]string{
		{"plugins"}, {"plugins", "list", "gate"}, {"plugins", "show"}, {"plugins", "reload"}, {"plugins", "rollback", ""}, {"plugins", "rollback", "a", "b"}, {"plugins", "remove", "gate"},
	} {
		var out, problems bytes.Buffer
		if code := run(t.Context(), append(args, "--server", s.URL, "--token-file", filepath.Join(s.dir, "operator")), &out, &problems); code != exitUsage || out.Len() > 0 || !strings.Contains(problems.String(), "want one of: list, show NAME, reload NAME, rollback NAME") {
			t.Errorf("%v: %d %s%s", args, code, &out, &problems)
		}
	}
}
