package host

import (
	"net/http"
	"net/netip"
	"strings"
)

// Request is one request to the platform, judged as the gateway will forward
// it. The edge builds it once; nobody changes it afterwards.
type Request struct {
	Method    string      // an upper-case token
	Scheme    string      // http or https
	Authority string      // host and port as the client named them
	Host      string      // lower case, no port, no final dot
	Path      string      // begins with "/", decoded once
	RawPath   string      // begins with "/", as it will be forwarded
	RawQuery  string      // without "?"; may hold a credential: never log it
	Header    http.Header // the client's headers
	Client    netip.Addr  // the client, behind the trusted gateways
}

// CrossOrigin says whether another site made the browser send the request, by
// the rules of http.CrossOriginProtection: a cookie alone then does not speak
// for its user. Requests with a safe method, and those of no browser, are not.
// The handshake of a WebSocket is a GET, but no browser keeps other sites from
// reading and writing what it opens: its method is not taken for safe.
func (r *Request) CrossOrigin() bool {
	var rules http.CrossOriginProtection
	method := r.Method
	if r.opensWebSocket() {
		method = http.MethodPost
	}
	return rules.Check(&http.Request{Method: method, Header: r.Header, Host: r.Authority}) != nil
}

// opensWebSocket says whether the request is the handshake of one (RFC 6455,
// section 4.1). Gateways that ask for decisions leave out Upgrade.
func (r *Request) opensWebSocket() bool {
	return len(r.Header["Sec-Websocket-Version"]) > 0 || len(r.Header["Sec-Websocket-Key"]) > 0 ||
		strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// IsMethod says whether s can be the method of a request that is judged: an
// upper-case token, as every registered method is.
func IsMethod(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '-') {
			return false
		}
	}
	return s != ""
}

// IsToken says whether s is a token (RFC 9110, section 5.6.2), as the names of
// headers, cookies and parameters are.
func IsToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
