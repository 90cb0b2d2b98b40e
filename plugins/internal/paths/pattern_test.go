package paths

import (
	"strings"
	"testing"
	"unicode"
)

// Every way in which a router may drop letter case leads to one letter.
func TestFoldingIsClosed(t *testing.T) {
	count := 0
	for _, cased := range unicode.CaseRanges {
		for r := rune(cased.Lo); r <= rune(cased.Hi); r++ {
			count++
			want := foldRune(r)
			for _, other := range []rune{unicode.ToLower(r), unicode.ToUpper(r), unicode.ToTitle(r), unicode.SimpleFold(r), want} {
				if got := foldRune(other); got != want {
					t.Errorf("%q is folded to %q, but %q to %q", r, want, other, got)
				}
			}
		}
	}
	if count < 2000 {
		t.Errorf("only %d runes were looked at", count)
	}
}

// reference is the pattern grammar at its strictest, written plainly.
func reference(pattern, path string) bool {
	want, got := strings.Split(pattern, "/")[1:], strings.Split(path, "/")[1:]
	for i, w := range want {
		switch {
		case w == "**" && i == len(want)-1:
			return true
		case i == len(got), w != got[i] && (w != "*" || got[i] == ""):
			return false
		}
	}
	return len(want) == len(got)
}

func FuzzCovers(f *testing.F) {
	for _, text := range []string{"/", "/**", "/*", "/a", "/api/gitops/sync", "/api/*/sync", "/api/gitops/**", "/Straße/k/**", "/app.js"} {
		for _, path := range []string{"/", "/a", "/api/gitops/sync", "/API/gitops/SYNC/", "/api/gitops/ſync", "/api/gitops/x.json",
			"/straße/K", "/app.js", "/ api. /gitops/sync . ", "/\xff/", "/api/gitops/" + strings.Repeat("sync/", 40)} {
			f.Add(text, path)
		}
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		if path == "" || path[0] != '/' || strings.Contains(path, "//") {
			return // the host lets none through
		}
		folded, err := Parse(text, false)
		if err != nil {
			return
		}
		exact, err := Parse(text, true)
		if err != nil {
			t.Fatalf("refused when case counts only: %v", err)
		}
		strict := reference(text, path)
		for _, other := range []string{path, strings.TrimSuffix(path, "/"), path + "/", strings.ToUpper(path), strings.ToLower(path), strings.ToTitle(path)} {
			if strict && other != "" && !strings.HasSuffix(other, "//") && !folded.Covers(other, false) {
				t.Errorf("%q is in %q, but %q is not covered", path, text, other)
			}
			if reference(text, other) && path != "/" && !folded.Covers(path, false) {
				t.Errorf("%q is in %q, but %q is not covered", other, text, path)
			}
		}
		if strict && !exact.Covers(path, false) {
			t.Errorf("%q does not cover %q when case counts", text, path)
		}
		for _, p := range []*Pattern{&folded, &exact} {
			exactly, loosely := p.Covers(path, false), p.Covers(path, true)
			if exactly && !loosely && !p.Starred {
				t.Errorf("%q covers %q, but not loosely", text, path)
			}
			if !IsPlain(path) {
				continue
			}
			if p.CoversPlain(path) != exactly || (exactly && !p.CoversLength(len(path))) || (loosely && !exactly) {
				t.Errorf("%q and the plain path %q: %v, exactly %v, loosely %v", text, path, p.CoversPlain(path), exactly, loosely)
			}
		}
		plain := !strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == '.' || r > '~'+1 })
		if IsPlain(path) != plain {
			t.Errorf("%q is plain: %v", path, IsPlain(path))
		}
	})
}
