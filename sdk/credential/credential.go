// Package credential is the hook on_credential: a credential failed and others
// are left; which is to be tried next? Importing it declares the hook.
//
//	func init() {
//		credential.Handle(func(r *credential.Request) credential.Choice {
//			for c := range r.Candidates {
//				if c.Source == credential.Cookie && !c.Tried() {
//					return credential.Try(c)
//				}
//			}
//			return credential.Abstain()
//		})
//	}
//
// A plugin sees of a credential where it was found, what it looks like and
// what was said of it, never its value. Memory and failure are as package sdk
// describes them.
package credential

import (
	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/guest"
)

var handle func(*Request) Choice

// Handle sets the plugin's handler. It is called once, in an init function.
func Handle(h func(*Request) Choice) {
	if handle != nil {
		panic("credential: Handle was called twice")
	}
	handle = h
}

var request Request

// serve answers one call of the hook.
func serve(frameLen uint32) uint64 {
	if handle == nil {
		panic("credential: Handle was not called in an init function")
	}
	c := guest.Begin(guest.OnCredential, frameLen)
	request.Request, request.call = sdk.NewRequest(c), c
	choice := handle(&request)
	return choice.encode()
}

// Request is a request whose credential failed. It holds, as every text from
// it does, until the handler returns.
type Request struct {
	sdk.Request
	call *guest.Call
}

// Candidates yields every credential that the request carries, in the realm's
// order, tried or not. It is an iterator itself, since one that is returned may
// be allocated:
//
//	for c := range r.Candidates {
func (r *Request) Candidates(yield func(Candidate) bool) {
	i := 0
	guest.Each(r.call.Text(guest.FieldCandidates), func(item string) bool {
		i++
		return yield(newCandidate(i-1, item))
	})
}

// Choice is a handler's answer, a plain value. The zero value abstains.
type Choice struct {
	code   uint8
	index  uint32
	reason string
	fetch  *fetch.Request
}

// Abstain leaves the choice to the plugins that follow. If all abstain, no
// other credential is tried and the request is answered 401.
func Abstain() Choice { return Choice{} }

// Try has the host try that candidate next. One that was tried before fails
// the call.
func Try(c Candidate) Choice { return Choice{code: guest.CodeYes, index: uint32(c.index)} }

// Stop refuses the request with 401, whatever other plugins would say.
func Stop() Choice { return Choice{code: guest.CodeNo} }

// Fetch has something fetched and the handler asked again, which finds it by
// Request.Fetched.
func Fetch(r fetch.Request) Choice {
	guest.DeclareFetch()
	return Choice{code: guest.CodeFetch, fetch: &r}
}

// Reason sets a reason for the log.
func (c Choice) Reason(text string) Choice {
	c.reason = text
	return c
}

func (c *Choice) encode() uint64 {
	var a guest.Answer
	a.Reason(c.reason)
	if c.code == guest.CodeYes {
		a.Candidate(int(c.index))
	}
	if c.fetch != nil {
		c.fetch.Encode(&a)
	}
	return a.Finish(uint32(c.code))
}
