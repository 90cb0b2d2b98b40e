package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds on a request that an answer asks for. One past any of them is an
// error of the plugin; whether it may be sent is another matter.
const (
	MaxMethod = 16   // bytes
	MaxURL    = 2048 // bytes
	MaxBlob   = 4096 // bytes of what the host keeps for the next call
)

// Request is an HTTP request that a plugin wants to have sent.
type Request struct {
	Method, URL string
	Headers     []Header
	Body        []byte
}

// ParseRequest reads the value of an answer field that is a request. It copies
// what it keeps.
func ParseRequest(v []byte) (Request, error) {
	var r Request
	method, v, err := short(v, 1, MaxMethod, "a method")
	if err != nil {
		return r, err
	}
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return r, fmt.Errorf("byte %#02x in a method", c)
		}
	}
	url, v, err := short(v, 1, MaxURL, "a URL")
	if err != nil {
		return r, err
	}
	for _, c := range url {
		if c <= ' ' || c >= 0x7f {
			return r, fmt.Errorf("byte %#02x in a URL", c)
		}
	}
	r.Method, r.URL = string(method), string(url)
	if len(v) < 2 {
		return r, errors.New("no number of headers")
	}
	n := int(binary.LittleEndian.Uint16(v))
	if n > MaxHeaders {
		return r, fmt.Errorf("more than %d headers", MaxHeaders)
	}
	v = v[2:]
	for range n {
		var name, value []byte
		if name, v, err = short(v, 1, MaxHeaderName, "a name"); err != nil {
			return r, err
		}
		if value, v, err = short(v, 0, MaxHeaderValue, "a value"); err != nil {
			return r, err
		}
		h, err := newHeader(name, value)
		if err != nil {
			return r, err
		}
		r.Headers = append(r.Headers, h)
	}
	if len(v) > 0 {
		r.Body = append(r.Body, v...)
	}
	return r, nil
}

// short splits off what stands behind its 16-bit length.
func short(v []byte, least, most int, what string) (part, rest []byte, err error) {
	if len(v) < 2 {
		return nil, nil, fmt.Errorf("no length of %s", what)
	}
	n := int(binary.LittleEndian.Uint16(v))
	v = v[2:]
	if n < least || n > most || n > len(v) {
		return nil, nil, fmt.Errorf("%s of %d bytes in %d, %d to %d are allowed", what, n, len(v), least, most)
	}
	return v[:n], v[n:], nil
}

// AppendRequest appends a request's encoding to b. It checks nothing; a text
// longer than 65535 bytes comes out malformed.
func AppendRequest(b []byte, r Request) []byte {
	text := func(s string) {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	text(r.Method)
	text(r.URL)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Headers)))
	for _, h := range r.Headers {
		text(h.Name)
		text(h.Value)
	}
	return append(b, r.Body...)
}
