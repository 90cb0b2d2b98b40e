package cases_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/kv/kvtest"
	"github.com/authhost/authhost/host/plugin/cases"
)

// A case's keys behave as those in a cache do.
func TestKeysOfAWorld(t *testing.T) {
	kvtest.Words(t, func(t *testing.T, keys int) kvtest.Keys { return &cases.World{Keys: keys} })
}

// What is fetched is answered by the case, each reply once, the first that fits;
// what none fits is refused.
func TestRepliesOfAWorld(t *testing.T) {
	set := parse(t, `
- name: fetches
  hook: on_authorize
  request: {path: /}
  http:
    - {url: "https://a.example", method: POST, status: 201, body: made}
    - {url: "https://a.example", body: first}
    - {url: "https://a.example", status: 404}
    - {url: "https://b.example", error: timeout}
  expect: {decision: abstain}
- {name: fetches nothing, hook: on_authorize, request: {path: /}, expect: {decision: abstain}}
`)
	var world cases.World
	var got []string
	ask := func(method, url string) {
		f := world.Fetch(t.Context(), host.Fetch{Method: method, URL: url})
		got = append(got, fmt.Sprintf("%d %s%s", f.Status, f.Body, f.Failure))
	}
	s := &fetching{subject: subject{}, ask: ask}
	for _, g := range set.Groups() {
		for _, c := range g.Cases {
			c.Run(t.Context(), s, &world)
		}
	}
	want := []string{"200 first", "201 made", "404 ", "0 refused", "0 timeout", "0 refused", "0 refused", "0 refused", "0 refused", "0 refused", "0 refused", "0 refused"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// fetching is a subject that has the same things fetched in each call.
type fetching struct {
	subject
	ask func(method, url string)
}

func (f *fetching) Host() host.Plugin { return host.Plugin{Authorizer: f} }

func (f *fetching) Authorize(ctx context.Context, c *host.Call) (host.Opinion, error) {
	for _, method := range []string{"GET", "POST", "GET", "GET"} {
		f.ask(method, "https://a.example")
	}
	f.ask("GET", "https://b.example")
	f.ask("GET", "https://c.example")
	return f.subject.Authorize(ctx, c)
}
