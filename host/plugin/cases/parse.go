package cases

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile bounds, in bytes, a cases file.
const MaxFile = 1 << 20

// Problem is one thing wrong with a cases file.
type Problem struct {
	File string
	Line int    // from 1
	Key  string // such as [0].request.method; empty for the file
	Text string
}

// Error returns "file:line: key: text".
func (p *Problem) Error() string {
	place := fmt.Sprintf("%s:%d: ", p.File, p.Line)
	if p.Key != "" {
		place += p.Key + ": "
	}
	return place + p.Text
}

// Problems is everything found wrong, in the order of the lines.
type Problems []*Problem

// Error returns one problem a line.
func (ps Problems) Error() string { return lines(ps) }

// lines joins errors, one a line.
func lines[E error](errs []E) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "\n")
}

// Parse reads a cases file; file is its name in errors. An error is Problems.
func Parse(file string, content []byte) (*Set, error) {
	r := &reader{file: file}
	s := &Set{file: file}
	if root := r.document(content); root != nil {
		s.groups = grouped(r.cases(root))
	}
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b *Problem) int { return a.Line - b.Line })
		return nil, r.problems
	}
	return s, nil
}

// cases reads the list that a file is.
func (r *reader) cases(root *yaml.Node) []*Case {
	var list []*Case
	names := map[string]int{}
	for _, v := range (value{r, root, "", root.Line}).items() {
		list = append(list, readCase(v, names))
	}
	if len(list) == 0 && len(r.problems) == 0 {
		r.note(root.Line, "", "holds no case; a plugin without cases has no such file")
	}
	return list
}

// grouped puts cases of one configuration together, in the order in which the
// configurations first appear.
func grouped(all []*Case) []*Group {
	var groups []*Group
	for _, c := range all {
		i := slices.IndexFunc(groups, func(g *Group) bool { return bytes.Equal(g.Config, c.config) && (g.Config == nil) == (c.config == nil) })
		if i < 0 {
			i, groups = len(groups), append(groups, &Group{Config: c.config})
		}
		groups[i].Cases = append(groups[i].Cases, c)
	}
	return groups
}

// document returns the root of the one document in a file, or nil with the
// reason noted.
func (r *reader) document(content []byte) *yaml.Node {
	if len(content) > MaxFile {
		r.note(1, "", "has %d bytes, %d are allowed", len(content), MaxFile)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var root, second yaml.Node
	err := dec.Decode(&root)
	if errors.Is(err, io.EOF) {
		r.note(1, "", "holds no case; a plugin without cases has no such file")
		return nil
	}
	if err == nil {
		if err = dec.Decode(&second); err == nil {
			r.note(second.Line, "", "a second document begins; keep one")
			return nil
		}
	}
	if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	return root.Content[0]
}

var placed = regexp.MustCompile(`(?s)^yaml: line (\d+): (.*)$`)

// syntax notes why a file is not YAML.
func (r *reader) syntax(err error) {
	m := placed.FindStringSubmatch(err.Error())
	if m == nil {
		r.note(1, "", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	line, _ := strconv.Atoi(m[1])
	if strings.HasPrefix(m[2], "did not find expected") {
		line++ // the library counts the lines of these from 0
	}
	r.note(line, "", "%s", m[2])
}
