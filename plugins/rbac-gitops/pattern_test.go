package main

import (
	"fmt"
	"strings"
	"testing"
)

// one returns a policy of one rule that only admins meet.
func one(t testing.TB, path string, exact bool) *policy {
	t.Helper()
	return parse(t, fmt.Sprintf(`{"rules":[{"path":%q,"role":"admin"}],"case_sensitive":%v}`, path, exact))
}

// fit says how a policy of one rule covers a path: exactly, loosely or not.
func fit(p *policy, path string) string {
	allows := p.decide(&call{user: admin, method: "GET", path: path}).effect == allow
	denies := p.decide(&call{user: viewer, method: "GET", path: path}).effect == deny
	switch {
	case allows && denies:
		return "yes"
	case denies:
		return "loosely"
	case allows:
		return "allows only"
	}
	return "no"
}

func TestPathsCovered(t *testing.T) {
	tests := []struct{ pattern, path, want string }{
		{"/a/b", "/a/b", "yes"},
		{"/a/b", "/a", "no"},
		{"/a/b", "/a/b/c", "no"},
		{"/a/b", "/a/bc", "no"},
		{"/a/b", "/x/b", "no"},
		{"/api/gitops/sync", "/api/gitops/sync", "yes"},
		{"/api/gitops/sync", "/api/gitops/sync/sync", "no"},
		{"/api/gitops/sync", "/api/gitops/synced", "no"},
		{"/api/gitops/sync", "/api/gitopsXsync", "no"},
		{"/", "/", "yes"},
		{"/", "/a", "no"},
		{"/**", "/", "yes"},
		{"/**", "/a", "yes"},
		{"/**", "/a/b.c/", "yes"},
		{"/*", "/", "no"},
		{"/*", "/a", "yes"},
		{"/*", "/a/b", "no"},
		{"/*/**", "/", "no"},
		{"/*/**", "/a", "yes"},
		{"/*/**", "/a/b/c", "yes"},
		{"/a/*/c", "/a/b/c", "yes"},
		{"/a/*/c", "/a/c", "no"},
		{"/a/*/c", "/a//c", "no"},
		{"/a/*/c", "/a/b/b/c", "no"},
		{"/a/*", "/a/", "no"},
		{"/a/*", "/a/b.c", "yes"},
		{"/a/**", "/a", "yes"},
		{"/a/**", "/a/b/c", "yes"},
		{"/a/**", "/ab", "no"},
		{"/a/*/**", "/a", "no"},
		{"/a/*/**", "/a/b", "yes"},
		{"/api/gitops/**", "/api/gitops", "yes"},
		{"/api/gitops/**", "/api/gitops/sync", "yes"},
		{"/api/gitops/**", "/api/gitopsy", "no"},
		{"/a/" + strings.Repeat("long", 50), "/a/" + strings.Repeat("long", 50), "yes"},
		{"/a/" + strings.Repeat("long", 50), "/a/" + strings.Repeat("long", 49) + "lonG", "yes"},
		{"/a/" + strings.Repeat("long", 50), "/a/" + strings.Repeat("long", 49) + "LOng/", "yes"},
		{"/a/" + strings.Repeat("long", 50), "/a/" + strings.Repeat("long", 48) + "lingLOng", "no"},
		{"/a/" + strings.Repeat("long", 50) + "/**", "/a/" + strings.Repeat("long", 50) + "/b", "yes"},

		// What a lenient router takes for the same.
		{"/a/b", "/a/b/", "yes"},
		{"/a/b/", "/a/b", "yes"},
		{"/a/*", "/a/b/", "yes"},
		{"/api/gitops/sync", "/api/gitops/sync/", "yes"},
		{"/api/gitops/sync", "/API/GitOps/SYNC", "yes"},
		{"/api/gitops/sync", "/API/GitOps/SYNC/", "yes"},
		{"/API/GitOps/Sync", "/api/gitops/sync", "yes"},
		{"/api/gitops/sync", "/api/gitopſ/ſync", "yes"},      // long s
		{"/api/kube", "/api/\u212aube/", "yes"},              // Kelvin sign
		{"/api/\u212aube", "/api/kube", "yes"},               // and in the rule
		{"/api/gitops/sync", "/apİ/gıtops/sync", "yes"},      // Turkish i
		{"/straße", "/STRAẞE", "yes"},                        //
		{"/ärger/σας", "/ÄRGER/ΣΑΣ", "yes"},                  //
		{"/api/gitops/sync", "/aþi/gitops/sync", "no"},       //
		{"/api/gitops/sync", "/api/gitops/syn\u212a", "no"},  //
		{"/api/gitops/sync", "/api/gitops/sync\u0301", "no"}, // another letter
		{"/*/gitops/**", "/api/GITOPS/x", "yes"},

		// What some routers take for the same: guarded, too, but never allowed.
		{"/api/gitops/sync", "/api/gitops/sync.json", "loosely"},
		{"/api/gitops/sync", "/api/gitops/SYNC.tar.gz/", "loosely"},
		{"/api/gitops/sync", "/api/gitops/sync.", "loosely"},
		{"/api/gitops/sync", "/api/gitops/sync ", "loosely"},
		{"/api/gitops/sync", "/api/gitops/ sync", "loosely"},
		{"/api/gitops/sync", "/api/gitops/sync . ./", "loosely"},
		{"/api/gitops/sync", "/api. /gitops../sync", "loosely"},
		{"/api/gitops/sync", "/api/ /gitops/sync", "loosely"},
		{"/api/gitops/sync", "/api/gitops/sync/ ", "loosely"},
		{"/api/gitops/sync", "/api/gitops/sync\u00a0", "loosely"},
		{"/api/gitops/sync", "/api/gitops/sync\u2003/", "loosely"},
		{"/api/gitops/sync", "/api/gitops/sync.json/x", "no"},
		{"/api/gitops/sync", "/api/gitops.json/sync", "no"},
		{"/api/gitops/sync", "/api/gitops/.sync", "no"},
		{"/api/gitops/sync", "/api/gitops/sync-1.json", "no"},
		{"/api/gitops/**", "/api/gitops./sync", "loosely"},
		{"/api/gitops/**", "/api/gitops.json", "loosely"},
		{"/api/gitops/**", "/api/gitops/app.js", "yes"},
		{"/assets/app.js", "/assets/app.js", "yes"},
		{"/assets/app.js", "/assets/app.js.map", "loosely"},
		{"/assets/app.js", "/assets/app", "no"},
		{"/a/*/c", "/a/ /c", "yes"},
		{"/a/*/c", "/a/b/c.json", "loosely"},
		{"/a/*/c", "/a/ /b/c", "loosely"},
		{"/v1.", "/v1.", "yes"},
		{"/v1.", "/v1", "no"},
	}
	for _, test := range tests {
		if got := fit(one(t, test.pattern, false), test.path); got != test.want {
			t.Errorf("%s covers %q: %s, want %s", test.pattern, test.path, got, test.want)
		}
	}
}

