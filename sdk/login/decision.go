package login

import (
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/guest"
)

// Decision is a handler's answer, a plain value. The zero value goes on.
type Decision struct {
	code           uint8
	status         uint16
	reason         string
	headers        string
	idle, absolute int64
	attributes     string // as they will be answered, as the headers are
	fetch          *fetch.Request
}

// GoOn agrees to the session, unless a plugin that follows refuses it.
func GoOn() Decision { return Decision{} }

// Refuse refuses the session with 403 and ends the chain. The reason is shown to
// the client: at most 1024 bytes in one line, more is cut, and what is not text
// is replaced.
func Refuse(reason string) Decision { return Decision{code: guest.CodeNo, reason: reason} }

// Fetch has something fetched and the handler asked again, which finds it by
// Request.Fetched.
func Fetch(r fetch.Request) Decision {
	guest.DeclareFetch()
	return Decision{code: guest.CodeFetch, fetch: &r}
}

// Status makes a refusal answer 401, 403 or 429. It panics with any other
// status, and unless the decision is a refusal.
func (d Decision) Status(status int) Decision {
	if d.code != guest.CodeNo {
		panic("login: only a refusal has a status")
	}
	switch status {
	case 401, 403, 429:
		d.status = uint16(status)
		return d
	}
	panic("login: the status of a refusal is 401, 403 or 429")
}

// Header sets a header of a refusal's answer: Retry-After, WWW-Authenticate, or
// one that the plugin's configuration names. It panics unless the decision is a
// refusal.
func (d Decision) Header(name, value string) Decision {
	if d.code != guest.CodeNo {
		panic("login: only a refusal has headers")
	}
	d.headers = guest.AppendHeader(d.headers, name, value)
	return d
}

// Reason sets the reason; unless the decision is a refusal, only the log has it.
func (d Decision) Reason(text string) Decision {
	d.reason = text
	return d
}

// Idle brings the session's first idle deadline forward, to Unix milliseconds,
// and lets it never lie unused for longer than until then. One that is later
// than Request.Idle, or past, fails the call; 0 panics.
func (d Decision) Idle(ms int64) Decision {
	d.goesOn()
	d.idle = deadline(ms)
	return d
}

// Absolute brings the moment forward at which the session ends in any case,
// likewise.
func (d Decision) Absolute(ms int64) Decision {
	d.goesOn()
	d.absolute = deadline(ms)
	return d
}

// Attribute has the session remember a value under a name of 1 to 256 bytes, set
// once by one plugin. A session holds 64 attributes of 4096 bytes in all; more
// fails the call.
func (d Decision) Attribute(name, value string) Decision {
	d.goesOn()
	d.attributes = guest.AppendAttribute(d.attributes, name, value)
	return d
}

// deadline refuses 0, which in a Decision stands for none.
func deadline(ms int64) int64 {
	if ms == 0 {
		panic("login: a deadline of 0 is past")
	}
	return ms
}

func (d Decision) goesOn() {
	if d.code != guest.CodeGoOn {
		panic("login: only a session that is agreed to has terms")
	}
}

func (d *Decision) encode() uint64 {
	var a guest.Answer
	if d.status != 0 {
		a.Status(int(d.status))
	}
	a.Reason(d.reason)
	a.List(d.headers)
	if d.idle != 0 {
		a.Idle(d.idle)
	}
	if d.absolute != 0 {
		a.Absolute(d.absolute)
	}
	a.List(d.attributes)
	if d.fetch != nil {
		d.fetch.Encode(&a)
	}
	return a.Finish(uint32(d.code))
}
