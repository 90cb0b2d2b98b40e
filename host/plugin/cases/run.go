package cases

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/authhost/authhost/host"
)

// Subject is a loaded plugin that is asked cases. *plugin.Plugin is one.
//
// A subject is loaded for its cases alone, with Now and Rand of this package
// and one instance: what has drawn from Rand is predictable, and must not
// serve.
type Subject interface {
	Hooks() []string
	Host() host.Plugin
	Close(ctx context.Context) error
}

// Result is what came of a case.
type Result struct {
	Case *Case
	Got  Outcome      // zero with Err
	Err  error        // why there is no answer; for operators: it may hold the guest's own text
	Diff []Difference // a field each; empty if all is as expected
}

// OK says whether all was as expected.
func (r *Result) OK() bool { return r.Err == nil && len(r.Diff) == 0 }

// Observer is a Subject that is told of each case before it is asked.
type Observer interface{ Begin(*Case) }

// NotAsked is why a case was not put to a subject: the context had ended.
type NotAsked struct{ Cause error }

func (n NotAsked) Error() string { return "not asked: " + n.Cause.Error() }

// Unwrap returns the cause.
func (n NotAsked) Unwrap() error { return n.Cause }

// Run asks a subject, which has the configuration of the case's group. Cases
// are asked one at a time, each in the world that it describes, which the
// subject was loaded with. Once the context has ended the error is [NotAsked];
// a case that was begun is bounded by its fuel.
func (c *Case) Run(ctx context.Context, subject Subject, world *World) Result {
	if o, ok := subject.(Observer); ok {
		o.Begin(c)
	}
	r := Result{Case: c}
	world.become(c.kv, c.session, c.attributes, c.replies)
	if ctx.Err() != nil {
		r.Err = NotAsked{context.Cause(ctx)}
		return r
	}
	r.Got, r.Err = c.ask(ctx, subject)
	if e, ok := errors.AsType[*host.Error](r.Err); ok && e.Cause != nil {
		r.Err = e.Cause // what the client would be told is of no interest
	}
	if r.Err == nil {
		r.Diff = c.Want.compare(r.Got)
	}
	return r
}

// Asker returns a function that puts the case to a subject and does nothing
// with the answer, for measuring. An error is that there was none.
func (c *Case) Asker(subject Subject) func(context.Context) error {
	p, call := subject.Host(), c.call
	switch {
	case c.Hook == onAuthorize && p.Authorizer != nil:
		return func(ctx context.Context) error { _, err := p.Authorizer.Authorize(ctx, &call); return err }
	case c.Hook == onCredential && p.Chooser != nil:
		return func(ctx context.Context) error { _, err := p.Chooser.Choose(ctx, &call); return err }
	case c.Hook == onLogin && p.Admitter != nil:
		return func(ctx context.Context) error { _, err := p.Admitter.Admit(ctx, &call); return err }
	case c.Hook == onLogout && p.Notifier != nil:
		return func(ctx context.Context) error { _, err := p.Notifier.Notify(ctx, &call); return err }
	}
	return func(context.Context) error { return c.without(subject) }
}

// without says that a subject lacks the case's hook.
func (c *Case) without(subject Subject) error {
	return fmt.Errorf("the plugin has no %s; it has %s", c.Hook, strings.Join(subject.Hooks(), ", "))
}

// ask puts a case to the hook that it is for.
func (c *Case) ask(ctx context.Context, subject Subject) (Outcome, error) {
	p, call := subject.Host(), c.call
	switch {
	case c.Hook == onAuthorize && p.Authorizer != nil:
		o, err := p.Authorizer.Authorize(ctx, &call)
		if err != nil {
			return Outcome{}, err
		}
		return authorized(o, call.Identity == nil), nil
	case c.Hook == onCredential && p.Chooser != nil:
		o, err := p.Chooser.Choose(ctx, &call)
		if err != nil {
			return Outcome{}, err
		}
		return chosen(o, call.Candidates)
	case c.Hook == onLogin && p.Admitter != nil:
		terms := *call.Terms
		call.Terms = &terms
		a, err := p.Admitter.Admit(ctx, &call)
		if err != nil {
			return Outcome{}, err
		}
		return admitted(a), nil
	case c.Hook == onLogout && p.Notifier != nil:
		calls, err := p.Notifier.Notify(ctx, &call)
		if err != nil {
			return Outcome{}, err
		}
		return notified(calls), nil
	}
	return Outcome{}, c.without(subject)
}

func authorized(o host.Opinion, anonymous bool) Outcome {
	out := Outcome{
		Decision: o.Effect.String(), Status: o.Status(anonymous), Reason: o.Reason,
		Headers: map[string]string{}, Candidate: -1,
	}
	for _, h := range o.Headers {
		out.Headers[h.Name] = h.Value
	}
	return out
}

func chosen(o host.Choice, all []host.Candidate) (Outcome, error) {
	out := Outcome{Reason: o.Reason, Candidate: -1, Headers: map[string]string{}}
	switch o.Effect {
	case host.Allow:
		if o.Candidate < 0 || o.Candidate >= len(all) || all[o.Candidate].Verdict != host.Untried {
			return Outcome{}, fmt.Errorf("%s chose candidate %d, which cannot be tried", onCredential, o.Candidate)
		}
		out.Decision, out.Candidate = "next", o.Candidate
	case host.Deny:
		out.Decision = "stop"
	default:
		out.Decision = "abstain"
	}
	return out, nil
}
