package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What a session and its end are told by. One past a bound is an error of the
// plugin.
const (
	MaxAttributes = 64 // of one answer
	MaxCalls      = 8  // of one answer
)

// Attribute is what a session is to remember.
type Attribute struct{ Name, Value string }

// answers says whether a hook may return a code.
func (h Hook) answers(c Code) bool {
	switch h {
	case Configure:
		return c == CodeGoOn || c == CodeNo
	case OnLogin:
		return c == CodeGoOn || c == CodeNo || c == CodeFetch
	case OnLogout:
		return c == CodeGoOn
	}
	return c <= CodeFetch
}

// deadline reads a moment in milliseconds since 1970.
func deadline(into *uint64, v []byte) error {
	if *into != 0 {
		return errTwice
	}
	if len(v) != 8 {
		return errors.New("a moment has 8 bytes")
	}
	ms := binary.LittleEndian.Uint64(v)
	if ms == 0 || ms >= 1<<63 {
		return fmt.Errorf("there is no moment %d", ms)
	}
	*into = ms
	return nil
}

func (a *Answer) attribute(v []byte) error {
	if len(a.Attributes) == MaxAttributes {
		return fmt.Errorf("more than %d attributes", MaxAttributes)
	}
	name, value, err := short(v, 1, MaxKey, "a name")
	if err != nil {
		return err
	}
	if len(value) > MaxKeyValue {
		return fmt.Errorf("a value of %d bytes, %d are allowed", len(value), MaxKeyValue)
	}
	for _, b := range a.Attributes {
		if b.Name == string(name) {
			return errTwice
		}
	}
	a.Attributes = append(a.Attributes, Attribute{string(name), string(value)})
	return nil
}

func (a *Answer) call(v []byte) error {
	if len(a.Calls) == MaxCalls {
		return fmt.Errorf("more than %d calls", MaxCalls)
	}
	r, err := ParseRequest(v)
	a.Calls = append(a.Calls, r)
	return err
}

// appendHooks appends the fields of on_login and on_logout.
func appendHooks(b []byte, a *Answer) []byte {
	b = appendMoment(b, AnswerIdle, a.Idle)
	b = appendMoment(b, AnswerAbsolute, a.Absolute)
	for _, t := range a.Attributes {
		b = appendHead(b, AnswerAttribute, 2+len(t.Name)+len(t.Value))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(t.Name)))
		b = append(b, t.Name...)
		b = append(b, t.Value...)
	}
	for _, c := range a.Calls {
		b = appendRequestField(b, AnswerCall, c)
	}
	return b
}

func appendMoment(b []byte, id AnswerField, ms uint64) []byte {
	if ms == 0 {
		return b
	}
	b = appendHead(b, id, 8)
	return binary.LittleEndian.AppendUint64(b, ms)
}

func appendRequestField(b []byte, id AnswerField, r Request) []byte {
	head := len(b)
	b = appendHead(b, id, 0)
	b = AppendRequest(b, r)
	binary.LittleEndian.PutUint32(b[head+4:], uint32(len(b)-head-answerHead))
	return b
}
