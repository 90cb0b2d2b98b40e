// Package conformance is a kit that shows whether an SDK and a host speak ABI
// version 1: the echo guest, which README.md specifies, the cases that it is
// put to, in cases.json, and a runner for hosts that are written in Go.
//
// It owns no engine: whoever runs it brings a [Guest]. It judges what crosses
// the sandbox wall and nothing that a host makes of it.
package conformance

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

//go:embed cases.json
var casesFile []byte

// Case is one call of the echo guest and what must come of it.
type Case struct {
	Name    string  `json:"name"`
	Hook    string  `json:"hook"`              // the export to call
	Frame   Bytes   `json:"frame"`             // what is in the buffer
	Get     []Value `json:"get,omitempty"`     // what get finds; all else is absent
	Session []Entry `json:"session,omitempty"` // what session_get finds, likewise
	KV      []Entry `json:"kv,omitempty"`      // what kv_get finds, likewise
	Calls   []Call  `json:"calls,omitempty"`   // in this order, and no others
	Fails   bool    `json:"fails,omitempty"`   // the call must trap, and nothing else counts
	Log     []Line  `json:"log,omitempty"`     // in this order, and no others
	Code    uint32  `json:"code"`
	Answer  Bytes   `json:"answer,omitempty"`
}

// Value is what get reads for one kind, name and index.
type Value struct {
	Kind  uint32 `json:"kind"`
	Name  Bytes  `json:"name,omitempty"`
	Index uint32 `json:"index,omitempty"`
	Value Bytes  `json:"value,omitempty"`
}

// Line is one call of log.
type Line struct {
	Level uint32 `json:"level"`
	Text  Bytes  `json:"text,omitempty"`
}

// Cases returns every case of cases.json.
func Cases() ([]Case, error) {
	var file struct{ Cases []Case }
	if err := json.Unmarshal(casesFile, &file); err != nil {
		return nil, fmt.Errorf("cases.json: %w", err)
	}
	return file.Cases, nil
}

// Guest is one instance of an echo guest in the host under test, which has been
// through the steps 1 to 3 of a life (abi/SPEC.md, section 2). Its configure is
// called as any other hook, and more than once.
type Guest interface {
	// Call copies the frame to the start of the guest's buffer, calls the
	// hook's export with the frame's length, and returns the hook's result and
	// the answer that is in the buffer. What the guest imports is answered by
	// imports. An error means that the call trapped.
	Call(ctx context.Context, hook string, frame []byte, imports *Imports) (result uint64, answer []byte, err error)
}

// Imports answers what a guest imports, for one call.
type Imports struct {
	expect Case
	lines  []Line
	calls  []Call
}

// Get returns what the import get reads, or that it is absent. Copying what
// fits, and nothing else, is up to the host: section 6.
func (i *Imports) Get(kind uint32, name string, index uint32) (value []byte, ok bool) {
	for _, v := range i.expect.Get {
		if v.Kind == kind && string(v.Name) == name && v.Index == index {
			return []byte(v.Value), true
		}
	}
	return nil, false
}

// Log takes a line that the import log is given.
func (i *Imports) Log(level uint32, line []byte) {
	i.lines = append(i.lines, Line{level, Bytes(line)})
}

// Check puts the case to a guest and returns how it differs. After a case that
// fails, and after an error, the guest is to be thrown away.
func (c Case) Check(ctx context.Context, g Guest) error {
	imports := &Imports{expect: c}
	result, answer, err := g.Call(ctx, c.Hook, []byte(c.Frame), imports)
	if c.Fails {
		if err == nil {
			return fmt.Errorf("answered %#x, want a trap", result)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("trapped: %w", err)
	}
	var errs []error
	if want := uint64(len(c.Answer))<<32 | uint64(c.Code); result != want {
		errs = append(errs, fmt.Errorf("result %#x, want %#x", result, want))
	}
	if string(answer) != string(c.Answer) {
		errs = append(errs, fmt.Errorf("answer %.200q, want %.200q", answer, c.Answer))
	}
	return errors.Join(append(errs, compare(imports.lines, c.Log), compareCalls(imports.calls, c.Calls))...)
}

func compare(got, want []Line) error {
	if slices.Equal(got, want) {
		return nil
	}
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	show := func(lines []Line) string {
		if n == len(lines) {
			return "no more"
		}
		return fmt.Sprintf("level %d %.200q", lines[n].Level, lines[n].Text)
	}
	return fmt.Errorf("log line %d: %s, want %s", n, show(got), show(want))
}

// Run puts all cases to instances that start makes: one after the other to the
// same, as a host does, and a new one after each that must fail. It returns
// all that differs.
func Run(ctx context.Context, start func(context.Context) (Guest, error)) error {
	cases, err := Cases()
	if err != nil {
		return err
	}
	var errs []error
	var g Guest
	for _, c := range cases {
		if g == nil {
			if g, err = start(ctx); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
		if err = c.Check(ctx, g); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, err))
		}
		if err != nil || c.Fails {
			g = nil
		}
	}
	return errors.Join(errs...)
}
