// Package kv keeps keys of the plugin's own in the cache that all replicas
// share. Using it declares the wish; the plugin's entry grants it by the
// capability {kv: {keys: 1000}}.
//
//	sum, result := kv.Add("seen/"+r.UserID(), 1, kv.Hour)
//
// A key has 1 to 256 bytes, a value up to 4096; what is past that fails the
// call, as does a cache that does not answer: the request is answered 503. A
// call takes a round trip or several, so few of them fit into one request. They
// work in the hooks, not in an init function or configure.
//
// Texts are as package sdk describes them.
package kv

import "github.com/authhost/authhost/sdk/internal/guest"

// TTL is how long a key lives, in milliseconds: from 1 to 31 days.
type TTL int64

// Common durations.
const (
	Millisecond TTL = 1
	Second          = 1000 * Millisecond
	Minute          = 60 * Second
	Hour            = 60 * Minute
	Day             = 24 * Hour
)

// Result is what became of a change.
type Result int8

// The results.
const (
	// Done: it was made.
	Done Result = guest.SetDone
	// Other: nothing has changed, for the value was another. Of Add: no number,
	// or one to which this cannot be added.
	Other Result = guest.SetOther
	// Full: nothing has changed, for as many keys live as are granted.
	Full Result = guest.SetFull
)

// Get returns the value of a key.
func Get(key string) (value string, ok bool) { return guest.KVGet(key) }

// Put makes value the value of a key, whatever it was: Done or Full.
func Put(key, value string, ttl TTL) Result { return set(key, any, some(value), ttl) }

// Create makes a key that is absent: Done, Other or Full.
func Create(key, value string, ttl TTL) Result { return set(key, none, some(value), ttl) }

// Swap makes next the value of a key, and ttl count from now, if its value is
// old: Done or Other.
func Swap(key, old, next string, ttl TTL) Result { return set(key, some(old), some(next), ttl) }

// Delete removes a key, present or not.
func Delete(key string) { set(key, any, none, 0) }

// DeleteIf removes a key if its value is old: Done or Other.
func DeleteIf(key, old string) Result { return set(key, some(old), none, 0) }

// Add adds delta to a number, kept as its decimal digits, and returns the sum,
// in one step with nobody in between. A key that is absent is made with ttl; one
// that is there keeps its deadline. The sum is 0 unless the result is Done.
func Add(key string, delta int64, ttl TTL) (sum int64, r Result) {
	sum, status := guest.KVAdd(key, delta, int64(ttl))
	return sum, Result(status)
}

var none, any = guest.Value{Is: guest.None}, guest.Value{Is: guest.Any}

func some(text string) guest.Value { return guest.Value{Text: text} }

func set(key string, old, next guest.Value, ttl TTL) Result {
	return Result(guest.KVSet(key, old, next, int64(ttl)))
}
