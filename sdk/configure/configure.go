// Package configure is the hook configure: the plugin is loaded, here is its
// configuration. Importing it declares the hook.
//
//	func init() {
//		configure.Handle(func(config []byte) error {
//			return json.Unmarshal(config, &settings)
//		})
//	}
//
// Every instance of a plugin is configured once, before any other hook.
package configure

import (
	"unsafe"

	"github.com/authhost/authhost/sdk/internal/guest"
)

var handle func([]byte) error

// Handle sets the plugin's handler. It is called once, in an init function.
// The handler is given the plugin's configuration as JSON; the bytes hold
// until it returns. An error refuses the load, and its text is shown to the
// operator: at most 1024 bytes in one line, more is cut.
func Handle(h func(config []byte) error) {
	if handle != nil {
		panic("configure: Handle was called twice")
	}
	handle = h
}

// serve answers one call of the hook.
func serve(frameLen uint32) uint64 {
	if handle == nil {
		panic("configure: Handle was not called in an init function")
	}
	config := guest.Begin(guest.Configure, frameLen).Text(guest.FieldConfig)
	var a guest.Answer
	if err := handle(unsafe.Slice(unsafe.StringData(config), len(config))); err != nil {
		a.Reason(err.Error())
		return a.Finish(guest.CodeNo)
	}
	return a.Finish(guest.CodeGoOn)
}
