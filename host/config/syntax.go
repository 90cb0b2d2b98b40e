package config

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	placedError = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)
	// parserError is what the YAML library says of tokens in a wrong order.
	// It counts the lines of these from 0, those of all others from 1.
	parserError = regexp.MustCompile(`^(did not find expected (<|node content|'-'|key|',')|found (undefined tag handle|duplicate %|incompatible|a tab character))`)
	anchorError = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxProblem says where a text is not YAML. What is left open, or does not
// fit, is placed where it begins.
func syntaxProblem(file string, text []byte, err error) *Problem {
	p := &Problem{File: file, Line: 1, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := placedError.FindStringSubmatch(p.Text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Text = m[2]
		if parserError.MatchString(p.Text) {
			p.Line++
		}
		if strings.HasPrefix(p.Text, "found ") && indentedByTab(text, p.Line) {
			p.Text = "a tab: YAML is indented by blanks"
		}
		return p
	}
	at := unreadable(text)
	if m := anchorError.FindStringSubmatch(p.Text); m != nil {
		at = bytes.Index(text, []byte("*"+m[1]))
	}
	if at >= 0 {
		p.Line += bytes.Count(text[:at], []byte("\n"))
	}
	return p
}

// indentedByTab says whether a tab stands before all else on that line, counted
// from 1.
func indentedByTab(text []byte, line int) bool {
	lines := bytes.Split(text, []byte("\n"))
	return line <= len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[line-1], " "), []byte("\t"))
}

// unreadable returns where the first byte stands that no YAML may hold, or -1.
func unreadable(text []byte) int {
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && n == 1 || c < ' ' && !strings.ContainsRune("\t\r\n", c) || c == 0x7f {
			return i
		}
		i += n
	}
	return -1
}