// Paths of every length up to 40 bytes, each with one or two bytes that are
// not the pattern's: whatever their place and value, the rule is not theirs.
func TestEveryByteCounts(t *testing.T) {
	for n := 2; n <= 40; n++ {
		text := "/" + strings.Repeat("s-yncapi", 5)[:n-1]
		p := one(t, text, false)
		for i := 1; i < n; i++ {
			for _, c := range []byte("0GZk_~!") {
				path := []byte(text)
				path[i] = c
				if got := fit(p, string(path)); got != "no" && !strings.EqualFold(string(path), text) {
					t.Fatalf("%q covers %q: %s", text, path, got)
				}
				path[1+(i+7)%(n-1)] = c
				if got := fit(p, string(path)); got != "no" && !strings.EqualFold(string(path), text) {
					t.Fatalf("%q covers %q: %s", text, path, got)
				}
			}
		}
	}
}

func TestCaseSensitive(t *testing.T) {
	tests := []struct{ pattern, path, want string }{
		{"/api/gitops/Sync", "/api/gitops/Sync", "yes"},
		{"/api/gitops/Sync", "/api/gitops/Sync/", "yes"},
		{"/api/gitops/Sync", "/api/gitops/Sync.json", "loosely"},
		{"/api/gitops/Sync", "/api/gitops/sync", "no"},
		{"/api/gitops/sync", "/api/gitops/ſync", "no"},
		{"/api/*/Sync", "/api/GITOPS/Sync", "yes"},
		{"/api/*/Sync", "/API/gitops/Sync", "no"},
		{"/A", "/a", "no"},
	}
	for _, test := range tests {
		if got := fit(one(t, test.pattern, true), test.path); got != test.want {
			t.Errorf("%s covers %q: %s, want %s", test.pattern, test.path, got, test.want)
		}
	}
}

// A loose match demands its role and leaves the rest to the rules after it.
func TestLooseMatchOnlyDenies(t *testing.T) {
	p := parse(t, `{"rules":[
		{"path":"/users","role":"editor"},
		{"path":"/users.csv","role":"admin"},
		{"path":"/open","role":"viewer"}]}`)
	tests := []struct {
		path string
		who  user
		want string
	}{
		{"/users", editor, "allow rules[0]: editor"},
		{"/users.csv", viewer, "deny rules[0] needs editor"},
		{"/users.csv", editor, "deny rules[1] needs admin"},
		{"/users.csv", admin, "allow rules[1]: admin"},
		{"/users.xml", editor, "abstain"},
		{"/users.xml", anonymous, "deny rules[0] needs editor: anonymous"},
		{"/open.", nobody, "deny rules[2] needs viewer: no known role"},
		{"/open.", viewer, "abstain"},
	}
	for _, test := range tests {
		if got := p.decide(&call{user: test.who, method: "GET", path: test.path}).String(); got != test.want {
			t.Errorf("%s by %v: %s, want %s", test.path, test.who, got, test.want)
		}
	}
}
