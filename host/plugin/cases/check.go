package cases

import (
	"cmp"
	"context"
	"errors"
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

// Report is what came of a case on both engines.
type Report struct {
	Result              // on the compiler
	Second error        // why there is no answer on the interpreter
	Apart  []Difference // where the engines disagree: Want is the compiler's answer, Got the interpreter's
}

// OK says whether all was as expected, and the same on both engines.
func (r *Report) OK() bool { return r.Result.OK() && r.Second == nil && len(r.Apart) == 0 }

// Run runs all cases on both engines, and returns what came of them in the
// order of the file. Of a plugin that does not load, all the cases of a
// configuration have the one error.
func (s *Set) Run(ctx context.Context, load Loader) []Report {
	var reports []Report
	for _, g := range s.groups {
		reports = append(reports, g.check(ctx, load)...)
	}
	slices.SortStableFunc(reports, func(a, b Report) int { return cmp.Compare(a.Case.Line, b.Case.Line) })
	return reports
}

// Check runs all cases on both engines. An error is Failures: what was not as
// expected, and where the engines do not agree.
func (s *Set) Check(ctx context.Context, load Loader) error {
	var failures Failures
	told := map[error]bool{}
	for _, r := range s.Run(ctx, load) {
		for _, text := range r.problems(told) {
			failures = append(failures, &Failure{s.file, r.Case.Line, r.Case.Name, text})
		}
	}
	if failures == nil {
		return nil
	}
	return failures
}

// problems are what is wrong with a case, a line each; an error that several
// have is told once.
func (r *Report) problems(told map[error]bool) (texts []string) {
	add := func(err error) {
		if err != nil && !told[err] {
			told[err] = true
			texts = append(texts, oneLine(err))
		}
	}
	add(r.Err)
	for _, d := range r.Diff {
		texts = append(texts, d.String())
	}
	add(r.Second)
	for _, d := range r.Apart {
		texts = append(texts, fmt.Sprintf("%s: the engines disagree: %s on the compiler, %s on the interpreter", d.Field, d.Want, d.Got))
	}
	return texts
}

// check runs the cases of one configuration. One that is not answered on the
// compiler has failed, and is not put to the slower engine.
func (g *Group) check(ctx context.Context, load Loader) []Report {
	reports := make([]Report, len(g.Cases))
	all := func(where func(*Report) *error, why string, err error) []Report {
		if end := ctx.Err(); end != nil && errors.Is(err, end) {
			err = NotAsked{context.Cause(ctx)}
		}
		err = during(why, err)
		for i := range reports {
			if at := where(&reports[i]); *at == nil {
				*at = err
			}
		}
		return reports
	}
	first := func(r *Report) *error { return &r.Err }
	second := func(r *Report) *error { return &r.Second }
	for i, c := range g.Cases {
		reports[i].Case = c
	}
	var world World
	begin := func(interpreted bool) (Subject, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return load(ctx, g.Config, interpreted, &world)
	}
	compiled, err := begin(false)
	if err != nil {
		return all(first, "the plugin does not load", err)
	}
	for i, c := range g.Cases {
		reports[i].Result = c.Run(ctx, compiled, &world)
		reports[i].Err = during("no answer", reports[i].Err)
	}
	if err := compiled.Close(context.WithoutCancel(ctx)); err != nil {
		return all(first, "the plugin does not close", err)
	}
	interpreted, err := begin(true)
	if err != nil {
		return all(second, "the plugin does not load on the interpreter", err)
	}
	for i, c := range g.Cases {
		if r := &reports[i]; r.Err == nil {
			r.compare(c.Run(ctx, interpreted, &world))
		}
	}
	if err := interpreted.Close(context.WithoutCancel(ctx)); err != nil {
		return all(second, "the plugin does not close on the interpreter", err)
	}
	return reports
}

// compare notes where the interpreter answered otherwise than the compiler.
func (r *Report) compare(other Result) {
	if r.Second = during("no answer on the interpreter", other.Err); r.Second != nil {
		return
	}
	r.Apart = r.Got.expect().compare(other.Got)
}

// during says what was under way when an error came, if that is not plain.
func during(doing string, err error) error {
	if _, ok := err.(NotAsked); ok || err == nil {
		return err
	}
	return &step{doing, err}
}

// step is an error and what was under way.
type step struct {
	doing string
	cause error
}

func (s *step) Error() string { return s.doing + ": " + s.cause.Error() }
func (s *step) Unwrap() error { return s.cause }

// FirstLine returns an error's first line: without the guest's functions.
func FirstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// oneLine returns an error in one line. Of the guest's functions, which follow
// a line each, it has the innermost.
func oneLine(err error) string {
	const most = 8
	text := FirstLine(err)
	if frames := strings.Split(err.Error(), "\n\t")[1:]; len(frames) > 0 {
		text += ", in " + strings.Join(frames[:min(len(frames), most)], " < ")
	}
	return text
}
