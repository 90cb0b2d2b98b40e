package sdk

import (
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/internal/guest"
)

// Request is the request that a hook is asked about, as the gateway will
// forward it. It holds, as every text from it does, until the handler returns.
type Request struct{ call *guest.Call }

// NewRequest is for the SDK's own hook packages.
func NewRequest(c *guest.Call) Request { return Request{c} }

// Method returns the method, an upper-case token.
func (r *Request) Method() string { return r.call.Text(guest.FieldMethod) }

// Scheme returns http or https.
func (r *Request) Scheme() string { return r.call.Text(guest.FieldScheme) }

// Host returns the host in lower case, without port and final dot.
func (r *Request) Host() string { return r.call.Text(guest.FieldHost) }

// Path returns the path decoded once: the one to judge. It need not be UTF-8.
func (r *Request) Path() string { return r.call.Text(guest.FieldPath) }

// RawPath returns the path as it will be forwarded.
func (r *Request) RawPath() string { return r.call.Text(guest.FieldRawPath) }

// Query returns the raw query without "?" and without credentials.
func (r *Request) Query() string { return r.call.Text(guest.FieldQuery) }

// Client returns the client's IP address, the one behind the gateways.
func (r *Request) Client() string { return r.call.Text(guest.FieldClient) }

// Time returns when the request came, in Unix seconds.
func (r *Request) Time() int64 { return int64(r.call.Number(guest.FieldTime)) }

// Route returns the path pattern of the route that matched.
func (r *Request) Route() string { return r.call.Text(guest.FieldRoute) }

// Realm returns the realm's name.
func (r *Request) Realm() string { return r.call.Text(guest.FieldRealm) }

// Fetched returns what came of the request that the handler wanted to have sent
// when it was asked before; ok is false when it is asked for the first time.
func (r *Request) Fetched() (got fetch.Response, ok bool) {
	if !r.call.There(guest.FieldFetchStatus) {
		return got, false
	}
	return fetch.Response{
		Status: int(r.call.Number(guest.FieldFetchStatus)),
		Body:   r.call.Text(guest.FieldFetchBody),
		Error:  fetch.Error(r.call.Text(guest.FieldFetchError)),
		State:  r.call.Text(guest.FieldFetchBlob),
	}, true
}

// Header returns the first request header of that name, in any case. One that
// carries credentials, such as Authorization and Cookie, is not there.
func (r *Request) Header(name string) (value string, ok bool) {
	return r.call.Get(guest.GetHeader, name, 0)
}

// HeaderAt returns the header's i-th value, from 0, of those that repeat.
func (r *Request) HeaderAt(name string, i int) (value string, ok bool) {
	return r.call.Get(guest.GetHeader, name, i)
}

// Cookie returns the first cookie of that name; not one that is a credential.
func (r *Request) Cookie(name string) (value string, ok bool) {
	return r.call.Get(guest.GetCookie, name, 0)
}

// CookieAt returns the i-th cookie of that name, from 0.
func (r *Request) CookieAt(name string, i int) (value string, ok bool) {
	return r.call.Get(guest.GetCookie, name, i)
}

// QueryParam returns the first query parameter of that name, decoded; not one
// that is a credential.
func (r *Request) QueryParam(name string) (value string, ok bool) {
	return r.call.Get(guest.GetQuery, name, 0)
}

// QueryParamAt returns the i-th query parameter of that name, from 0.
func (r *Request) QueryParamAt(name string, i int) (value string, ok bool) {
	return r.call.Get(guest.GetQuery, name, i)
}
