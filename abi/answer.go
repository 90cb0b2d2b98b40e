package abi

import (
	"encoding/binary"
	"fmt"
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
}

// SplitResult splits a hook's result into its code and the answer's length.
func SplitResult(result uint64) (Code, uint32) {
	return Code(uint32(result)), uint32(result >> 32)
}

// ParseAnswer reads the answer of a hook that returned code. It copies what
// it keeps, so b may be guest memory. Whatever the specification does not
// allow is an error: an unknown code or field, a field that this hook does
// not have, one given twice, one cut short, one out of its bounds.
//
// It does not judge header names beyond their form: which of them a plugin
// may set is its caller's business.
func ParseAnswer(hook Hook, code Code, b []byte) (Answer, error) {
	a := Answer{Code: code}
	if code > CodeNo || (hook == Configure && code == CodeYes) {
		return a, fmt.Errorf("%s returned unknown code %d", hook, code)
	}
	if len(b) > MaxAnswer {
		return a, fmt.Errorf("%s answered %d bytes, %d are allowed", hook, len(b), MaxAnswer)
	}
	for len(b) > 0 {
		if len(b) < answerHead {
			return a, fmt.Errorf("%s: answer is cut short", hook)
		}
		id := AnswerField(binary.LittleEndian.Uint16(b))
		zero := binary.LittleEndian.Uint16(b[2:])
		n := uint64(binary.LittleEndian.Uint32(b[4:]))
		if zero != 0 || n > uint64(len(b)-answerHead) {
			return a, fmt.Errorf("%s: answer field %d is cut short or malformed", hook, id)
		}
		if err := a.field(hook, id, b[answerHead:answerHead+n]); err != nil {
			return a, fmt.Errorf("%s: answer field %d: %w", hook, id, err)
		}
		b = b[answerHead+n:]
	}
	if hook == OnCredential && code == CodeYes && !a.HasCandidate {
		return a, fmt.Errorf("%s: next without a candidate", hook)
	}
	return a, nil
}

func (a *Answer) field(hook Hook, id AnswerField, v []byte) error {
	switch {
	case id == AnswerReason:
		if a.Reason != "" {
			return errTwice
		}
		if err := oneLine(v, MaxReason); err != nil {
			return err
		}
		if len(v) == 0 {
			return errEmpty
		}
		a.Reason = string(v)
	case id == AnswerStatus && hook == OnAuthorize && a.Code == CodeNo:
		if a.Status != 0 {
			return errTwice
		}
		if len(v) != 4 {
			return errLength
		}
		switch s := binary.LittleEndian.Uint32(v); s {
		case 401, 403, 404, 429:
			a.Status = int(s)
		default:
			return fmt.Errorf("status %d is not one of 401, 403, 404, 429", s)
		}
	case id == AnswerHeader && hook == OnAuthorize:
		return a.header(v)
	case id == AnswerCandidate && hook == OnCredential && a.Code == CodeYes:
		if a.HasCandidate {
			return errTwice
		}
		if len(v) != 4 {
			return errLength
		}
		n := binary.LittleEndian.Uint32(v)
		if n > 1<<16 {
			return fmt.Errorf("candidate %d", n)
		}
		a.Candidate, a.HasCandidate = int(n), true
	default:
		return fmt.Errorf("not known here")
	}
	return nil
}

func (a *Answer) header(v []byte) error {
	if len(v) < 2 {
		return errLength
	}
	n := int(binary.LittleEndian.Uint16(v))
	if n == 0 || n > MaxHeaderName || n > len(v)-2 {
		return errLength
	}
	name, value := v[2:2+n], v[2+n:]
	for _, c := range name {
		if !isToken(c) {
			return fmt.Errorf("a header name with byte %#x", c)
		}
	}
	if err := oneLine(value, MaxHeaderValue); err != nil {
		return err
	}
	if len(a.Headers) == MaxHeaders {
		return fmt.Errorf("more than %d headers", MaxHeaders)
	}
	a.Headers = append(a.Headers, Header{string(name), string(value)})
	return nil
}

// oneLine refuses what could end a header line or forge a log line.
func oneLine(v []byte, max int) error {
	if len(v) > max {
		return fmt.Errorf("%d bytes, %d are allowed", len(v), max)
	}
	if !utf8.Valid(v) {
		return fmt.Errorf("not UTF-8")
	}
	for _, c := range v {
		if c < 0x20 || c == 0x7f {
			return fmt.Errorf("control character %#x", c)
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

type constError string

func (e constError) Error() string { return string(e) }

const (
	errTwice  constError = "given twice"
	errLength constError = "wrong length"
	errEmpty  constError = "empty"
)

// AppendAnswer appends an answer's encoding to b, as a guest writes it.
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
	return b
}

func appendHead(b []byte, id AnswerField, length int) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(id))
	b = binary.LittleEndian.AppendUint16(b, 0)
	return binary.LittleEndian.AppendUint32(b, uint32(length))
}
