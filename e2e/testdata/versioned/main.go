// Command versioned is a plugin that says which version of it answers, in two
// places at once: the reason, and the header that its configuration names. A
// DELETE is denied, anything else allowed.
package main

import (
	"errors"
	"strings"

	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/configure"
)

// Set by the linker. With slow, configure takes some hundred
// milliseconds.
var version, slow string

var header string

func init() {
	configure.Handle(func(config []byte) error {
		header = strings.Trim(string(config), `"`)
		if version == "" {
			return errors.New("built without a version")
		}
		if slow != "" {
			spin()
		}
		return nil
	})
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		d := authorize.Allow()
		if r.Method() == "DELETE" {
			d = authorize.Deny("")
		}
		return d.Reason("version "+version).Header(header, version)
	})
}

var spun uint32

func spin() {
	for i := range uint32(100_000_000) {
		spun = spun*31 + i
	}
}

func main() {}
