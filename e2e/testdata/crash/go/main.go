// Command crash is a plugin that ends as its path says.
package main

import (
	"unsafe"

	"github.com/authhost/authhost/sdk/authorize"
)

var sink int

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		switch r.Path() {
		case "/fall":
			fall()
		case "/reach":
			reach()
		case "/turn":
			turn()
		}
		return authorize.Abstain()
	})
}

//go:noinline
func fall() { panic("as told") }

//go:noinline
func reach() { sink = int(*(*byte)(unsafe.Pointer(uintptr(0xfffffff0)))) }

//go:noinline
func turn() {
	for {
		sink++
	}
}

func main() {}
