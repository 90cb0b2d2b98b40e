// Package fetch is what handlers that need an answer from elsewhere say and are
// told: a handler returns what it wants to have fetched, and is asked again
// with what came of it.
//
//	authorize.Handle(func(r *authorize.Request) authorize.Decision {
//		got, ok := r.Fetched()
//		if !ok {
//			return authorize.Fetch(fetch.Get("https://policy.example/users/" + r.UserID()))
//		}
//		switch got.Status {
//		case 200:
//			return authorize.Allow()
//		case 404:
//			return authorize.Deny("the policy server does not know you")
//		}
//		panic("the policy server is away") // 503: it cannot be decided
//	})
//
// The plugin's entry must grant it: {http: {hosts: [policy.example]}}. The
// handler that is asked again may be that of another instance, and knows what is
// in [Request.State] and nothing else. There are at most 3 fetches for one
// request, of 5 seconds in all.
package fetch

import "github.com/authhost/authhost/sdk/internal/guest"

// Request is what is to be fetched. A URL begins with https://, or http:// where
// the grant says private, and names a host that is granted. One that may not be
// sent comes back with the error [Refused]; one that is too long, or no request
// at all, fails the call.
type Request struct {
	Method  string // GET if empty; GET, HEAD, POST, PUT, PATCH or DELETE
	URL     string
	Headers [][2]string // names and values, up to 32
	Body    string
	State   string // what the handler wants to know again, up to 4096 bytes
}

// Get returns a request for a URL.
func Get(url string) Request { return Request{URL: url} }

// Post returns a request that sends a body of that type.
func Post(url, contentType, body string) Request {
	return Request{Method: "POST", URL: url, Body: body, Headers: [][2]string{{"Content-Type", contentType}}}
}

// Keep returns the request with another state.
func (r Request) Keep(state string) Request {
	r.State = state
	return r
}

// Encode is for the SDK's own hook packages.
func (r *Request) Encode(a *guest.Answer) {
	a.Request(r.method(), r.URL, r.Body, r.Headers)
	a.Blob(r.State)
}

// EncodeCall is so, too: of a request that nobody is told the answer to.
func (r *Request) EncodeCall(a *guest.Answer) {
	a.Call(r.method(), r.URL, r.Body, r.Headers)
}

func (r *Request) method() string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}

// Error says in one word why there is no answer.
type Error string

// The errors.
const (
	Refused     Error = "refused"     // not granted, not allowed, or of the wrong form
	Unreachable Error = "unreachable" // no name, no connection, no trust, no HTTP
	Timeout     Error = "timeout"
	TooLarge    Error = "too_large" // a body beyond 64 KiB
)

// Response is what came of a request. Its texts hold until the handler returns.
type Response struct {
	Status int // 0: there was no answer. Redirects are not followed
	Body   string
	Error  Error // why there was no answer
	State  string
}
