package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
)

// plugins are the plugins of a rig. Nothing may hold the configuration while
// one is changed.
type plugins struct {
	g    *rig
	list []admin.Plugin
	done []string
	err  error // what a change answers
}

func (p *plugins) List() []admin.Plugin { return append([]admin.Plugin{}, p.list...) }

func (p *plugins) Reload(_ context.Context, name string) error   { return p.change("reload", name) }
func (p *plugins) RollBack(_ context.Context, name string) error { return p.change("rollback", name) }

func (p *plugins) change(what, name string) error {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	if p.g.held != 0 {
		p.g.t.Error("a plugin is changed while the configuration is held")
	}
	for i := range p.list {
		if p.list[i].Name != name {
			continue
		}
		if p.err == nil {
			p.done = append(p.done, what+" "+name)
			p.list[i].Number++
		}
		return p.err
	}
	return &host.Error{Kind: host.NotFound, Public: "no_such_plugin"}
}

func TestPlugins(t *testing.T) {
	g := newRig(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	one := admin.Generation{SHA256: "aa", Version: "1.2.0", Number: 1, LoadedAt: at, Hooks: []string{"on_authorize"}}
	g.plugins.list[0] = admin.Plugin{
		Name: "gate", State: "refused", Generation: one, LastError: "replay: too much", Health: admin.Health{Instances: 2, Idle: 1, Memory: 9, Breakers: []admin.Breaker{{Hook: "on_authorize", Open: true, Failures: 10}}}, Previous: &admin.Generation{Hooks: []string{}},
		Last: admin.Attempt{At: at, SHA256: "bb", Steps: []admin.Step{{Name: "replay", Outcome: "refused", Detail: "too much", Millis: 1.5}}, Asked: 2, Changed: 1,
			Changes: []admin.Change{{Method: "GET", Host: "h", Path: "/x", Roles: []string{}, Old: admin.Answer{Decision: "allow", Status: 200}, New: admin.Answer{Decision: "deny", Status: 403, Reason: "no"}}}},
	}
	const generation = `"sha256":"aa","version":"1.2.0","generation":1,"loaded_at":"2026-01-02T03:04:05Z","hooks":["on_authorize"]`
	const shown = `{"name":"gate","state":"refused",` + generation + `,"last_error":"replay: too much",` +
		`"health":{"instances":2,"idle":1,"memory":9,"breakers":[{"hook":"on_authorize","open":true,"failures":10}]},` +
		`"previous":{"sha256":"","version":"","generation":0,"loaded_at":"0001-01-01T00:00:00Z","hooks":[]},` +
		`"last_attempt":{"at":"2026-01-02T03:04:05Z","sha256":"bb","version":"","steps":[{"step":"replay","outcome":"refused","detail":"too much","ms":1.5}],"asked":2,"changed":1`
	const changes = `,"changes":[{"method":"GET","host":"h","path":"/x","user_id":"","roles":[],"old":{"decision":"allow","status":200,"reason":""},"new":{"decision":"deny","status":403,"reason":"no"}}]`
	if a := g.ask("GET", "/v1/plugins/gate", bearer(operatorToken)...); strings.TrimSpace(a.body) != shown+changes+"}}" {
		t.Errorf("show: %s", a)
	}
	if a := g.ask("GET", "/v1/plugins", bearer(operatorToken)...); !strings.HasPrefix(a.body, `{"items":[`+shown+`}},{"name":"more",`) || !strings.HasSuffix(a.body, "],\"next_page\":null}\n") {
		t.Errorf("list: %s", a)
	}
	g.plugins.list = nil
	if a := g.ask("GET", "/v1/plugins", bearer(operatorToken)...); a.body != "{\"items\":[],\"next_page\":null}\n" {
		t.Errorf("none: %s", a)
	}
}

func TestPluginChanges(t *testing.T) {
	g := newRig(t)
	for path, want := range map[string]string{"reload": "reload gate", "rollback": "rollback gate"} {
		g.plugins.done = nil
		before := g.plugins.list[0].Number
		var p admin.Plugin
		if a := g.ask("POST", "/v1/plugins/gate/"+path, bearer(operatorToken)...); a.status != 200 || json.Unmarshal([]byte(a.body), &p) != nil || p.Number != before+1 {
			t.Errorf("%s: %s", path, a)
		}
		if len(g.plugins.done) != 1 || g.plugins.done[0] != want {
			t.Errorf("%s: %v", path, g.plugins.done)
		}
		if ev := g.last(); ev.Decision.Reason != "operator ann" || ev.Route != "/v1/plugins/{name}/"+path {
			t.Errorf("%s: recorded %+v", path, ev)
		}
	}
	if log := g.log.String(); !strings.Contains(log, `msg="plugin reload asked for" plugin=gate operator=ann applied=true`) || !strings.Contains(log, `msg="plugin rollback asked for"`) {
		t.Errorf("the log: %s", log)
	}

	g.plugins.done = nil
	for _, c := range []struct {
		err    error
		status int
		body   string
	}{
		{&host.Error{Kind: host.Refused, Step: "cases", Public: "ann does not pass"}, 422, `"reason":"ann does not pass","step":"cases"}`},
		{&host.Error{Kind: host.Conflict, Public: "no_previous_version"}, 409, `"reason":"no_previous_version"}`},
		{&host.Error{Kind: host.Unavailable, Public: "authhost is stopping"}, 503, `"reason":"authhost is stopping"}`},
		{errors.New("what nobody foresaw"), 503, `"reason":"internal error"}`},
	} {
		g.plugins.err = c.err
		for _, path := range []string{"reload", "rollback"} {
			a := g.ask("POST", "/v1/plugins/gate/"+path, bearer(operatorToken)...)
			if a.status != c.status || !strings.HasSuffix(strings.TrimSpace(a.body), c.body) {
				t.Errorf("%s, %v: %s", path, c.err, a)
			}
			a.reason(t)
		}
	}
	// So does a reload of the configuration that comes too late.
	g.refuse = &host.Error{Kind: host.Unavailable, Public: "authhost is stopping"}
	if a := g.ask("POST", "/v1/config/reload", bearer(operatorToken)...); a.status != 503 || a.reason(t) != "authhost is stopping" {
		t.Errorf("the configuration: %s", a)
	}
	if g.plugins.done != nil {
		t.Errorf("done all the same: %v", g.plugins.done)
	}
}
