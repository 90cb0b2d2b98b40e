package cases

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Failure is one thing that a check found wrong.
type Failure struct {
	File string
	Line int    // where the case begins
	Case string // its name
	Text string // "reason: want …, got …", or why there was no answer
}

// Error returns everything in one line: `file:line: case "name": text`.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s:%d: case %q: %s", f.File, f.Line, f.Case, f.Text)
}

// Failures is everything that a check found, in the order of the file.
type Failures []*Failure

// Error returns one failure a line.
func (fs Failures) Error() string { return lines(fs) }

// Loader loads the plugin for its cases, see [Subject]: compiled or
// interpreted, with a configuration of JSON, or with that of the plugin's entry
// if config is nil. What the plugin is granted to keep is in the world.
type Loader func(ctx context.Context, config []byte, interpreted bool, world *World) (Subject, error)

// Check runs all cases on both engines. An error is Failures: what was not as
// expected, and where the engines do not agree.
func (s *Set) Check(ctx context.Context, load Loader) error {
	c := &check{file: s.file}
	for _, g := range s.groups {
		c.group(ctx, g, load)
	}
	if c.failures == nil {
		return nil
	}
	slices.SortStableFunc(c.failures, func(a, b *Failure) int { return cmp.Compare(a.Line, b.Line) })
	return c.failures
}

// check gathers failures.
type check struct {
	file     string
	failures Failures
}

func (c *check) fail(of *Case, format string, args ...any) {
	c.failures = append(c.failures, &Failure{c.file, of.Line, of.Name, fmt.Sprintf(format, args...)})
}

// group runs the cases of one configuration. One that is not answered on the
// compiler has failed, and is not put to the slower engine.
func (c *check) group(ctx context.Context, g *Group, load Loader) {
	var world World
	compiled, err := load(ctx, g.Config, false, &world)
	if err != nil {
		c.fail(g.Cases[0], "the plugin does not load: %s", oneLine(err))
		return
	}
	results := g.Run(ctx, compiled, &world)
	if err := compiled.Close(ctx); err != nil {
		c.fail(g.Cases[0], "the plugin does not close: %s", oneLine(err))
	}
	interpreted, err := load(ctx, g.Config, true, &world)
	if err != nil {
		c.fail(g.Cases[0], "the plugin does not load on the interpreter: %s", oneLine(err))
		return
	}
	for _, r := range results {
		if r.Err != nil {
			c.fail(r.Case, "no answer: %s", oneLine(r.Err))
			continue
		}
		for _, d := range r.Diff {
			c.fail(r.Case, "%s", d)
		}
		c.agree(r, r.Case.run(ctx, interpreted, &world))
	}
	if err := interpreted.Close(ctx); err != nil {
		c.fail(g.Cases[0], "the plugin does not close on the interpreter: %s", oneLine(err))
	}
}

// agree notes where the interpreter answered otherwise than the compiler.
func (c *check) agree(r, other Result) {
	if other.Err != nil {
		c.fail(r.Case, "no answer on the interpreter: %s", oneLine(other.Err))
		return
	}
	for _, d := range r.Got.expect().compare(other.Got) {
		c.fail(r.Case, "%s: the engines disagree: %s on the compiler, %s on the interpreter", d.Field, d.Want, d.Got)
	}
}

// oneLine returns an error's first line. The engine's account of a trap, in
// those that follow, is in the log of the call.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
