package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// Bounds of a document, so that aliases of aliases cannot blow it up.
const (
	maxDepth = 100
	maxNodes = 250_000
)

// document turns the nodes of a YAML document into plain values, as far as
// they have the configuration's shape, and notes where each key stands.
type document struct {
	*report
	nodes int // visited so far
}

// readDocument returns the one document in text, or nil with the reason
// noted. What does not have the configuration's shape is noted and left out.
func readDocument(r *report, text []byte) map[string]any {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	err := dec.Decode(&root)
	if errors.Is(err, io.EOF) || err == nil && isNull(root.Content[0]) {
		r.add("", "the file holds no configuration; write {} for the defaults alone")
		return nil
	}
	if err == nil {
		if err = dec.Decode(&second); err == nil {
			r.problems = append(r.problems, &Problem{File: r.file, Line: second.Line, Text: "a second document begins; keep one"})
			return nil
		}
	}
	if !errors.Is(err, io.EOF) {
		r.problems = append(r.problems, syntaxProblem(r.file, text, err))
		return nil
	}
	d := &document{report: r}
	value, _ := d.value(root.Content[0], reflect.TypeFor[Config](), "", 0).(map[string]any)
	if d.nodes > maxNodes {
		r.problems = nil
		r.add("", "the document nests too deep, or its aliases repeat too much")
		return nil
	}
	return value
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// enter counts a node and says whether there is room for it. Once there is
// not, nothing is looked at any more.
func (d *document) enter(depth int) bool {
	if d.nodes++; depth > maxDepth {
		d.nodes = maxNodes + 1
	}
	return d.nodes <= maxNodes
}

// value returns n as what a key of type t holds, or nil with the reason
// noted.
func (d *document) value(n *yaml.Node, t reflect.Type, key string, depth int) any {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !d.enter(depth) {
		return nil
	}
	t = indirect(t)
	switch {
	case t == reflect.TypeFor[JSON]():
		return d.json(n, key, depth)
	case t == reflect.TypeFor[Capabilities]():
		return d.capabilities(n, key, depth)
	case isNull(n):
		d.fail(key, "has no value: leave the key out for its default, or write [], {} or \"\" for nothing")
	case isGroup(t) && n.Kind == yaml.MappingNode:
		return d.group(n, t, key, depth)
	case isList(t) && n.Kind == yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			k := fmt.Sprintf("%s[%d]", key, i)
			d.lines[k] = item.Line
			list[i] = d.value(item, t.Elem(), k, depth+1)
		}
		return list
	case !isGroup(t) && !isList(t) && n.Kind == yaml.ScalarNode:
		return d.scalar(n, key)
	default:
		d.fail(key, "%s", want(t))
	}
	return nil
}

// group returns a mapping of known keys.
func (d *document) group(n *yaml.Node, t reflect.Type, key string, depth int) map[string]any {
	types := map[string]reflect.Type{}
	for f := range fields(t) {
		types[f.name] = f.typ
	}
	group := map[string]any{}
	for _, p := range d.pairs(n, key, depth) {
		k := join(key, p.name)
		d.lines[k] = p.line
		ft, ok := types[p.name]
		if !ok {
			hint := ""
			if guess := nearest(p.name, t); guess != "" {
				hint = "; did you mean " + guess + "?"
			}
			d.add(k, "unknown key%s", hint)
			continue
		}
		if v := d.value(p.value, ft, k, depth+1); v != nil {
			group[p.name] = v
		}
	}
	return group
}

type pair struct {
	name  string
	line  int
	value *yaml.Node
}

// pairs lists a mapping's keys in order, those that it merges ("<<") last. A
// key that is there twice is noted.
func (d *document) pairs(n *yaml.Node, key string, depth int) []pair {
	var list []pair
	var merged []*yaml.Node
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			d.note(k.Line, key, "a key must be plain text")
			continue
		}
		if k.ShortTag() == "!!merge" {
			merged = append(merged, n.Content[i+1])
			continue
		}
		if first, twice := seen[k.Value]; twice {
			d.note(k.Line, join(key, k.Value), "is set already, in line %d", first)
			continue
		}
		seen[k.Value] = n.Content[i].Line
		list = append(list, pair{k.Value, n.Content[i].Line, n.Content[i+1]})
	}
	for _, m := range merged {
		for _, p := range d.merged(m, key, depth+1) {
			if _, set := seen[p.name]; !set {
				seen[p.name] = p.line
				list = append(list, p)
			}
		}
	}
	return list
}

// merged lists the keys behind a "<<": of one mapping, or of a list of them.
func (d *document) merged(n *yaml.Node, key string, depth int) []pair {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !d.enter(depth) {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.pairs(n, key, depth)
	case yaml.SequenceNode:
		var list []pair
		for _, m := range n.Content {
			list = append(list, d.merged(m, key, depth+1)...)
		}
		return list
	}
	d.note(n.Line, key, "<< merges a mapping or a list of mappings")
	return nil
}

// note adds a problem at a line of its own.
func (d *document) note(line int, key, format string, args ...any) {
	d.problems = append(d.problems, &Problem{File: d.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// scalar returns a scalar as text, bool, int or float64.
func (d *document) scalar(n *yaml.Node, key string) any {
	tag := n.ShortTag()
	var v any
	switch tag {
	case "!!null":
		return nil
	case "!!str", "!!timestamp", "!!merge":
		return n.Value
	case "!!bool", "!!int", "!!float":
		if n.Decode(&v) == nil {
			if f, ok := v.(float64); !ok || !math.IsNaN(f) && !math.IsInf(f, 0) {
				return v
			}
		}
	}
	d.lines[key] = cmp.Or(d.lines[key], n.Line)
	d.fail(key, "cannot be read as %s", tag)
	return nil
}

// free returns a value whose shape is not authhost's affair.
func (d *document) free(n *yaml.Node, key string, depth int) any {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !d.enter(depth) {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		group := map[string]any{}
		for _, p := range d.pairs(n, key, depth) {
			group[p.name] = d.free(p.value, join(key, p.name), depth+1)
		}
		return group
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.free(item, fmt.Sprintf("%s[%d]", key, i), depth+1)
		}
		return list
	}
	return d.scalar(n, key)
}

// json returns a free value as canonical JSON text.
func (d *document) json(n *yaml.Node, key string, depth int) any {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d.free(n, key, depth)); err != nil {
		d.fail(key, "cannot be written as JSON: %s", err)
		return nil
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// plainKey is a key that an error may show as it is.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// join returns the key of name within the key around it.
func join(key, name string) string {
	if !plainKey.MatchString(name) {
		name = fmt.Sprintf("%.64q", name)
	}
	if key == "" {
		return name
	}
	return key + "." + name
}
