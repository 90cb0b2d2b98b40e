// Package kv keeps what plugins remember: each plugin's own keys, in the cache
// that all replicas share, with a deadline each and a bound on how many live.
//
// It owns the form of those slots and the count of keys. It knows nothing of
// WebAssembly or of who may ask, and does not know which driver it has.
//
// # Slots
//
// A key is a slot: kv/PLUGIN/k/KEY, the key in base64. Its field m says until
// when it lives, which life of the key this is, by a random id, and where that
// is counted; v: and the id is the value. A value belongs to one life, so that
// an addition which comes too late for it can never count in the next one.
// Deadlines are judged by the replica's clock; the slot's own comes a little
// later and only cleans up. Every read goes to the cache.
//
// # The bound
//
// A key that is made is claimed first, for a moment, so that those who make it
// at once do not take every place from one another.
//
// Live keys are counted in a few slots kv/PLUGIN/i/NUMBER, each for its share
// of the bound: field n says how many entries it has, x a moment before which
// none of them ends, and e: and a life's id until when that may live. An entry
// is written before the life that it counts begins or is prolonged, and removed
// after that has ended, so that whoever is killed in between leaves one too
// many, until its deadline, and never one too few. What has ended by its
// deadline is removed when its place is needed.
//
// Another bound has other indexes and shares. Where one of the indexes that there
// may be has more than its share now, a life begins only if the entries of all
// of them, its own written, are no more than the bound. A key that is prolonged
// goes over to an index that the bound has.
//
// Nothing changes two slots at once, so an entry that somebody relies on gets a
// new mark each time, and is shortened or removed only as long as it has the
// mark that the remover knows.
package kv
