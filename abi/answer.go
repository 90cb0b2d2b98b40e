package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"
)

const answerHead = 8 // u16 id, u16 zero, u32 length

// Header is one header that an answer sets.
type Header struct{ Name, Value string }

// Answer is what a hook returned, copied out of the guest's memory.
type Answer struct {
	Code         Code
	Status       int // 0: none given
	Reason       string
	Headers      []Header
	Candidate    int
	HasCandidate bool
	Idle         uint64 // Unix milliseconds; 0: none given
	Absolute     uint64
	Attributes   []Attribute
	Calls        []Request
	Request      *Request // nil but with CodeFetch
	Blob         []byte
}

// SplitResult splits a hook's result into its code and the answer's length.
func SplitResult(result uint64) (Code, uint32) {
	return Code(uint32(result)), uint32(result >> 32)
}

// ParseAnswer reads the answer of a hook that returned code. It copies what
// it keeps, so b may be guest memory. Whatever SPEC.md does not allow is an
// error that names the hook and the field and echoes nothing of the answer's
// texts: an unknown code or field, a field that this hook does not have with
// this code, one given twice, one cut short, one out of its bounds.
//
// It does not judge header names beyond their form: which of them a plugin
// may set, and whether one is set twice, is its caller's business.
func ParseAnswer(hook Hook, code Code, b []byte) (Answer, error) {
	return new(AnswerParser).Parse(hook, code, b)
}

// AnswerParser reads answers as [ParseAnswer] does and remembers the last few
// reasons: a plugin gives the same ones over and over, and one that is known
// need not be copied. The zero value is ready. Not safe for concurrent use.
type AnswerParser struct {
	reasons [8]string
	next    int
}

// Parse is [ParseAnswer].
func (p *AnswerParser) Parse(hook Hook, code Code, b []byte) (Answer, error) {
	a := Answer{Code: code}
	switch {
	case hook < Configure || hook > OnLogout:
		return a, fmt.Errorf("hook %d (%s) has no answer in ABI version %d", hook, hook, Version)
	case !hook.answers(code):
		return a, fmt.Errorf("%s returned unknown code %d", hook, code)
	case len(b) > MaxAnswer:
		return a, fmt.Errorf("%s answered %d bytes, %d are allowed", hook, len(b), MaxAnswer)
	}
	for len(b) > 0 {
		if len(b) < answerHead {
			return a, fmt.Errorf("%s: the answer ends within a field's head", hook)
		}
		id := AnswerField(binary.LittleEndian.Uint16(b))
		if zero := binary.LittleEndian.Uint16(b[2:]); zero != 0 {
			return a, fmt.Errorf("%s: answer field %s: bytes 2 and 3 of its head are %#04x, not 0", hook, id, zero)
		}
		n := uint64(binary.LittleEndian.Uint32(b[4:]))
		b = b[answerHead:]
		if n > uint64(len(b)) {
			return a, fmt.Errorf("%s: answer field %s says %d bytes, %d are left", hook, id, n, len(b))
		}
		if err := a.field(p, hook, id, b[:n]); err != nil {
			return a, fmt.Errorf("%s: answer field %s: %w", hook, id, err)
		}
		b = b[n:]
	}
	if hook == OnCredential && code == CodeYes && !a.HasCandidate {
		return a, fmt.Errorf("%s: next without a candidate", hook)
	}
	if code == CodeFetch && a.Request == nil {
		return a, fmt.Errorf("%s: fetch without a request", hook)
	}
	return a, nil
}

var (
	errTwice    = errors.New("given twice")
	errEmpty    = errors.New("empty")
	errNumber   = errors.New("a number has 4 bytes")
	errNotKnown = errors.New("not known in an answer of this hook with this code")
	errNotUTF8  = errors.New("not UTF-8")
)

func (a *Answer) field(p *AnswerParser, hook Hook, id AnswerField, v []byte) error {
	switch {
	case id == AnswerReason:
		return a.reason(p, v)
	case id == AnswerStatus && (hook == OnAuthorize || hook == OnLogin) && a.Code == CodeNo:
		return a.status(hook, v)
	case id == AnswerHeader && (hook == OnAuthorize && a.Code != CodeFetch || hook == OnLogin && a.Code == CodeNo):
		return a.header(v)
	case id == AnswerIdle && hook == OnLogin && a.Code == CodeGoOn:
		return deadline(&a.Idle, v)
	case id == AnswerAbsolute && hook == OnLogin && a.Code == CodeGoOn:
		return deadline(&a.Absolute, v)
	case id == AnswerAttribute && hook == OnLogin && a.Code == CodeGoOn:
		return a.attribute(v)
	case id == AnswerCall && hook == OnLogout:
		return a.call(v)
	case id == AnswerCandidate && hook == OnCredential && a.Code == CodeYes:
		return a.candidate(v)
	case id == AnswerRequest && a.Code == CodeFetch:
		return a.request(v)
	case id == AnswerBlob && a.Code == CodeFetch:
		return a.blob(v)
	}
	return errNotKnown
}

