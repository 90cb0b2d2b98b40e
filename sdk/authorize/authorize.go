// Package authorize is the hook on_authorize: identity known, may the request
// pass? Importing it declares the hook.
//
//	func init() {
//		authorize.Handle(func(r *authorize.Request) authorize.Decision {
//			if r.Method() == "DELETE" && !r.HasRole("admin") {
//				return authorize.Deny("deleting needs admin")
//			}
//			return authorize.Abstain()
//		})
//	}
//
// It owns no policy; memory and failure are as package sdk describes them.
package authorize

import "github.com/authhost/authhost/sdk/internal/guest"

var handle func(*Request) Decision

// Handle sets the plugin's handler. It is called once, in an init function.
func Handle(h func(*Request) Decision) {
	if handle != nil {
		panic("authorize: Handle was called twice")
	}
	handle = h
}

var request = newRequest(guest.Current())

// serve answers one call of the hook.
//
//go:wasmexport on_authorize
func serve(frameLen uint32) uint64 {
	if handle == nil {
		panic("authorize: Handle was not called in an init function")
	}
	guest.Begin(guest.OnAuthorize, frameLen)
	d := handle(&request)
	if d.bare() {
		return d.head
	}
	return d.encode()
}
