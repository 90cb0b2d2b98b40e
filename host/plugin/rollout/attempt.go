package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/authhost/authhost/host/plugin/replay"
)

// The steps of an attempt, in their order.
const (
	Read      = "read"      // the module's file
	SHA256    = "sha256"    // the hash that the entry pins
	Signature = "signature" // by one of the entry's keys, and not older than what serves
	Check     = "check"     // of imports and exports; metering
	Compile   = "compile"
	Start     = "start" // one instance
	Configure = "configure"
	Cases     = "cases"  // the plugin's own, on both engines
	Replay    = "replay" // of recent decisions
	Warm      = "warm"   // the rest of the instances
)

// Outcome is what came of a step.
type Outcome string

// The outcomes. Steps after a refused one have none: they are not reached.
const (
	OK      Outcome = "ok"
	Skipped Outcome = "skipped"
	Refused Outcome = "refused"
)

// maxChanges is how many changed decisions of an attempt are kept.
const maxChanges = 50

// Step is one step of an attempt.
type Step struct {
	Name    string
	Outcome Outcome
	Detail  string // what was found, or why it was skipped or refused; may be empty
	Took    time.Duration
}

// Attempt is one attempt to take up what stands in the files. It is immutable
// once it has ended.
type Attempt struct {
	At      time.Time // when it began
	SHA256  string    // of the module, in hex; empty if it was not read
	Version string    // that the signature names; empty if none was judged
	Steps   []Step
	Asked   int             // recent decisions that were replayed
	Changed int             // how many of them the new version decides differently
	Changes []replay.Change // the first of those

	now   func() time.Time
	at    int       // index of the step under way
	begun time.Time // when it was, or went on
}

func newAttempt(now func() time.Time) *Attempt {
	at := now()
	return &Attempt{At: at, now: now, begun: at}
}

// Refused returns the step that ended the attempt, the last one; nil if none
// did.
func (a *Attempt) Refused() *Step {
	if n := len(a.Steps); n > 0 && a.Steps[n-1].Outcome == Refused {
		return &a.Steps[n-1]
	}
	return nil
}

// Find returns the step of that name, nil if it was not reached.
func (a *Attempt) Find(name string) *Step {
	for i := range a.Steps {
		if a.Steps[i].Name == name {
			return &a.Steps[i]
		}
	}
	return nil
}

// begin ends the step under way, and goes on with another; one that was begun
// before goes on.
func (a *Attempt) begin(name string) {
	a.stop()
	for a.at = range a.Steps {
		if a.Steps[a.at].Name == name {
			return
		}
	}
	a.at = len(a.Steps)
	a.Steps = append(a.Steps, Step{Name: name, Outcome: OK})
}

// stop counts the time of the step under way.
func (a *Attempt) stop() {
	now := a.now()
	if a.at < len(a.Steps) {
		a.Steps[a.at].Took += now.Sub(a.begun)
	}
	a.begun = now
}

// ends says what came of the step under way, if that is more than OK.
func (a *Attempt) ends(o Outcome, format string, args ...any) {
	a.Steps[a.at].Outcome, a.Steps[a.at].Detail = o, fmt.Sprintf(format, args...)
}

// refuse makes the step under way the last one.
func (a *Attempt) refuse(reason error) {
	a.stop()
	step := a.Steps[a.at]
	step.Outcome, step.Detail = Refused, reason.Error()
	a.Steps = append(slices.Delete(a.Steps, a.at, a.at+1), step)
	a.at = len(a.Steps) - 1
}

// Refusal says at which step an attempt ended, and why. It is meant for
// operators: it may hold the guest's own text.
type Refusal struct {
	Plugin string
	Step   string
	Cause  error
}

// Error returns everything that is known.
func (r *Refusal) Error() string {
	if r.Step == Read || r.Step == SHA256 { // names the file
		return r.Cause.Error()
	}
	return fmt.Sprintf("plugin %s: %s: %v", r.Plugin, r.Step, r.Cause)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }
