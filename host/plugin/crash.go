package plugin

import (
	"errors"
	"log/slog"
	"regexp"
	"strconv"
	"strings"

	"github.com/authhost/authhost/host"
)

// Crash is how a guest ended instead of answering, and where. It is meant for
// operators and for the plugin's author: functions are named as the module
// names them.
type Crash struct {
	Where string   // the export that was called
	Cause error    // in one line
	Stack []string // the guest's functions, the innermost first; of some ends the engine tells none
}

// maxStack bounds the functions of a stack that are kept, maxCause the bytes of
// a cause.
const (
	maxStack = 40
	maxCause = 1024
)

// Error returns where and why in the first line, and the functions in those
// that follow.
func (c *Crash) Error() string {
	text := c.Where + ": " + c.Cause.Error()
	for _, name := range c.Stack {
		text += "\n\t" + name
	}
	return text
}

// Unwrap returns the cause.
func (c *Crash) Unwrap() error { return c.Cause }

// stackHead is what the engine writes between the cause of a trap and the
// stack, a function a line.
const stackHead = "\nwasm stack trace:\n"

// parameters are the types that the engine writes after a function's name.
var parameters = regexp.MustCompile(`\([^()]*\)( \S+| \([^()]*\))?$`)

// trap makes a crash of the engine's account of it.
func trap(where string, err error) *Crash {
	text, trace, _ := strings.Cut(err.Error(), stackHead)
	c := &Crash{Where: where}
	if f, ok := errors.AsType[fault](err); ok {
		c.Cause = f
	} else if a, ok := errors.AsType[*away](err); ok {
		c.Cause = a
	} else {
		first, _, _ := strings.Cut(strings.TrimPrefix(text, "wasm error: "), "\n")
		c.Cause = errors.New(clip(first, maxCause))
	}
	for line := range strings.Lines(trace) {
		frame, ok := strings.CutPrefix(line, "\t")
		if !ok {
			break // the host's own functions, where it was one of those that panicked
		}
		// The name begins with the module's: the guest has none.
		name, own := strings.CutPrefix(parameters.ReplaceAllString(strings.TrimSpace(frame), ""), ".")
		if !own {
			continue
		}
		if c.Stack = append(c.Stack, clip(readable(name), maxFuncName)); len(c.Stack) == maxStack {
			break
		}
	}
	return c
}

// readable undoes what Rust, and C++ for what is in a namespace, make of a
// function's name: _ZN6plugin4fall17h9850bc789762e72fE is plugin::fall.
func readable(name string) string {
	rest, ok := strings.CutPrefix(name, "_ZN")
	if !ok {
		return name
	}
	var parts []string
	for !strings.HasPrefix(rest, "E") {
		digits := 0
		for digits < len(rest) && digits < 3 && '0' <= rest[digits] && rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n > len(rest)-digits {
			return name
		}
		parts = append(parts, rest[digits:digits+n])
		rest = rest[digits+n:]
	}
	if parts == nil {
		return name
	}
	if last := len(parts) - 1; last > 0 && rustHash.MatchString(parts[last]) {
		parts = parts[:last]
	}
	return rustSigns.Replace(strings.Join(parts, "::"))
}

var (
	rustHash  = regexp.MustCompile(`^h[0-9a-f]{16}$`)
	rustSigns = strings.NewReplacer("$LT$", "<", "$GT$", ">", "$RF$", "&", "$BP$", "*", "$C$", ",", "$u20$", " ", "$u7b$", "{", "$u7d$", "}", "..", "::")
)

// why is what the log tells of a cause: one line, without a credential.
func why(cause error, c *host.Call) slog.Attr {
	text, _, _ := strings.Cut(cause.Error(), "\n")
	return slog.String("error", c.Blank(text))
}

// account is what the log tells of a call that has no answer: why, and what was
// asked. Neither the query nor a credential's value is among it.
func account(cause error, c *host.Call) []slog.Attr {
	attrs := []slog.Attr{why(cause, c)}
	if crash, ok := errors.AsType[*Crash](cause); ok && len(crash.Stack) > 0 {
		attrs = append(attrs, slog.Any("stack", crash.Stack))
	}
	if r := c.Request; r != nil {
		attrs = append(attrs, slog.String("method", r.Method), slog.String("host", c.Blank(r.Host)), slog.String("path", c.Blank(r.Path)))
	}
	attrs = append(attrs, slog.String("realm", c.Realm), slog.String("route", c.Route))
	if c.Identity != nil {
		attrs = append(attrs, slog.String("user_id", c.Identity.UserID))
	}
	return attrs
}
