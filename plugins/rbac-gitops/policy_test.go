package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// user is a caller with these roles; nil is anonymous.
type user []string

// call is a request, and counts how often its roles are looked at.
type call struct {
	user         user
	method, path string
	asked        int
}

func (c *call) Method() string  { return c.method }
func (c *call) Path() string    { return c.path }
func (c *call) Anonymous() bool { return c.user == nil }
func (c *call) HasRole(role string) bool {
	c.asked++
	return slices.Contains(c.user, role)
}

var (
	anonymous user
	nobody    = user{}
	stranger  = user{"owner", "Editor", "editor "}
	viewer    = user{"viewer"}
	editor    = user{"editor"}
	admin     = user{"admin"}
)

func (a answer) String() string {
	return strings.TrimSpace([]string{"abstain", "allow", "deny"}[a.effect] + " " + a.reason)
}

func parse(t testing.TB, config string) *policy {
	t.Helper()
	p, err := parseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// example returns the configuration in example.yaml as JSON. It knows the one
// form that the file is written in: a line for each key, rules as flow maps.
func example(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var keys, rules []string
	scalar := regexp.MustCompile(`[A-Za-z/_][\w/-]*`)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		line = scalar.ReplaceAllString(strings.TrimSpace(line), `"$0"`)
		switch rule, isRule := strings.CutPrefix(line, "- "); {
		case isRule:
			rules = append(rules, rule)
		case line != "" && !strings.HasSuffix(line, ":"):
			keys = append(keys, strings.NewReplacer(`"true"`, "true", `"false"`, "false").Replace(line))
		}
	}
	return fmt.Sprintf(`{%s, "rules": [%s]}`, strings.Join(keys, ", "), strings.Join(rules, ", "))
}

func TestExamplePolicy(t *testing.T) {
	p := parse(t, example(t))
	endpoints := []struct{ path, need string }{
		{"/api/gitops/sync", "editor"},
		{"/api/gitops/helm-upgrade", "editor"},
		{"/api/gitops/helm-uninstall", "editor"},
		{"/api/gitops/helm-rollback", "editor"},
		{"/api/gitops/argocd/sync", "editor"},
		{"/api/gitops/detect-drift", "viewer"},
	}
	if len(p.methods) != 1 || len(p.methods[0].rules) != len(endpoints) {
		t.Fatalf("the example has other rules than this test: %+v", p.methods)
	}
	rank := map[string]int{"viewer": 1, "editor": 2, "admin": 3}
	for i, e := range endpoints {
		needs := fmt.Sprintf("rules[%d] needs %s", i, e.need)
		for _, name := range []string{"viewer", "editor", "admin"} {
			want := "deny " + needs
			if rank[name] >= rank[e.need] {
				want = fmt.Sprintf("allow rules[%d]: %s", i, e.need)
			}
			for _, who := range []user{{name}, {"offline_access", name, "owner"}} {
				if got := p.decide(&call{user: who, method: "POST", path: e.path}).String(); got != want {
					t.Errorf("POST %s by %v: %s, want %s", e.path, who, got, want)
				}
			}
		}
		for _, test := range []struct {
			who  user
			want string
		}{
			{anonymous, "deny " + needs + ": anonymous"},
			{nobody, "deny " + needs + ": no known role"},
			{stranger, "deny " + needs + ": no known role"},
		} {
			if got := p.decide(&call{user: test.who, method: "POST", path: e.path}).String(); got != test.want {
				t.Errorf("POST %s by %v: %s, want %s", e.path, test.who, got, test.want)
			}
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS", "DELETE"} {
			if got := p.decide(&call{user: anonymous, method: method, path: e.path}).String(); got != "abstain" {
				t.Errorf("%s %s: %s", method, e.path, got)
			}
		}
	}
	for _, path := range []string{"/", "/api/gitops", "/api/gitops/", "/api/gitops/sync2", "/api/gitops/syn",
		"/api/gitops/sync/x", "/api/gitops/argocd", "/x/api/gitops/sync", "/api/gitops/status", "/api/gitopssync"} {
		if got := p.decide(&call{user: anonymous, method: "POST", path: path}).String(); got != "abstain" {
			t.Errorf("POST %s: %s", path, got)
		}
	}
}

