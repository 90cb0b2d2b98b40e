package edge

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/authhost/authhost/host"
)

// Problem is an error answer (RFC 9457). Its texts are for anyone's eyes.
type Problem struct {
	Type   string `json:"type"`   // empty: about:blank
	Title  string `json:"title"`  // empty: that of Status
	Status int    `json:"status"` // an HTTP status
	Reason string `json:"reason"`
	Plugin string `json:"plugin,omitempty"`
	Step   string `json:"step,omitempty"` // at which something was refused
}

// retryAfter is what a client is told to wait, in seconds, when nothing can be
// decided or done.
const retryAfter = "5"

// Write sends the problem as the answer. Headers that are already set, such
// as WWW-Authenticate, stay; with 401 there is always one, with 503 a
// Retry-After. A 401 says the same whatever the reason was.
func (p Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch p.Status {
	case http.StatusUnauthorized:
		p.Reason, p.Plugin = "unauthenticated", ""
		setDefault(h, "Www-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		setDefault(h, "Retry-After", retryAfter)
	}
	if p.Type == "" {
		p.Type = "about:blank"
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	body, _ := json.Marshal(p) // a struct of texts and a number always has a JSON form
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n')) // a client that went away needs no answer
}

// Fail answers with err: its kind's status and its public text. Of an error
// that is no *host.Error nothing is told.
func Fail(w http.ResponseWriter, err error) {
	note(w, err)
	kind, reason := host.Explain(err)
	p := Problem{Status: Status(kind), Reason: reason}
	if e, ok := errors.AsType[*host.Error](err); ok {
		p.Step, p.Plugin = e.Step, e.Plugin
		for _, h := range e.Headers {
			setOne(w.Header(), http.CanonicalHeaderKey(h.Name), oneLine(h.Value))
		}
	}
	p.Write(w)
}

// note puts into the record why a request to one of our own endpoints failed.
func note(w http.ResponseWriter, err error) {
	if o, ok := w.(*ownWriter); ok {
		o.failed(err)
	}
}

// NotAllowed answers 405; Allow must have been set.
func NotAllowed(w http.ResponseWriter) {
	note(w, &host.Error{Kind: host.BadRequest, Public: "method_not_allowed"})
	Problem{Status: http.StatusMethodNotAllowed, Reason: "method_not_allowed"}.Write(w)
}

// Status returns the HTTP status of a kind; 503 for one that it does not know.
func Status(k host.Kind) int {
	switch k {
	case host.Allowed:
		return http.StatusOK
	case host.BadRequest:
		return http.StatusBadRequest
	case host.Unauthenticated:
		return http.StatusUnauthorized
	case host.Forbidden:
		return http.StatusForbidden
	case host.NotFound:
		return http.StatusNotFound
	case host.TooManyRequests:
		return http.StatusTooManyRequests
	case host.Refused:
		return http.StatusUnprocessableEntity
	case host.Conflict:
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable
}

func setDefault(h http.Header, key, value string) {
	if len(h[key]) == 0 {
		h[key] = []string{value}
	}
}
