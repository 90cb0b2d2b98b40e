package cases

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/authhost/authhost/host"
)

// Subject is a loaded plugin that is asked cases. *plugin.Plugin is one.
//
// Load a subject for its cases alone, with Now and Rand of this package and
// one instance, and close it afterwards: what has drawn from Rand is
// predictable, and must not serve.
type Subject interface {
	Hooks() []string
	Host() host.Plugin
}

// Now is the clock that a subject is loaded with.
func Now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// Rand returns what a subject draws random bytes from: always the same ones.
// Each subject needs one of its own.
func Rand() io.Reader { return rand.NewChaCha8([32]byte{}) }

// Set is the cases of one file, in their order. It is immutable.
type Set struct {
	file  string
	cases []*Case
}

// Len returns how many cases there are, at least one.
func (s *Set) Len() int { return len(s.cases) }

// Case is one request and what is expected of it.
type Case struct {
	Name string
	Hook string // on_authorize or on_credential
	Line int    // where it begins in its file
	Want Expect

	call host.Call
}

// Expect is what a case expects; what is nil is not compared.
type Expect struct {
	Decision  string            // allow, deny, abstain; of on_credential next, stop, abstain
	Status    *int              // that the client sees; of allow and deny
	Reason    *string           // empty: none
	Headers   map[string]string // all of them, by canonical name
	Candidate *int              // of next: the index of the one to try
}

// Outcome is what a plugin answered.
type Outcome struct {
	Decision  string
	Status    int // 0: none, as of abstain
	Reason    string
	Headers   map[string]string // by canonical name; nil: none
	Candidate int               // -1: none
}

// Difference is one field that is not as expected.
type Difference struct{ Field, Want, Got string }

// String returns "field: want …, got …" in one line.
func (d Difference) String() string { return d.Field + ": want " + d.Want + ", got " + d.Got }

// Result is what came of a case.
type Result struct {
	Case *Case
	Got  Outcome      // zero with Err
	Err  error        // why there is no answer; for operators: it may hold the guest's own text
	Diff []Difference // a field each; empty if all is as expected
}

// OK says whether all was as expected.
func (r *Result) OK() bool { return r.Err == nil && len(r.Diff) == 0 }

// Run asks the subject each case, in order and one at a time.
func (s *Set) Run(ctx context.Context, subject Subject) []Result { return nil }

// Check runs all cases on both engines. An error is Failures: what was not as
// expected, and where the engines do not agree.
func (s *Set) Check(ctx context.Context, compiled, interpreted Subject) error { return nil }

// Failure is one thing that a case found wrong.
type Failure struct {
	File string
	Line int    // where the case begins
	Case string // its name
	Text string // "reason: want …, got …", or why there was no answer
}

// Error returns everything in one line: `file:line: case "name": text`.
func (f *Failure) Error() string { return f.Text }

// Failures is everything that a check found, in the order of the cases.
type Failures []*Failure

// Error returns one failure a line.
func (fs Failures) Error() string { return "" }
