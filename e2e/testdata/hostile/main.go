// Command hostile is a plugin that does what no plugin should, as its
// configuration says.
package main

import (
	"errors"
	"os"
	"strings"

	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/configure"
)

var (
	mode string
	kept [][]byte
)

func init() {
	configure.Handle(func(config []byte) error {
		mode = strings.Trim(string(config), `"`)
		if mode == "refuse" {
			return errors.New("hostile-secret: not with me")
		}
		return nil
	})
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		switch mode {
		case "loop":
			for {
				kept = kept[:0]
			}
		case "panic":
			panic("hostile-secret of " + r.Subject())
		case "exit":
			os.Exit(3)
		case "eat":
			for {
				kept = append(kept, make([]byte, 1<<20))
			}
		case "garbage":
			for {
				kept = append(kept[:0], make([]byte, 1<<16))
			}
		case "recurse":
			return authorize.Allow().Reason(deeper(0))
		case "chatter":
			for {
				sdk.Info(strings.Repeat("hostile-secret ", 1000))
			}
		case "undeclared":
			return authorize.Allow().Header("X-Undeclared", "hostile-secret")
		}
		return authorize.Allow()
	})
}

func deeper(n int) string { return deeper(n+1) + "." }

func main() {}
