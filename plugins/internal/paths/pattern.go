// Package paths is how plugins read path patterns and methods: which requests a
// rule is for, whatever the upstream's router makes of a path.
package paths

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pattern is a path pattern: "*" is one whole segment, a final "/**" is that
// path and all below, everything else is literal. Its literals are folded
// already, unless it is exact.
type Pattern struct {
	segments []string
	tree     bool
	exact    bool // letter case counts

	// head is a pattern without "*" as one folded text, such as /api/sync;
	// starred patterns have none.
	head    string
	Starred bool // has a "*"
}

const star = "*"

// Parse reads a pattern; exact: letter case counts. What could never match a path that a plugin
// is shown is an error, because such a rule would guard nothing.
func Parse(text string, exact bool) (Pattern, error) {
	p := Pattern{exact: exact}
	if !strings.HasPrefix(text, "/") {
		return p, fmt.Errorf("path %.64q does not begin with /", text)
	}
	rest, tree := strings.CutSuffix(text, "/**")
	if p.tree = tree; !tree {
		rest = strings.TrimSuffix(rest, "/") // /a/ is as /a
	}
	if rest == "" {
		return p, nil
	}
	for _, s := range strings.Split(rest[1:], "/") {
		switch {
		case s == "":
			return p, fmt.Errorf("path %.64q has an empty segment", text)
		case s == "." || s == "..":
			return p, fmt.Errorf("path %.64q has a dot segment", text)
		case s != star && strings.Contains(s, star):
			return p, fmt.Errorf("path %.64q: * stands for one whole segment, ** only at the end", text)
		case unicode.IsSpace([]rune(s)[0]):
			return p, fmt.Errorf("path %.64q: a segment begins with a blank", text)
		case strings.ContainsAny(s, `%?#;\`) || strings.ContainsFunc(s, unicode.IsControl):
			return p, fmt.Errorf("path %.64q: %% ? # ; \\ and control characters are never in a path that is judged", text)
		}
		p.Starred = p.Starred || s == star
		p.segments = append(p.segments, p.fold(s))
	}
	if !p.Starred {
		p.head = "/" + strings.Join(p.segments, "/")
	}
	return p, nil
}

// Covers says whether the pattern covers path. A "/" at the end of the path
// never matters.
//
// Loosely, it also says yes to what some routers take for the same path:
// blanks around a segment and dots behind it do not count, a blank segment is
// passed over, and the last literal may have a suffix as in /sync.json.
func (p *Pattern) Covers(path string, loose bool) bool {
	for i, want := range p.segments {
		path = next(path, loose)
		if want == star {
			n := strings.IndexByte(path, '/')
			if n < 0 {
				n = len(path)
			}
			if path = path[n:]; n == 0 {
				return false
			}
			continue
		}
		var ok bool
		if path, ok = p.strip(path, want); !ok {
			return false
		}
		if loose && path != "" && path[0] != '/' {
			if path[0] == '.' && i == len(p.segments)-1 && strings.IndexByte(path[:len(path)-1], '/') < 0 {
				return true
			}
			path = strings.TrimLeftFunc(path, blankOrDot)
		}
		if path != "" && path[0] != '/' {
			return false
		}
	}
	return p.tree || next(path, loose) == ""
}

// CoversLength says whether the pattern can cover a plain path of n bytes.
func (p *Pattern) CoversLength(n int) bool {
	d := n - len(p.head)
	return p.Starred || d == 0 || d == 1 || (p.tree && d > 1)
}

// next takes the "/" in front of a segment off path. Loosely, it takes blanks
// and blank segments, too.
func next(path string, loose bool) string {
	if path != "" && path[0] == '/' {
		path = path[1:]
	}
	if loose && path != "" && !('!' <= path[0] && path[0] <= '~' && path[0] != '/') {
		path = strings.TrimLeftFunc(path, blankOrSlash)
	}
	return path
}

func blankOrDot(r rune) bool   { return r == '.' || unicode.IsSpace(r) }
func blankOrSlash(r rune) bool { return r == '/' || unicode.IsSpace(r) }

// strip takes want, which is folded, off the front of path.
func (p *Pattern) strip(path, want string) (rest string, ok bool) {
	if p.exact {
		return strings.CutPrefix(path, want)
	}
	for want != "" {
		if path == "" {
			return "", false
		}
		got, n := rune(path[0]), 1
		if got >= utf8.RuneSelf {
			got, n = utf8.DecodeRuneInString(path)
		}
		w, m := rune(want[0]), 1
		if w >= utf8.RuneSelf {
			w, m = utf8.DecodeRuneInString(want)
		}
		if got != w && foldRune(got) != w {
			return "", false
		}
		path, want = path[n:], want[m:]
	}
	return path, true
}

// fold returns the form of s in which letter case is gone.
func (p *Pattern) fold(s string) string {
	if p.exact {
		return s
	}
	return strings.Map(foldRune, s)
}

// foldRune maps every rune that Unicode's simple case folding counts as one
// letter to the same rune, an ASCII one where there is one: K, k and the
// Kelvin sign become k, S, s and the long s become s. So do the dotted and the
// dotless i of Turkish, which upper- and lower-casing turn into an i.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	if r == 'İ' || r == 'ı' {
		return 'i'
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if least < utf8.RuneSelf {
		return foldRune(least)
	}
	return least
}
