package host

import (
	"net/http"
	"time"
)

// Effect is what one plugin said of a request.
type Effect uint8

// The effects. The zero value is Abstain.
const (
	Abstain Effect = iota
	Allow
	Deny
)

// String returns the effect's name: abstain, allow or deny.
func (e Effect) String() string { return [...]string{"abstain", "allow", "deny"}[min(e, Deny)] }

// Header is one header that a decision sets.
type Header struct{ Name, Value string }

// Opinion is one plugin's answer to on_authorize.
type Opinion struct {
	Effect  Effect
	Kind    Kind   // of a deny: Unauthenticated, Forbidden (also the zero value), NotFound, TooManyRequests
	Reason  string // may be shown to the client
	Headers []Header
}

// Status returns what the opinion comes to for the client: 200 for an allow,
// 401, 403, 404 or 429 for a deny, 0 for abstain. It is for those who show or
// compare opinions; what goes on the wire the edge decides.
func (o Opinion) Status(anonymous bool) int {
	switch {
	case o.Effect == Allow:
		return http.StatusOK
	case o.Effect != Deny:
		return 0
	case o.Kind == NotFound:
		return http.StatusNotFound
	case o.Kind == TooManyRequests:
		return http.StatusTooManyRequests
	case o.Kind == Unauthenticated || anonymous:
		return http.StatusUnauthorized
	}
	return http.StatusForbidden
}

// Choice is a plugin's answer to on_credential.
type Choice struct {
	Effect    Effect // Abstain: ask the next plugin; Allow: try Candidate; Deny: stop
	Candidate int    // index into Call.Candidates
	Reason    string // for the log
}

// Decision is the answer to a request. The zero value denies: Unavailable.
type Decision struct {
	Kind       Kind
	Reason     string     // what the log, and for a 403 the client, is told
	Plugin     string     // which plugin decided, if one did
	Headers    []Header   // set by plugins
	Identity   *Identity  // who it is; nil for anonymous or unknown
	Credential Credential // the one that counted; zero if none
	Query      string     // the request's query with credentials struck out
}

// Tried is one credential that a decision looked at.
type Tried struct {
	Credential Credential
	Verdict    Verdict
	Why        string // see Validation
}

// Event is the one record of a request: filled along the way, written once.
type Event struct {
	Start   time.Time
	Elapsed time.Duration
	Plugins time.Duration // spent in plugins

	Edge     string // which convention the request came by
	Peer     string // address of the gateway
	Request  *Request
	Route    string // pattern of the route, empty if none
	Realm    string
	Status   int
	Decision Decision
	Tried    []Tried
	Cause    error // why no decision could be made; for the log alone

	// Trace, when set, is told each step of the decision in words. The request
	// is only explained then, and moves no session's deadline.
	Trace func(format string, args ...any)
}

// Tracef tells Trace, if there is one. Where every request passes, check for
// one first: the arguments alone would cost allocations.
func (e *Event) Tracef(format string, args ...any) {
	if e.Trace != nil {
		e.Trace(format, args...)
	}
}
