package rollout

import (
	"context"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host/plugin"
)

// Options are what versions are made with.
type Options struct {
	Cache   *plugin.Cache
	Logger  *slog.Logger     // nil: nothing is logged
	Metrics plugin.Metrics   // nil: nothing is counted
	Counts  plugin.Counts    // nil: what plugins count goes nowhere
	Now     func() time.Time // nil: time.Now

	// KV opens the keys of a plugin that is granted some, Sessions is for those
	// that are granted that. They must be set where an entry grants it.
	KV       func(plugin string, keys int) (plugin.KV, error)
	Sessions plugin.Sessions
	// HTTP asks the hosts that a plugin is granted.
	HTTP func(hosts []string, private bool) plugin.Fetcher
}

// State says what became last of a plugin.
type State string

// The states.
const (
	Serving    State = "serving"     // what stands in the files
	Kept       State = "refused"     // an older version: what stands in the files was refused
	RolledBack State = "rolled_back" // an older version, by the operator's wish
)

// Status is what is to be known of a plugin. It is immutable.
type Status struct {
	Name     string
	State    State
	Serving  Generation
	Previous *Generation // nil: there is none to go back to
	Last     *Attempt
}

// Rollout is the succession of one plugin's versions. One goroutine calls its
// methods; Status may be called by any. Make one with [New].
type Rollout struct {
	name    string
	opts    Options
	numbers int // of generations so far

	spec              Spec // in force
	serving, previous *Version
	tried             tried
	pending           *outcome               // of the last attempt, by an entry that is not in force yet
	settled           *Status                // of what was tried, by the entry in force
	status            atomic.Pointer[Status] // that, or how another entry was refused
}

// tried is what an attempt was made of.
type tried struct {
	spec  Spec
	print imprint
}

// outcome is what came of an attempt.
type outcome struct {
	tried   tried
	state   State
	attempt *Attempt
}

// New returns a rollout of the plugin of that name, of which nothing serves yet.
func New(name string, o Options) *Rollout {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Rollout{name: name, opts: o}
}

// Candidate is what an entry is to be served by. The zero Candidate is nothing.
type Candidate struct {
	Version *Version
	// Attempt is how it was made; nil if it serves already.
	Attempt *Attempt
	spec    Spec
}

// Try makes the version that spec and its files ask for, unless it serves
// already or nothing has changed since the last attempt; again: in any case.
//
// With an error, always a [*Refusal], the candidate is what serves, if the
// entry is the one in force, else nothing: then spec cannot be served.
func (r *Rollout) Try(ctx context.Context, spec Spec, file ReadFile, again bool) (Candidate, error) {
	keep := Candidate{Version: r.serving, spec: spec}
	r.pending = nil
	a := newAttempt(r.opts.Now)
	a.begin(Read)
	c, err := spec.read(file)
	now := tried{spec, c.print}
	if r.serving != nil && !again {
		switch {
		case reflect.DeepEqual(r.tried, now):
			return keep, nil
		case r.serving.is(now):
			a.SHA256, a.Version = r.serving.SHA256, r.serving.Version
			a.ends(OK, "it serves already")
			r.keep(outcome{now, Serving, a})
			return keep, nil
		}
	}
	var v *Version
	if err == nil {
		v, err = r.make(ctx, a, spec, c)
	}
	if err == nil {
		a.stop()
		return Candidate{Version: v, Attempt: a, spec: spec}, nil
	}
	a.refuse(err)
	err = &Refusal{Plugin: r.name, Step: a.Refused().Name, Cause: err}
	switch {
	case r.serving == nil:
		return Candidate{}, err
	case !spec.sameRun(r.spec):
		r.status.Store(r.tell(Kept, a))
		return Candidate{}, err
	}
	r.keep(outcome{now, Kept, a})
	return keep, err
}

// keep notes what came of an attempt that leaves what serves. Of one by another
// entry than that in force only the refusal is told, until that entry is.
func (r *Rollout) keep(o outcome) {
	if reflect.DeepEqual(o.tried.spec, r.spec) {
		r.settle(o)
		return
	}
	if r.pending = &o; o.state == Kept {
		r.status.Store(r.tell(Kept, o.attempt))
	}
}

// Back returns the previous generation, to be served in place of the one that
// serves; ok is false when there is none.
func (r *Rollout) Back() (c Candidate, ok bool) {
	return Candidate{Version: r.previous, spec: r.spec}, r.previous != nil
}

// Serve notes that c, of Try or Back, is in force. It returns the version that
// is not needed any more, if there is one: to be closed once no request uses it.
func (r *Rollout) Serve(c Candidate) (gone *Version) {
	r.spec = c.spec
	left := r.serving
	pending := r.pending
	r.pending = nil
	if c.Version == left {
		if pending != nil && reflect.DeepEqual(pending.tried.spec, c.spec) {
			r.settle(*pending)
		}
		return nil
	}
	r.serving = c.Version
	if left != nil {
		left.serves(false)
	}
	c.Version.serves(true)
	switch {
	case left == nil:
	case c.Version == r.previous:
		r.previous = left
	case left.differs(c.Version):
		gone, r.previous = r.previous, left
	default:
		gone = left
	}
	switch {
	case c.Attempt != nil:
		r.settle(outcome{tried{c.spec, c.Version.print}, Serving, c.Attempt})
	case c.Version.is(r.tried):
		r.settle(outcome{r.tried, Serving, r.settled.Last})
	default:
		r.settle(outcome{r.tried, RolledBack, r.settled.Last})
	}
	return gone
}

// Withdrawn notes that nobody asks any more for an entry that was refused: it is
// no longer told of.
func (r *Rollout) Withdrawn() { r.status.Store(r.settled) }

// All returns every version that is kept.
func (r *Rollout) All() (all []*Version) {
	for _, v := range []*Version{r.serving, r.previous} {
		if v != nil {
			all = append(all, v)
		}
	}
	return all
}

// Serving returns the version in force; nil if there is none yet.
func (r *Rollout) Serving() *Version { return r.serving }

// Status returns what is known of the plugin; nil before anything has served.
func (r *Rollout) Status() *Status { return r.status.Load() }

// settle notes what was tried by the entry in force, and what came of it.
func (r *Rollout) settle(o outcome) {
	r.tried, r.settled = o.tried, r.tell(o.state, o.attempt)
	r.status.Store(r.settled)
}

func (r *Rollout) tell(state State, a *Attempt) *Status {
	s := &Status{Name: r.name, State: state, Serving: r.serving.Generation, Last: a}
	if r.previous != nil {
		s.Previous = &r.previous.Generation
	}
	return s
}
