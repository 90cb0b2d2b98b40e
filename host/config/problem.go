package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a configuration. Its text may show the
// configuration's words, never a secret: secrets are in files of their own.
type Problem struct {
	File     string
	Line     int    // from 1; 0 when the problem is no line's
	Variable string // the environment variable that set Key, else empty
	Key      string // such as realms[0].issuers[0].algorithms; empty for the file
	Text     string

	cause error
}

// Error returns "file:line: key: text", or "environment NAME: key: text" for
// a value that the environment set.
func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Variable != "":
		b.WriteString("environment " + p.Variable)
	case p.Line > 0:
		fmt.Fprintf(&b, "%s:%d", p.File, p.Line)
	default:
		b.WriteString(p.File)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	return b.String() + ": " + p.Text
}

// Unwrap returns what the problem comes from, nil if it is the text's own.
func (p *Problem) Unwrap() error { return p.cause }

// Problems is everything found wrong, in the order of the file's lines; what
// the environment set comes last.
type Problems []*Problem

// Error returns one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems one by one.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// places knows where each key of a configuration was set.
type places struct {
	file      string
	lines     map[string]int    // by key
	variables map[string]string // by key: the environment variable above the file
}

// has says whether file or environment set the key, as opposed to a default.
func (p *places) has(key string) bool {
	return p.lines[key] > 0 || p.variables[key] != ""
}

// problem makes a Problem at the key's place, or that of the nearest key
// around it that has one.
func (p *places) problem(key, format string, args ...any) *Problem {
	pr := &Problem{File: p.file, Line: 1, Key: key, Text: fmt.Sprintf(format, args...)}
	for k := key; k != ""; k = parent(k) {
		if v := p.variables[k]; v != "" {
			pr.Variable, pr.Line = v, 0
			return pr
		}
		if line := p.lines[k]; line > 0 {
			pr.Line = line
			return pr
		}
	}
	return pr
}

// parent returns the key around a key: a.b for a.b.c and for a.b[0].
func parent(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

// report gathers problems while a configuration is read.
type report struct {
	*places
	problems Problems
	broken   map[string]bool // keys without a usable value: what follows from that is not worth saying
}

// add notes a problem, unless the key or one around it is broken already.
func (r *report) add(key, format string, args ...any) {
	for k := key; k != ""; k = parent(k) {
		if r.broken[k] {
			return
		}
	}
	r.problems = append(r.problems, r.problem(key, format, args...))
}

// fail notes a problem that leaves the key without a usable value.
func (r *report) fail(key, format string, args ...any) {
	r.add(key, format, args...)
	r.broken[key] = true
}

// err returns the problems in their order, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Variable, b.Variable), cmp.Compare(a.Line, b.Line))
	})
	return r.problems
}
