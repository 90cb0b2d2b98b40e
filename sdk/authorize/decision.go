package authorize

import (
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/guest"
)

// MaxHeaders is how many headers one Decision holds.
const MaxHeaders = 8

// Decision is a handler's answer, a plain value. The zero value abstains.
type Decision struct {
	// Code, count of headers, status and length of headers, in 8, 8, 16 and 32
	// bits: the compiler passes a value of four words without a call.
	head  uint64
	text  string // the headers as they will be answered, then the reason
	fetch *fetch.Request
}

func (d *Decision) code() uint32    { return uint32(d.head & 0xff) }
func (d *Decision) status() int     { return int(d.head >> 16 & 0xffff) }
func (d *Decision) headers() string { return d.text[:d.head>>32] }
func (d *Decision) reason() string  { return d.text[d.head>>32:] }

// Abstain leaves the decision to the plugins that follow and to the route.
func Abstain() Decision { return Decision{} }

// Allow lets the request pass unless a plugin that follows denies it.
func Allow() Decision { return Decision{head: guest.CodeYes} }

// Deny refuses the request with 403, or 401 when it is anonymous, and ends the
// chain. The reason is shown to the client: at most 1024 bytes in one line,
// more is cut, and what is not text is replaced.
func Deny(reason string) Decision { return Decision{head: guest.CodeNo, text: reason} }

// Fetch has something fetched and the handler asked again, which finds it by
// Request.Fetched. It has neither status nor headers.
func Fetch(r fetch.Request) Decision {
	guest.DeclareFetch()
	return Decision{head: guest.CodeFetch, fetch: &r}
}

// Status makes a deny answer 401, 403, 404 or 429. It panics with any other
// status, and unless the decision is a deny.
func (d Decision) Status(status int) Decision {
	if d.code() != guest.CodeNo {
		panic("authorize: only a deny has a status")
	}
	switch status {
	case 401, 403, 404, 429:
		d.head = d.head&^(0xffff<<16) | uint64(status)<<16
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
	if d.head>>8&0xff == MaxHeaders {
		panic("authorize: more than 8 headers")
	}
	list := guest.AppendHeader(d.headers(), name, value)
	d.text = guest.Join(list, d.reason())
	d.head = d.head&0xffffffff + 1<<8 | uint64(len(list))<<32
	return d
}

// Reason sets the reason; unless the decision is a deny, only the log has it.
func (d Decision) Reason(text string) Decision {
	d.text = guest.Join(d.headers(), text)
	return d
}

// bare says that the answer is the code alone.
func (d *Decision) bare() bool { return d.head>>8 == 0 && d.text == "" && d.fetch == nil }

func (d *Decision) encode() uint64 {
	var a guest.Answer
	if d.status() != 0 {
		a.Status(d.status())
	}
	a.Reason(d.reason())
	a.List(d.headers())
	if d.fetch != nil {
		d.fetch.Encode(&a)
	}
	return a.Finish(d.code())
}
