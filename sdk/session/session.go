// Package session reads and changes what the session remembers in which the
// request came. Using it declares the wish; the plugin's entry grants it by the
// capability session. Attributes are shared by all plugins that have it.
//
// A request with a JWT alone, and an anonymous one, is in no session: nothing
// is there, and nothing can be set. A session has at most 64 attributes of 4 KiB
// in all; what is past that fails the call, as does a cache that does not
// answer: the request is answered 503.
//
// Texts are as package sdk describes them.
package session

import "github.com/authhost/authhost/sdk/internal/guest"

// Result is what became of a change.
type Result int8

// The results.
const (
	Done  Result = guest.SetDone  // it was made
	Other Result = guest.SetOther // nothing has changed, for the value was another
	// Ended: there is no live session.
	Ended Result = -1
)

// Get returns an attribute.
func Get(name string) (value string, ok bool) { return guest.SessionGet(name) }

// Create makes an attribute that is absent: Done, Other or Ended.
func Create(name, value string) Result { return set(name, none, guest.Value{Text: value}) }

// Swap makes next the value of an attribute if its value is old.
func Swap(name, old, next string) Result {
	return set(name, guest.Value{Text: old}, guest.Value{Text: next})
}

// Delete removes an attribute if its value is old.
func Delete(name, old string) Result { return set(name, guest.Value{Text: old}, none) }

var none = guest.Value{Is: guest.None}

func set(name string, old, next guest.Value) Result {
	return Result(guest.SessionSet(name, old, next))
}
