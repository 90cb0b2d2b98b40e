// Package logout is the hook on_logout: access has ended, and whoever must know
// is to be told. Importing it declares the hook.
//
//	func init() {
//		logout.Handle(func(e *logout.Event) logout.Answer {
//			return logout.Send(fetch.Post("https://hooks.example/ended", "text/plain", e.UserID()))
//		})
//	}
//
// The end cannot be undone, and whoever logged out does not wait for the
// handler. It is asked again when it fails, and sometimes when it did not; the
// event's id tells. What it has sent is delivered until it is answered with 200
// to 299, for a week, with the header Idempotency-Key. The plugin's entry must
// grant it: {http: {hosts: [hooks.example]}}.
//
// Memory and failure are as package sdk describes them.
package logout

import (
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/guest"
)

var handle func(*Event) Answer

// Handle sets the plugin's handler. It is called once, in an init function.
func Handle(h func(*Event) Answer) {
	if handle != nil {
		panic("logout: Handle was called twice")
	}
	handle = h
}

// Answer is what a handler wants sent, a plain value. The zero value sends
// nothing.
type Answer struct {
	reason string
	calls  []fetch.Request
}

// Nothing has nothing sent.
func Nothing() Answer { return Answer{} }

// Send has requests sent, up to 8. What came of them nobody is told: of a
// request the state counts for nothing.
func Send(requests ...fetch.Request) Answer {
	guest.DeclareFetch()
	return Answer{calls: requests}
}

// Reason sets a reason, for the log.
func (a Answer) Reason(text string) Answer {
	a.reason = text
	return a
}

func (a *Answer) encode() uint64 {
	var out guest.Answer
	out.Reason(a.reason)
	for i := range a.calls {
		a.calls[i].EncodeCall(&out)
	}
	return out.Finish(guest.CodeGoOn)
}

var event Event

// serve answers one call of the hook.
func serve(frameLen uint32) uint64 {
	if handle == nil {
		panic("logout: Handle was not called in an init function")
	}
	event = Event{guest.Begin(guest.OnLogout, frameLen)}
	a := handle(&event)
	return a.encode()
}
