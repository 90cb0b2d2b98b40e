package host

import (
	"errors"
	"fmt"
)

// Kind says what sort of end a request or an operation came to. Only the edge
// turns it into a status code.
type Kind uint8

// The kinds. The zero value is Unavailable, so that a result which nobody
// filled in is never an allow.
const (
	Unavailable Kind = iota // cannot decide: 503
	Allowed
	BadRequest      // cannot be read one way only
	Unauthenticated // no valid credential
	Forbidden       // a valid identity that policy denies
	NotFound
	TooManyRequests
	Refused  // understood, and not accepted as it is: 422
	Conflict // not possible as things stand: 409
)

var kindNames = [...]string{"unavailable", "allowed", "bad_request", "unauthenticated", "forbidden", "not_found", "too_many_requests", "refused", "conflict"}

// String returns the kind's name as logs show it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unavailable"
}

// Error is the one error type that crosses rooms: what may be told to a
// client, and the cause that only the log sees.
type Error struct {
	Kind   Kind
	Public string // safe to show anyone; no secret, no input echoed
	Step   string // of several, the one that was Refused; may be empty
	Cause  error  // may be nil

	Plugin  string   // the one that refused; may be empty
	Headers []Header // that it answers with
}

// Errorf makes an Error whose public text is public and whose cause is
// formatted as fmt.Errorf does.
func Errorf(kind Kind, public, format string, args ...any) *Error {
	return &Error{Kind: kind, Public: public, Cause: fmt.Errorf(format, args...)}
}

// Error returns the public text and the cause, for logs.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Public
	}
	return e.Public + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Explain returns an error's kind and public text. An error of any other type
// is Unavailable and opaque.
func Explain(err error) (Kind, string) {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != Allowed {
		return e.Kind, e.Public
	}
	return Unavailable, "internal error"
}
