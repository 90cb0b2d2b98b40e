package cases_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/cases"
)

// door is a subject that is asked at logins and logouts, by functions.
type door struct {
	admit  func(c *host.Call) (host.Admission, error)
	notify func(c *host.Call) ([]host.Fetch, error)
}

func (d *door) Hooks() []string                                               { return []string{"on_login", "on_logout"} }
func (d *door) Host() host.Plugin                                             { return host.Plugin{Admitter: d, Notifier: d} }
func (d *door) Close(context.Context) error                                   { return nil }
func (d *door) Admit(_ context.Context, c *host.Call) (host.Admission, error) { return d.admit(c) }
func (d *door) Notify(_ context.Context, c *host.Call) ([]host.Fetch, error)  { return d.notify(c) }

func (d *door) check(t *testing.T, text string) error {
	t.Helper()
	set, err := cases.Parse("door.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return set.Check(t.Context(), func(context.Context, []byte, bool, *cases.World) (cases.Subject, error) { return d, nil })
}

func TestCasesOfLogins(t *testing.T) {
	d := &door{admit: func(c *host.Call) (host.Admission, error) {
		if c.Request.Client.String() == "203.0.113.7" {
			return host.Admission{Refused: true, Kind: host.TooManyRequests, Reason: "slow down", Headers: []host.Header{{Name: "Retry-After", Value: "7"}}}, nil
		}
		if c.Terms.Idle != cases.Now().Add(8*time.Hour) || c.Terms.Absolute.Year() != 2027 || c.Identity.Subject != "ann" || c.Route != "" {
			return host.Admission{}, fmt.Errorf("shown %+v", c.Terms)
		}
		return host.Admission{Terms: host.Terms{Idle: cases.Now().Add(time.Minute), Attributes: map[string]string{"tier": "guest"}}}, nil
	}}
	const text = `
- name: a guest
  hook: on_login
  request: {path: /v1/login}
  identity: {sub: ann}
  deadlines: {absolute: 2027-01-01T00:00:00Z}
  expect: {decision: go_on, idle: "IDLE", attributes: {tier: guest}}
- name: too many
  hook: on_login
  request: {path: /v1/login, client: 203.0.113.7}
  identity: {sub: ann}
  expect: {decision: refuse, status: 429, reason: slow down, headers: {Retry-After: "7"}}
`
	if err := d.check(t, strings.ReplaceAll(text, "IDLE", "2026-01-01T00:01:00Z")); err != nil {
		t.Error(err)
	}
	err := d.check(t, strings.NewReplacer("IDLE", "2026-01-01T00:02:00Z", "guest}", "other, more: x}", "429", "403").Replace(text))
	want := `door.yaml:2: case "a guest": attributes.more: want "x", got none
door.yaml:2: case "a guest": attributes.tier: want "other", got "guest"
door.yaml:2: case "a guest": idle: want "2026-01-01T00:02:00Z", got "2026-01-01T00:01:00Z"
door.yaml:8: case "too many": status: want 403, got 429`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestCasesOfLogouts(t *testing.T) {
	var shown []host.Ended
	d := &door{notify: func(c *host.Call) ([]host.Fetch, error) {
		if c.Request != nil {
			return nil, fmt.Errorf("there is a request")
		}
		shown = append(shown, *c.Ended)
		return []host.Fetch{{Method: "POST", URL: "https://a.example/", Headers: []host.Header{{Name: "x-a", Value: "1"}}, Body: []byte("{}")}}, nil
	}}
	const text = `
- name: told
  hook: on_logout
  ended: {why: idle, what: session, user_id: usr_ann, sessions: [ses_a], at: 2026-01-01T00:00:05Z}
  expect: {decision: ok, calls: [{url: "https://a.example/", headers: {X-A: "1"}, body: "{}"}]}
`
	if err := d.check(t, text); err != nil {
		t.Error(err)
	}
	if e := shown[0]; e.ID != "evt_case" || e.UserID != "usr_ann" || e.Why != "idle" || !slices.Equal(e.Sessions, []string{"ses_a"}) || e.At != cases.Now().Add(5*time.Second) {
		t.Errorf("shown %+v", e)
	}
	err := d.check(t, strings.Replace(text, `calls: [`, `calls: [{url: "https://b.example/"}, `, 1))
	if err == nil || !strings.Contains(err.Error(), `calls[0].url: want "https://b.example/", got "https://a.example/"`) || !strings.Contains(err.Error(), `calls[1].url: want "https://a.example/", got none`) {
		t.Errorf("got %v", err)
	}
}
