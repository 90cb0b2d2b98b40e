package host

import (
	"fmt"
	"strings"
)

// Pattern is a path pattern in the one grammar of the configuration: "*" is
// one whole segment, a final "/**" is that path and all below, everything
// else is literal. The zero Pattern matches nothing.
type Pattern struct {
	text     string
	segments []string
	tree     bool
}

// ParsePattern reads a pattern. What could never match a judged path, such as
// an escape, a dot segment or a "*" inside a segment, is an error.
func ParsePattern(text string) (Pattern, error) {
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return Pattern{}, fmt.Errorf("path pattern %q does not begin with /", text)
	}
	p := Pattern{text: text}
	if rest == "**" {
		p.tree = true
		return p, nil
	}
	if head, found := strings.CutSuffix(rest, "/**"); found {
		rest, p.tree = head, true
	}
	p.segments = strings.Split(rest, "/")
	for i, s := range p.segments {
		switch {
		case s == "*":
		case strings.Contains(s, "*"):
			return Pattern{}, fmt.Errorf("path pattern %q: * stands for one whole segment, ** only at the end", text)
		case s == "" && (p.tree || i < len(p.segments)-1):
			return Pattern{}, fmt.Errorf("path pattern %q has an empty segment", text)
		case s == "." || s == "..":
			return Pattern{}, fmt.Errorf("path pattern %q has a dot segment", text)
		case strings.ContainsAny(s, "%?#;\\"):
			return Pattern{}, fmt.Errorf("path pattern %q: none of %% ? # ; \\ can be in a path that is judged", text)
		}
		for _, c := range []byte(s) {
			if c < 0x20 || c == 0x7f {
				return Pattern{}, fmt.Errorf("path pattern %q has a control character", text)
			}
		}
	}
	return p, nil
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Match says whether the pattern covers path. It allocates nothing.
func (p Pattern) Match(path string) bool {
	if p.text == "" || !strings.HasPrefix(path, "/") {
		return false
	}
	if len(p.segments) == 0 {
		return true
	}
	rest, more := path[1:], true
	for _, want := range p.segments {
		if !more {
			return false
		}
		var got string
		got, rest, more = strings.Cut(rest, "/")
		if got != want && (want != "*" || got == "") {
			return false
		}
	}
	return !more || p.tree
}
