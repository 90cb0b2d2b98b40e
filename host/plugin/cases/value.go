package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file, so that aliases of aliases cannot blow it up.
const (
	maxDepth = 64
	maxNodes = 100_000
)

// reader gathers what is wrong with a file while it is read.
type reader struct {
	file     string
	problems Problems
	nodes    int // looked at so far
}

// maxProblems is how many are named of one file.
const maxProblems = 100

// note adds a problem; what follows from one that the key has already is not
// worth saying.
func (r *reader) note(line int, key, format string, args ...any) {
	if len(r.problems) == maxProblems || slices.ContainsFunc(r.problems, func(p *Problem) bool { return p.Line == line && p.Key == key }) {
		return
	}
	r.problems = append(r.problems, &Problem{File: r.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// value is one node of a file with its place. One without a node is a key that
// is not there, and reads as nothing.
type value struct {
	r    *reader
	node *yaml.Node
	key  string
	line int
}

func (v value) there() bool { return v.node != nil }

func (v value) isList() bool { return v.node != nil && v.node.Kind == yaml.SequenceNode }

func (v value) fail(format string, args ...any) { v.r.note(v.line, v.key, format, args...) }

// inner returns the node of a key or an item within v; without a node once
// there is no room for more, or if it is empty.
func (v value) inner(n *yaml.Node, key string, line int) value {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	in := value{v.r, n, key, line}
	if v.r.nodes++; v.r.nodes > maxNodes {
		if v.r.nodes == maxNodes+1 {
			in.fail("the file has too many values, or its aliases repeat too much")
		}
		in.node = nil
	} else if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		in.fail("has no value")
		in.node = nil
	}
	return in
}

// plain is a key that an error may show as it is.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// pair is a key of a mapping and what it holds.
type pair struct {
	name  string
	value value
}

// pairs lists a mapping of any keys, in order.
func (v value) pairs() []pair {
	if !v.there() {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.fail("must be a mapping, such as {key: value}")
		return nil
	}
	var list []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		k := v.node.Content[i]
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!merge" {
			v.r.note(k.Line, v.key, "a key must be plain text, and << is not for cases")
			continue
		}
		shown := k.Value
		if !plain.MatchString(shown) {
			shown = fmt.Sprintf("%.64q", shown)
		}
		in := v.inner(v.node.Content[i+1], strings.TrimPrefix(v.key+"."+shown, "."), k.Line)
		if seen[k.Value] {
			in.fail("is there twice")
			continue
		}
		seen[k.Value] = true
		list = append(list, pair{k.Value, in})
	}
	return list
}

// fields reads a mapping of known keys. Every known key is in the result.
func (v value) fields(known ...string) map[string]value {
	fields := map[string]value{}
	for _, name := range known {
		fields[name] = value{r: v.r, key: v.key + "." + name, line: v.line}
	}
	for _, p := range v.pairs() {
		if _, ok := fields[p.name]; !ok {
			p.value.fail("unknown key; there are %s", strings.Join(known, ", "))
			continue
		}
		fields[p.name] = p.value
	}
	return fields
}

// items reads a list.
func (v value) items() []value {
	if !v.there() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.fail("must be a list")
		return nil
	}
	list := make([]value, 0, len(v.node.Content))
	for i, n := range v.node.Content {
		if in := v.inner(n, fmt.Sprintf("%s[%d]", v.key, i), n.Line); in.there() {
			list = append(list, in)
		}
	}
	return list
}

// text reads a text; what only looks like one is refused.
func (v value) text() string {
	if !v.there() {
		return ""
	}
	if v.node.Kind == yaml.ScalarNode {
		if tag := v.node.ShortTag(); tag == "!!str" || tag == "!!timestamp" {
			return v.node.Value
		}
	}
	v.fail("must be text; quote it if it looks like something else")
	return ""
}

// or reads a text that may be left out.
func (v value) or(missing string) string {
	if !v.there() {
		return missing
	}
	return v.text()
}

// need reads a text that may neither be left out nor be empty.
func (v value) need() string {
	if !v.there() {
		v.fail("is required")
		return ""
	}
	text := v.text()
	if v.node.Kind == yaml.ScalarNode && v.node.Value == "" {
		v.fail("must not be empty")
	}
	return text
}

func (v value) texts() []string {
	var list []string
	for _, item := range v.items() {
		list = append(list, item.text())
	}
	return list
}

// number reads a whole number; nil if it is not there.
func (v value) number() *int {
	if !v.there() {
		return nil
	}
	var n int
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!int" || v.node.Decode(&n) != nil {
		v.fail("must be a whole number")
	}
	return &n
}

func (v value) time(missing time.Time) time.Time {
	if !v.there() {
		return missing
	}
	t, err := time.Parse(time.RFC3339, v.text())
	if err != nil {
		v.fail("must be a time, such as 2026-01-01T12:00:00Z")
	}
	return t.UTC()
}

// choice reads the name of one of a few things.
func choice[T fmt.Stringer](v value, missing T, all ...T) T {
	if !v.there() {
		return missing
	}
	text := v.text()
	names := make([]string, len(all))
	for i, one := range all {
		if names[i] = one.String(); names[i] == text {
			return one
		}
	}
	v.fail("must be one of %s", strings.Join(names, ", "))
	return missing
}

// json reads a value of any shape, as JSON.
func (v value) json() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.free(0)); err != nil { // such as .nan
		v.fail("cannot be written as JSON: %s", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (v value) free(depth int) any {
	if !v.there() {
		return nil
	}
	if depth > maxDepth {
		v.fail("nests too deep")
		return nil
	}
	switch v.node.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for _, p := range v.pairs() {
			m[p.name] = p.value.free(depth + 1)
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range v.items() {
			list = append(list, item.free(depth+1))
		}
		return list
	}
	switch tag := v.node.ShortTag(); tag {
	case "!!str", "!!timestamp":
		return v.node.Value
	case "!!bool", "!!int", "!!float":
		var scalar any
		if v.node.Decode(&scalar) == nil {
			return scalar
		}
	}
	v.fail("cannot be read as %s", v.node.ShortTag())
	return nil
}