func (a *Answer) reason(p *AnswerParser, v []byte) error {
	if a.Reason != "" {
		return errTwice
	}
	if len(v) == 0 {
		return errEmpty
	}
	if err := oneLine(v, MaxReason); err != nil {
		return err
	}
	a.Reason = p.text(v)
	return nil
}

// text returns v as a string, one that it made before if it can.
func (p *AnswerParser) text(v []byte) string {
	for _, s := range p.reasons {
		if s == string(v) {
			return s
		}
	}
	s := string(v)
	p.reasons[p.next%len(p.reasons)] = s
	p.next++
	return s
}

func (a *Answer) status(hook Hook, v []byte) error {
	if a.Status != 0 {
		return errTwice
	}
	if len(v) != 4 {
		return errNumber
	}
	switch s := binary.LittleEndian.Uint32(v); {
	case s == 401, s == 403, s == 429, s == 404 && hook == OnAuthorize:
		a.Status = int(s)
		return nil
	case hook == OnLogin:
		return fmt.Errorf("status %d is not one of 401, 403, 429", s)
	default:
		return fmt.Errorf("status %d is not one of 401, 403, 404, 429", s)
	}
}

func (a *Answer) candidate(v []byte) error {
	if a.HasCandidate {
		return errTwice
	}
	if len(v) != 4 {
		return errNumber
	}
	n := binary.LittleEndian.Uint32(v)
	if n > math.MaxUint16 {
		return fmt.Errorf("there is no candidate %d", n)
	}
	a.Candidate, a.HasCandidate = int(n), true
	return nil
}

func (a *Answer) request(v []byte) error {
	if a.Request != nil {
		return errTwice
	}
	r, err := ParseRequest(v)
	a.Request = &r
	return err
}

func (a *Answer) blob(v []byte) error {
	switch {
	case a.Blob != nil:
		return errTwice
	case len(v) == 0:
		return errEmpty
	case len(v) > MaxBlob:
		return fmt.Errorf("%d bytes, %d are allowed", len(v), MaxBlob)
	}
	a.Blob = append(a.Blob, v...)
	return nil
}

func (a *Answer) header(v []byte) error {
	if len(a.Headers) == MaxHeaders {
		return fmt.Errorf("more than %d headers", MaxHeaders)
	}
	if len(v) < 2 {
		return errors.New("no length of the name")
	}
	n := int(binary.LittleEndian.Uint16(v))
	v = v[2:]
	if n == 0 || n > MaxHeaderName || n > len(v) {
		return fmt.Errorf("a name of %d bytes in %d, 1 to %d are allowed", n, len(v), MaxHeaderName)
	}
	h, err := newHeader(v[:n], v[n:])
	if err != nil {
		return err
	}
	a.Headers = append(a.Headers, h)
	return nil
}

func newHeader(name, value []byte) (Header, error) {
	for _, c := range name {
		if !isToken(c) {
			return Header{}, fmt.Errorf("byte %#02x in a header's name", c)
		}
	}
	if err := oneLine(value, MaxHeaderValue); err != nil {
		return Header{}, err
	}
	return Header{string(name), string(value)}, nil
}

// oneLine refuses what could end a header line or forge a log line, in ASCII
// and beyond it.
func oneLine(v []byte, max int) error {
	if len(v) > max {
		return fmt.Errorf("%d bytes, %d are allowed", len(v), max)
	}
	if !utf8.Valid(v) {
		return errNotUTF8
	}
	for _, r := range string(v) {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("control character %U", r)
		}
	}
	return nil
}

// isToken says whether c may stand in a header name (RFC 9110, section 5.6.2).
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// AppendAnswer appends an answer's encoding to b, as a guest writes it. It
// checks nothing; a name longer than 65535 bytes comes out malformed.
func AppendAnswer(b []byte, a Answer) []byte {
	if a.Status != 0 {
		b = appendHead(b, AnswerStatus, 4)
		b = binary.LittleEndian.AppendUint32(b, uint32(a.Status))
	}
	if a.Reason != "" {
		b = appendHead(b, AnswerReason, len(a.Reason))
		b = append(b, a.Reason...)
	}
	for _, h := range a.Headers {
		b = appendHead(b, AnswerHeader, 2+len(h.Name)+len(h.Value))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(h.Name)))
		b = append(b, h.Name...)
		b = append(b, h.Value...)
	}
	if a.HasCandidate {
		b = appendHead(b, AnswerCandidate, 4)
		b = binary.LittleEndian.AppendUint32(b, uint32(a.Candidate))
	}
	b = appendHooks(b, &a)
	if a.Request != nil {
		b = appendRequestField(b, AnswerRequest, *a.Request)
	}
	if len(a.Blob) > 0 {
		b = appendHead(b, AnswerBlob, len(a.Blob))
		b = append(b, a.Blob...)
	}
	return b
}

func appendHead(b []byte, id AnswerField, length int) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(id))
	b = binary.LittleEndian.AppendUint16(b, 0)
	return binary.LittleEndian.AppendUint32(b, uint32(length))
}
