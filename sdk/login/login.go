// Package login is the hook on_login: a client has shown a valid JWT and wants a
// session; may it have one, and on which terms? Importing it declares the hook.
//
//	func init() {
//		login.Handle(func(r *login.Request) login.Decision {
//			if !strings.HasPrefix(r.Client(), "10.") {
//				return login.Refuse("log in from the office")
//			}
//			return login.GoOn().Absolute(min(r.Absolute(), r.Time()*1000+3_600_000)) // an hour
//		})
//	}
//
// It owns no policy; memory and failure are as package sdk describes them.
package login

import (
	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/internal/guest"
)

var handle func(*Request) Decision

// Handle sets the plugin's handler. It is called once, in an init function.
func Handle(h func(*Request) Decision) {
	if handle != nil {
		panic("login: Handle was called twice")
	}
	handle = h
}

// Request is the request to log in, and whom its JWT stands for. It has no
// route. It holds, as every text from it does, until the handler returns.
type Request struct {
	sdk.Request
	sdk.Identity
	call *guest.Call
}

// Idle returns the first moment at which the session ends unless it is used, in
// Unix milliseconds.
func (r *Request) Idle() int64 { return int64(r.call.Number(guest.FieldIdle)) }

// Absolute returns the moment at which the session ends in any case, in Unix
// milliseconds.
func (r *Request) Absolute() int64 { return int64(r.call.Number(guest.FieldAbsolute)) }

var request Request

// serve answers one call of the hook.
func serve(frameLen uint32) uint64 {
	if handle == nil {
		panic("login: Handle was not called in an init function")
	}
	c := guest.Begin(guest.OnLogin, frameLen)
	request = Request{sdk.NewRequest(c), sdk.NewIdentity(c), c}
	d := handle(&request)
	return d.encode()
}
