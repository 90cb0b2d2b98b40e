package main

import "testing"

func TestConfigRefused(t *testing.T) {
	rule := func(text string) string {
		return `{"rules":[{"path":"/ok","role":"viewer"},{"path":"/ok","role":"viewer"},` + text + `]}`
	}
	tests := []struct{ config, want string }{
		{``, "rules is empty: nothing would be guarded"},
		{`{}`, "rules is empty: nothing would be guarded"},
		{`{"rules":[]}`, "rules is empty: nothing would be guarded"},
		{`{"rules":null}`, "rules: no value"},
		{`{"rules":{"path":"/a"}}`, "rules: object where a list belongs"},
		{`{"rule":[]}`, `unknown key "rule", known are case_sensitive, roles, rules`},
		{`[]`, "array where an object belongs"},
		{`{"rules":[{"path":"/a","role":"viewer"}]} x`, "not JSON: invalid character 'x' after top-level value"},
		{`{"case_sensitive":"no","rules":[{"path":"/a","role":"viewer"}]}`, "case_sensitive: string where true or false belongs"},
		{`{"roles":[],"rules":[{"path":"/a","role":"viewer"}]}`, "roles is empty"},
		{`{"roles":["a",""],"rules":[{"path":"/a","role":"a"}]}`, `roles[1]: "" is not a role's name`},
		{`{"roles":["a\n"],"rules":[{"path":"/a","role":"a"}]}`, `roles[0]: "a\n" is not a role's name`},
		{`{"roles":["a","b","a"],"rules":[{"path":"/a","role":"a"}]}`, `roles[2]: "a" is there twice`},
		{`{"roles":"viewer","rules":[{"path":"/a","role":"viewer"}]}`, "roles: string where a list belongs"},

		{rule(`null`), "rules[2]: null where an object belongs"},
		{rule(`5`), "rules[2]: number where an object belongs"},
		{rule(`{"path":"/a","role":"owner"}`), `rules[2]: role "owner" is not one of roles`},
		{rule(`{"path":"/a","role":"Viewer"}`), `rules[2]: role "Viewer" is not one of roles`},
		{rule(`{"path":"/a"}`), "rules[2]: role is missing"},
		{rule(`{"role":"viewer"}`), "rules[2]: path is missing"},
		{rule(`{"path":"","role":"viewer"}`), "rules[2]: path is missing"},
		{rule(`{"path":"/a","role":"viewer","method":["GET"]}`), `rules[2]: unknown key "method", known are methods, path, role`},
		{rule(`{"path":"/a","role":7}`), "rules[2]: role: number where a text belongs"},
		{rule(`{"path":["/a"],"role":"viewer"}`), "rules[2]: path: array where a text belongs"},
		{rule(`{"methods":[],"path":"/a","role":"viewer"}`), "rules[2]: methods is empty; leave it out for all methods"},
		{rule(`{"methods":"GET","path":"/a","role":"viewer"}`), "rules[2]: methods: string where a list belongs"},
		{rule(`{"methods":null,"path":"/a","role":"viewer"}`), "rules[2]: methods: no value"},
		{rule(`{"methods":["GET","post"],"path":"/a","role":"viewer"}`), `rules[2]: method "post" is not an upper-case method; leave methods out for all`},
		{rule(`{"methods":["*"],"path":"/a","role":"viewer"}`), `rules[2]: method "*" is not an upper-case method; leave methods out for all`},
		{rule(`{"methods":[""],"path":"/a","role":"viewer"}`), `rules[2]: method "" is not an upper-case method; leave methods out for all`},
		{rule(`{"methods":["GET "],"path":"/a","role":"viewer"}`), `rules[2]: method "GET " is not an upper-case method; leave methods out for all`},

		{rule(`{"path":"a","role":"viewer"}`), `rules[2]: path "a" does not begin with /`},
		{rule(`{"path":"//","role":"viewer"}`), `rules[2]: path "//" has an empty segment`},
		{rule(`{"path":"/a//b","role":"viewer"}`), `rules[2]: path "/a//b" has an empty segment`},
		{rule(`{"path":"/a//**","role":"viewer"}`), `rules[2]: path "/a//**" has an empty segment`},
		{rule(`{"path":"//**","role":"viewer"}`), `rules[2]: path "//**" has an empty segment`},
		{rule(`{"path":"/a/../b","role":"viewer"}`), `rules[2]: path "/a/../b" has a dot segment`},
		{rule(`{"path":"/a/.","role":"viewer"}`), `rules[2]: path "/a/." has a dot segment`},
		{rule(`{"path":"/a*","role":"viewer"}`), `rules[2]: path "/a*": * stands for one whole segment, ** only at the end`},
		{rule(`{"path":"/**/a","role":"viewer"}`), `rules[2]: path "/**/a": * stands for one whole segment, ** only at the end`},
		{rule(`{"path":"/a/**/","role":"viewer"}`), `rules[2]: path "/a/**/": * stands for one whole segment, ** only at the end`},
		{rule(`{"path":"/a/ b","role":"viewer"}`), `rules[2]: path "/a/ b": a segment begins with a blank`},
		{rule(`{"path":"/a%20b","role":"viewer"}`), `rules[2]: path "/a%20b": % ? # ; \ and control characters are never in a path that is judged`},
		{rule(`{"path":"/a?b","role":"viewer"}`), `rules[2]: path "/a?b": % ? # ; \ and control characters are never in a path that is judged`},
		{rule(`{"path":"/a\\b","role":"viewer"}`), `rules[2]: path "/a\\b": % ? # ; \ and control characters are never in a path that is judged`},
		{rule(`{"path":"/a\u0000","role":"viewer"}`), `rules[2]: path "/a\x00": % ? # ; \ and control characters are never in a path that is judged`},
	}
	for _, test := range tests {
		if _, err := parseConfig([]byte(test.config)); err == nil || err.Error() != test.want {
			t.Errorf("%s:\n got %v\nwant %s", test.config, err, test.want)
		}
	}
}