func TestFirstMatchDecides(t *testing.T) {
	p := parse(t, `{"rules":[
		{"methods":["DELETE"],"path":"/apps/demo","role":"viewer"},
		{"methods":["DELETE"],"path":"/apps/*","role":"admin"},
		{"path":"/apps/**","role":"editor"},
		{"path":"/apps/public","role":"viewer"}]}`)
	tests := []struct {
		method, path string
		who          user
		want         string
	}{
		{"DELETE", "/apps/demo", viewer, "allow rules[0]: viewer"},
		{"DELETE", "/apps/other", viewer, "deny rules[1] needs admin"},
		{"DELETE", "/apps/other", editor, "deny rules[1] needs admin"},
		{"DELETE", "/apps/other", admin, "allow rules[1]: admin"},
		{"DELETE", "/apps/other/pod", editor, "allow rules[2]: editor"},
		{"POST", "/apps/demo", viewer, "deny rules[2] needs editor"},
		{"POST", "/apps/public", viewer, "deny rules[2] needs editor"},
		{"POST", "/apps", editor, "allow rules[2]: editor"},
		{"POST", "/app", anonymous, "abstain"},
	}
	for _, test := range tests {
		if got := p.decide(&call{user: test.who, method: test.method, path: test.path}).String(); got != test.want {
			t.Errorf("%s %s by %v: %s, want %s", test.method, test.path, test.who, got, test.want)
		}
	}
}

func TestMethods(t *testing.T) {
	p := parse(t, `{"rules":[
		{"methods":["GET","PURGE"],"path":"/cache","role":"admin"},
		{"methods":["HEAD"],"path":"/head","role":"admin"},
		{"path":"/any","role":"admin"}]}`)
	guarded := map[string][]string{
		"/cache": {"GET", "HEAD", "PURGE"},
		"/head":  {"HEAD"},
		"/any":   {"GET", "HEAD", "PURGE", "POST", "BREW", "get", ""},
	}
	for path, methods := range guarded {
		for _, m := range []string{"GET", "HEAD", "PURGE", "POST", "BREW", "get", ""} {
			want := "abstain"
			if slices.Contains(methods, m) {
				want = "deny"
			}
			if got := p.decide(&call{user: viewer, method: m, path: path}).String(); !strings.HasPrefix(got, want) {
				t.Errorf("%s %s: %s, want %s", m, path, got, want)
			}
		}
	}
}

func TestRolesOfTheConfiguration(t *testing.T) {
	p := parse(t, `{"roles":["guest","ops"],"rules":[{"path":"/a","role":"guest"},{"path":"/b","role":"ops"}]}`)
	tests := []struct {
		path string
		who  user
		want string
	}{
		{"/a", user{"guest"}, "allow rules[0]: guest"},
		{"/a", user{"ops"}, "allow rules[0]: guest"},
		{"/a", admin, "deny rules[0] needs guest: no known role"},
		{"/b", user{"guest"}, "deny rules[1] needs ops"},
		{"/b", user{"guest", "ops"}, "allow rules[1]: ops"},
		{"/b", user{"ops", "guest"}, "allow rules[1]: ops"},
		{"/b", user{"OPS"}, "deny rules[1] needs ops: no known role"},
	}
	for _, test := range tests {
		if got := p.decide(&call{user: test.who, method: "GET", path: test.path}).String(); got != test.want {
			t.Errorf("%s by %v: %s, want %s", test.path, test.who, got, test.want)
		}
	}
}

func TestRolesAreJudgedOnlyWhenARuleMatches(t *testing.T) {
	p := parse(t, example(t))
	for path, want := range map[string]bool{"/api/gitops/status": false, "/favicon.ico": false, "/api/gitops/sync": true} {
		r := call{user: editor, method: "POST", path: path}
		p.decide(&r)
		if got := r.asked > 0; got != want {
			t.Errorf("%s: roles were looked at %d times", path, r.asked)
		}
	}
}

// Whatever cannot be read as a path is denied where a rule could be meant.
func TestNoPathIsDenied(t *testing.T) {
	p := parse(t, example(t))
	for _, path := range []string{"", "*", "api/gitops/sync"} {
		if got := p.decide(&call{user: admin, method: "POST", path: path}).String(); got != "deny path does not begin with /" {
			t.Errorf("%q: %s", path, got)
		}
	}
}

func TestDecidingAllocatesNothing(t *testing.T) {
	p := parse(t, `{"rules":[{"methods":["POST"],"path":"/api/gitops/sync","role":"editor"},
		{"path":"/api/*/x","role":"editor"},{"path":"/ärger/**","role":"editor"}]}`)
	for _, path := range []string{"/", "/api/gitops/sync", "/API/gitops/sync/", "/api/gitops/sync.json", "/api/%/x",
		"/api/ gitops. /ſync", "/ÄRGER/a", "/api/gitops/" + strings.Repeat("x", 200), "/api/gitops/\xff"} {
		r := &call{user: viewer, method: "POST", path: path}
		if n := testing.AllocsPerRun(100, func() { p.decide(r) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := parse(b, example(b))
	for _, path := range []string{"/api/gitops/sync", "/api/gitops/detect-drift", "/api/gitops/status", "/api/clusters", "/assets/app.js"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			r := &call{user: editor, method: "POST", path: path}
			for b.Loop() {
				p.decide(r)
			}
		})
	}
}
