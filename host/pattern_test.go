package host_test

import (
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
)

func TestPattern(t *testing.T) {
	for text, cases := range map[string]map[string]bool{
		"/":           {"/": true, "/a": false, "": false},
		"/**":         {"/": true, "/a": true, "/a/b/": true, "": false, "a": false},
		"/a":          {"/a": true, "/a/": false, "/A": false, "/ab": false, "/": false},
		"/a/":         {"/a/": true, "/a": false},
		"/a/**":       {"/a": true, "/a/": true, "/a/b/c": true, "/ab": false, "/": false},
		"/a/*":        {"/a/b": true, "/a/": false, "/a": false, "/a/b/c": false, "/a/b/": false},
		"/*/b":        {"/x/b": true, "//b": false, "/x/c": false},
		"/a/*/c/**":   {"/a/b/c": true, "/a/b/c/d": true, "/a/b": false},
		"/api/v1/*/x": {"/api/v1/é/x": true},
	} {
		p, err := host.ParsePattern(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for path, want := range cases {
			if got := p.Match(path); got != want {
				t.Errorf("%s on %q: %v", text, path, got)
			}
		}
	}
	for _, bad := range []string{"", "a", "*", "/a*", "/**/a", "/a//b", "//", "/a/./b", "/..", "/%41", "/a?b", "/a#b", "/a;b", `/a\b`, "/a\nb", "/a//**", "/a/**/"} {
		if _, err := host.ParsePattern(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if (host.Pattern{}).Match("/") {
		t.Error("the zero pattern matches")
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("/a/*/b/**", "/a/x/b/c")
	f.Fuzz(func(t *testing.T, text, path string) {
		p, err := host.ParsePattern(text)
		if err != nil {
			return
		}
		got := p.Match(path)
		if !strings.Contains(text, "*") && got != (text == path) {
			t.Errorf("literal %q on %q: %v", text, path, got)
		}
		if got && !strings.HasPrefix(path, "/") {
			t.Errorf("%q matches %q", text, path)
		}
	})
}
