package replay

import (
	"context"

	"github.com/authhost/authhost/host"
)

// Report is what another version would change.
type Report struct {
	Asked   int
	Changed []Change // in the order in which the decisions were first made

	// Next has what the new version answered, without the calls that failed:
	// the Recorder for it to go on with once it serves.
	Next *Recorder
}

// Change is one request that the new version would decide differently.
type Change struct {
	Method, Host, Path string
	UserID             string // empty: anonymous
	Roles              []string
	Old, New           Answer
}

// Answer is one version's answer.
type Answer struct {
	Effect  host.Effect
	Status  int // that the client sees: of a deny 401, 403, 404 or 429; of an allow 200; else 0
	Reason  string
	Headers []host.Header // by name
	Err     error         // why there is no answer; for operators: it may hold the guest's own text
}

// String returns the change in one line, for people.
func (c Change) String() string { return "" }

// Replay asks the new version each request that is kept, at the time at which
// it came. A different effect, status, reason or header is a change, and so is
// a call that fails, or that ctx leaves no time for.
func (r *Recorder) Replay(ctx context.Context, next host.Authorizer) Report { return Report{} }
