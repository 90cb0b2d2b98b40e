package author

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
)

// Report is what came of running a module's cases.
type Report struct {
	Plugin   string
	Began    time.Time
	Took     time.Duration
	Cases    []Case
	Failed   int   // of Cases
	NotAsked int   // of Failed, on one engine or on both
	Stopped  error // why they were not asked
	Coverage []Coverage
}

// Case is what came of one case.
type Case struct {
	Name, File string
	Line       int    // of the file, where it begins
	Input      string // what the plugin was asked
	Took       time.Duration
	NotAsked   bool      // on one engine or on both, and nothing else is wrong
	Problems   []Problem // none: it passed
	Stack      []string  // the guest's functions where it ended, the innermost first
	Said       []string  // what the guest wrote meanwhile, of a case that failed
}

// Problem is one thing that is not as it should be: a field of the answer, or
// with Text that there is none.
type Problem struct {
	Field, Want, Got string
	Text             string
	Engines          bool // Want is the compiler's answer, Got the interpreter's
}

// Test runs the module's cases on both engines. Once the context has ended the
// others are not asked and have failed; each call that was begun is bounded by
// its fuel. An error means that there is nothing to run.
func (m *Module) Test(ctx context.Context) (*Report, error) {
	set, err := m.cases()
	if err != nil {
		return nil, err
	}
	r := &Report{Plugin: m.Name, Began: time.Now()}
	asked := map[bool][]*subject{} // by engine: interpreted
	reports := set.Run(ctx, func(ctx context.Context, config []byte, interpreted bool, world *cases.World) (cases.Subject, error) {
		o := plugin.Options{Config: config}
		if interpreted {
			o.Engine = plugin.Interpreter
		}
		s, err := newSubject(ctx, m, o, world)
		if err != nil {
			return nil, err
		}
		asked[interpreted] = append(asked[interpreted], s)
		return s, nil
	})
	for i := range reports {
		c := outcome(&reports[i])
		c.File = cases.File(m.Path)
		for interpreted, subjects := range asked {
			for _, s := range subjects {
				rec := s.of(reports[i].Case)
				c.Took += rec.took
				if len(c.Problems) > 0 && interpreted == (reports[i].Err == nil && reports[i].Second != nil) {
					c.Said = append(c.Said, rec.said...)
				}
			}
		}
		if len(c.Problems) > 0 {
			r.Failed++
		}
		if c.NotAsked {
			r.NotAsked++
			r.Stopped = context.Cause(ctx)
		}
		r.Cases = append(r.Cases, c)
	}
	r.Took = time.Since(r.Began)
	r.Coverage = coverage(m.config, set, reports)
	return r, nil
}

// outcome is what there is to say of a case.
func outcome(r *cases.Report) Case {
	c, unasked := Case{Name: r.Case.Name, Line: r.Case.Line, Input: r.Case.Input()}, 0
	for _, err := range []error{r.Err, r.Second} {
		if err == nil {
			continue
		}
		c.Problems = append(c.Problems, Problem{Text: cases.FirstLine(err)})
		if _, ok := errors.AsType[cases.NotAsked](err); ok {
			unasked++
		}
		if crash, ok := errors.AsType[*plugin.Crash](err); ok && c.Stack == nil {
			c.Stack = crash.Stack
		}
		if n, ok := errors.AsType[*notLoaded](err); ok {
			c.Said = n.said
		}
	}
	for _, d := range r.Diff {
		c.Problems = append(c.Problems, Problem{Field: d.Field, Want: d.Want, Got: d.Got})
	}
	for _, d := range r.Apart {
		c.Problems = append(c.Problems, Problem{Field: d.Field, Want: d.Want, Got: d.Got, Engines: true})
	}
	c.NotAsked = unasked > 0 && unasked == len(c.Problems)
	return c
}

// Err is nil if all cases passed.
func (r *Report) Err() error {
	if r.Stopped != nil {
		return fmt.Errorf("%s: %w: %d of %d cases were not asked", r.Plugin, r.Stopped, r.NotAsked, len(r.Cases))
	}
	if r.Failed > 0 {
		return fmt.Errorf("%s: %d of %d cases failed", r.Plugin, r.Failed, len(r.Cases))
	}
	return nil
}
