package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// call is a request.
type call struct {
	method, path, user, client, realm string
	time                              int64
}

func (c *call) Method() string { return c.method }
func (c *call) Path() string   { return c.path }
func (c *call) UserID() string { return c.user }
func (c *call) Client() string { return c.client }
func (c *call) Realm() string  { return c.realm }
func (c *call) Time() int64    { return c.time }

// counters counts as the host does, and never runs out of keys but for most.
type counters struct {
	sums map[string]int64
	most int
	ttls []int64
}

func (c *counters) add(key string, seconds int64) (int64, bool) {
	if c.sums == nil {
		c.sums = map[string]int64{}
	}
	if _, there := c.sums[key]; !there && c.most > 0 && len(c.sums) == c.most {
		return 0, false
	}
	c.ttls = append(c.ttls, seconds)
	c.sums[key]++
	return c.sums[key], true
}

func parse(t *testing.T, config string) *policy {
	t.Helper()
	p, err := parseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLimit(t *testing.T) {
	p := parse(t, `{"rules":[{"path":"/api/**","by":"user","limit":2,"window":"10s"},{"path":"/api/sync","methods":["POST"],"by":"realm","limit":1,"window":"1m"}]}`)
	var c counters
	ask := func(r call, want string) {
		t.Helper()
		got, v := "", p.judge(&r, c.add)
		if v.rule != nil {
			got = v.rule.reason
		}
		if got != want || v.crowded {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	const first, second = "rules[0]: 2 in 10s by user", "rules[1]: 1 in 1m by realm"
	ann := call{method: "GET", path: "/api/a", user: "usr_a", client: "192.0.2.1", realm: "main", time: 1007}
	ask(ann, "")
	ask(ann, "")
	ask(ann, first)
	if v := p.judge(&ann, c.add); v.wait != 3 {
		t.Errorf("wait %d seconds", v.wait)
	}
	other := ann
	other.path = "/elsewhere"
	ask(other, "")
	other.path = "/API/a." // as some routers read it
	ask(other, first)
	bob := ann
	bob.user = "usr_b"
	ask(bob, "")
	bob.method, bob.path = "POST", "/api/sync"
	ask(bob, "")
	ask(bob, first)
	carl := bob
	carl.user = "usr_c"
	ask(carl, second)
	carl.realm, carl.user = "acme", "usr_d"
	ask(carl, "")
	ann.time = 1010 // another window
	ask(ann, "")
	if slices.Max(c.ttls) > 60 || slices.Min(c.ttls) < 3 {
		t.Errorf("deadlines %d", c.ttls)
	}
}

// What answers GET answers HEAD, too, and does the same work for it.
func TestGetCoversHead(t *testing.T) {
	p := parse(t, `{"rules":[{"path":"/export","methods":["GET"],"by":"user","limit":1,"window":"10s"}]}`)
	var c counters
	for i, method := range []string{"POST", "OPTIONS", "GET", "HEAD"} {
		v := p.judge(&call{method: method, path: "/export", user: "usr_a"}, c.add)
		if limited := v.rule != nil; limited != (i == 3) {
			t.Errorf("%s: limited %t", method, limited)
		}
	}
}

func TestSubjects(t *testing.T) {
	for by, want := range map[string][]string{
		"user":   {"usr_a", "main/192.0.2.1", "main/2001:db8:0:1::", "main/2001:db8:0:1::"},
		"client": {"main/192.0.2.1", "main/192.0.2.1", "main/2001:db8:0:1::", "main/2001:db8:0:1::"},
		"realm":  {"main", "main", "main", "main"},
	} {
		r := &rule{by: by}
		for i, c := range []call{
			{user: "usr_a", client: "192.0.2.1", realm: "main"}, {client: "192.0.2.1", realm: "main"},
			{client: "2001:db8:0:1::5", realm: "main"}, {client: "2001:db8:0:1:ffff::7", realm: "main"},
		} {
			if got := r.subject(&c); got != want[i] {
				t.Errorf("by %s: %q, want %q", by, got, want[i])
			}
		}
	}
}

// Without a key to count by, nobody passes.
func TestOutOfKeys(t *testing.T) {
	p := parse(t, `{"rules":[{"path":"/**","by":"user","limit":2,"window":"10s"}]}`)
	c := counters{most: 1}
	if v := p.judge(&call{path: "/", user: "usr_a"}, c.add); v.rule != nil {
		t.Errorf("%+v", v)
	}
	if v := p.judge(&call{path: "/", user: "usr_b"}, c.add); !v.crowded || v.rule == nil || v.wait < 1 {
		t.Errorf("%+v", v)
	}
}

// A rule keeps its counters when others come before it, and when its limit is
// another.
func TestNamesOfRules(t *testing.T) {
	one := parse(t, `{"rules":[{"path":"/a","by":"user","limit":2,"window":"10s"}]}`)
	two := parse(t, `{"rules":[{"path":"/b","by":"user","limit":2,"window":"10s"},{"path":"/a","by":"user","limit":9,"window":"10s"},{"path":"/a","by":"user","limit":9,"window":"11s"}]}`)
	names := map[string]bool{}
	for _, r := range two.rules {
		names[r.name] = true
	}
	if two.rules[1].name != one.rules[0].name || len(names) != 3 {
		t.Errorf("%v, %v", slices.Collect(maps.Keys(names)), one.rules[0].name)
	}
}

func TestConfigRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                                     "rules is empty",
		`{"limits":[]}`:                          "unknown key",
		`{"rules":[{}]}`:                         "rules[0]: path is missing",
		`{"rules":[{"path":"a"}]}`:               "does not begin with /",
		`{"rules":[{"path":"/a","methods":[]}]}`: "methods is empty",
		`{"rules":[{"path":"/a","methods":["get"]}]}`:                                                                     "is not an upper-case method",
		`{"rules":[{"path":"/a","methods":["GET,POST"]}]}`:                                                                "is not an upper-case method",
		`{"rules":[{"path":"/a","methods":["GET\n"]}]}`:                                                                   "is not an upper-case method",
		`{"rules":[{"path":"/a","by":"ip"}]}`:                                                                             "none of user, client, realm",
		`{"rules":[{"path":"/a","by":"user"}]}`:                                                                           "limit 0 is not",
		`{"rules":[{"path":"/a","by":"user","limit":1}]}`:                                                                 "window",
		`{"rules":[{"path":"/a","by":"user","limit":1,"window":"1500ms"}]}`:                                               "window",
		`{"rules":[{"path":"/a","by":"user","limit":1,"window":"25h"}]}`:                                                  "window",
		`{"rules":[{"path":"/a","by":"user","limit":1,"window":"1s","burst":1}]}`:                                         "unknown key",
		`{"rules":[{"path":"/a","by":"user","limit":1,"window":"1s"},{"path":"/a","by":"user","limit":2,"window":"1s"}]}`: "rules[1] is there twice",
	} {
		if _, err := parseConfig([]byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}
