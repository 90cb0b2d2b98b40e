package authorize

import (
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/guest"
)

// MaxHeaders is how many headers one Decision holds.
const MaxHeaders = 8

// Decision is a handler's answer, a plain value. The zero value abstains.
type Decision struct {
	code    uint8
	count   uint8
	status  uint16
	reason  string
	headers string // as they will be answered: a small value is cheap to return
	fetch   *fetch.Request
}

// Abstain leaves the decision to the plugins that follow and to the route.
func Abstain() Decision { return Decision{} }

// Allow lets the request pass unless a plugin that follows denies it.
func Allow() Decision { return Decision{code: guest.CodeYes} }

// Deny refuses the request with 403, or 401 when it is anonymous, and ends the
// chain. The reason is shown to the client: at most 1024 bytes in one line,
// more is cut, and what is not text is replaced.
func Deny(reason string) Decision { return Decision{code: guest.CodeNo, reason: reason} }

// Fetch has something fetched and the handler asked again, which finds it by
// Request.Fetched. It has neither status nor headers.
func Fetch(r fetch.Request) Decision {
	guest.DeclareFetch()
	return Decision{code: guest.CodeFetch, fetch: &r}
}

// Status makes a deny answer 401, 403, 404 or 429. It panics with any other
// status, and unless the decision is a deny.
func (d Decision) Status(status int) Decision {
	if d.code != guest.CodeNo {
		panic("authorize: only a deny has a status")
	}
	switch status {
	case 401, 403, 404, 429:
		d.status = uint16(status)
		return d
	}
	panic("authorize: the status of a deny is 401, 403, 404 or 429")
}

// Header sets a header: on the request that goes upstream, or with a deny on
// the answer to the client. The plugin's configuration must name it; a deny may
// also set Retry-After and WWW-Authenticate. A name or value that cannot be
// sent, or a header that may not be set, fails the call. Header panics beyond
// MaxHeaders.
func (d Decision) Header(name, value string) Decision {
	if d.count == MaxHeaders {
		panic("authorize: more than 8 headers")
	}
	d.headers = guest.AppendHeader(d.headers, name, value)
	d.count++
	return d
}

// Reason sets the reason; unless the decision is a deny, only the log has it.
func (d Decision) Reason(text string) Decision {
	d.reason = text
	return d
}

func (d *Decision) encode() uint64 {
	if d.reason == "" && d.status == 0 && d.count == 0 && d.fetch == nil {
		return uint64(d.code)
	}
	var a guest.Answer
	if d.status != 0 {
		a.Status(int(d.status))
	}
	a.Reason(d.reason)
	a.Headers(d.headers)
	if d.fetch != nil {
		d.fetch.Encode(&a)
	}
	return a.Finish(uint32(d.code))
}
