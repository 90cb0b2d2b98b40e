package cases

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
)

// Now is the clock that a subject is loaded with, and of each case that has no
// time of its own.
func Now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// Time is what a host gives the cases of a version, all together and with the
// loads that they need, before it refuses the version.
const Time = 20 * time.Second

// Rand returns what a subject draws random bytes from: always the same ones.
// Each subject needs one of its own.
func Rand() io.Reader { return rand.NewChaCha8([32]byte{}) }

// File returns where the cases of a module stand: beside it.
func File(module string) string { return strings.TrimSuffix(module, ".wasm") + ".cases.yaml" }

// Set is the cases of one file. It is immutable.
type Set struct {
	file   string
	groups []*Group
}

// Len returns how many cases there are, at least one.
func (s *Set) Len() int {
	n := 0
	for _, g := range s.groups {
		n += len(g.Cases)
	}
	return n
}

// Groups returns the cases by the configuration that they are for, in the
// order of the file. The caller must not change them.
func (s *Set) Groups() []*Group { return s.groups }

// Group is the cases that one subject is asked.
type Group struct {
	Config []byte // JSON; nil: the configuration that the plugin's entry gives
	Cases  []*Case
}

// Case is one request and what is expected of it.
type Case struct {
	Name string
	Hook string // on_authorize, on_credential, on_login or on_logout
	Line int    // where it begins in its file
	Want Expect

	call   host.Call
	config []byte

	kv         map[string][]byte
	session    string // its id; empty: none
	attributes map[string]string
	replies    []reply
}

// Input says in one line what the plugin is asked: who wants what, or whose
// access has ended.
func (c *Case) Input() string {
	if e := c.call.Ended; e != nil {
		return fmt.Sprintf("%s: %s of %s has ended, why: %s", c.Hook, e.What, e.UserID, e.Why)
	}
	r := c.call.Request
	text := fmt.Sprintf("%s: %s %s://%s%s, ", c.Hook, r.Method, r.Scheme, r.Authority, r.RawPath)
	if c.call.Route != "" {
		text += fmt.Sprintf("route %s, ", c.call.Route)
	}
	if who := c.call.Identity; who != nil {
		return text + fmt.Sprintf("by %s (%s), roles [%s]", who.Subject, who.UserID, strings.Join(who.Roles, ", "))
	}
	if c.Hook == onCredential {
		return text + fmt.Sprintf("%d credentials", len(c.call.Candidates))
	}
	return text + "anonymous"
}

// Expect is what a case expects; what is nil is not compared.
type Expect struct {
	Decision  string            // allow, deny, abstain; of on_credential next, stop, abstain; of on_login go_on, refuse; of on_logout ok
	Status    *int              // that the client sees; of allow, deny and refuse
	Reason    *string           // empty: none
	Headers   map[string]string // all of them, by canonical name
	Candidate *int              // of next: the index of the one to try
	// More is what else is said by part (idle, absolute, attributes, calls), and
	// in it by place. A part that is not there is not compared.
	More map[string]map[string]string
}

// Outcome is what a plugin answered.
type Outcome struct {
	Decision  string
	Status    int // that the client sees; 0: none, as of abstain
	Reason    string
	Headers   map[string]string // by canonical name; never nil
	Candidate int               // -1: none
	More      map[string]map[string]string
}

// expect returns what to expect of another who is to answer the same.
func (o Outcome) expect() Expect {
	return Expect{o.Decision, &o.Status, &o.Reason, o.Headers, &o.Candidate, o.More}
}

// Difference is one field that is not as it should be.
type Difference struct{ Field, Want, Got string }

// String returns "field: want …, got …", in one line.
func (d Difference) String() string { return d.Field + ": want " + d.Want + ", got " + d.Got }

// compare lists the fields that are not as expected.
func (e Expect) compare(o Outcome) []Difference {
	var list []Difference
	add := func(field, want, got string) {
		if want != got {
			list = append(list, Difference{field, want, got})
		}
	}
	add("decision", e.Decision, o.Decision)
	if e.Candidate != nil {
		add("candidate", number(*e.Candidate, -1), number(o.Candidate, -1))
	}
	if e.Status != nil {
		add("status", number(*e.Status, 0), number(o.Status, 0))
	}
	if e.Reason != nil {
		add("reason", fmt.Sprintf("%q", *e.Reason), fmt.Sprintf("%q", o.Reason))
	}
	if e.Headers != nil {
		both := maps.Clone(e.Headers)
		maps.Copy(both, o.Headers)
		for _, name := range slices.Sorted(maps.Keys(both)) {
			add("headers."+name, header(e.Headers, name), header(o.Headers, name))
		}
	}
	for _, part := range slices.Sorted(maps.Keys(e.More)) {
		both := maps.Clone(e.More[part])
		maps.Copy(both, o.More[part])
		for _, place := range slices.Sorted(maps.Keys(both)) {
			add(part+place, header(e.More[part], place), header(o.More[part], place))
		}
	}
	return list
}

func number(n, none int) string {
	if n == none {
		return "none"
	}
	return strconv.Itoa(n)
}

func header(all map[string]string, name string) string {
	if v, ok := all[name]; ok {
		return fmt.Sprintf("%q", v)
	}
	return "none"
}
