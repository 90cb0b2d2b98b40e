// Package session keeps users' slots, and the sessions and revocations in
// them, on a cache.
//
// One user is one slot, whose key is the user id. It holds a header (the
// generation, not_before and flags), one field for each session, one for each
// session's attributes, and one for each JWT that was logged out alone, so that
// whatever a credential is judged by is read at one moment. A session counts
// only while it carries the header's generation: logging a user out everywhere
// is one write of one field, and a session found without its header does not
// count at all.
//
// Deadlines are stored in what they end and judged by the injected clock; the
// cache's own expiry comes an hour later and is only a backstop. What the cache
// cannot answer is an error of kind Unavailable, never a verdict: a cache that
// is down, or a damaged record, logs nobody out.
//
// Every operation is one change of one slot, conditional on what it was judged
// by. What ended is cleaned up afterwards by the Sweeper of any replica, which
// finds users by the cache's due-lists: whatever makes work for it puts the
// user there first, and again if its write took so long that a sweeper may have
// come and gone.
//
// Where somebody is to be told when access ends, the change that ends it also
// puts an event into the slot, and nothing is written where nobody is. The
// Outbox is how events are taken up and turned into messages that wait there too.
// One of either that cannot be read may be of a later version: it is left to the
// replicas of that, for 8 days after it was found, and then removed. No version
// may keep what is to be told for longer, or move it to another field.
//
// Survey reads all slots of a cache, Copy makes another cache hold them. A slot
// that was copied says so in a field of its own for as long as anything copied
// can count or wait to be told, so that to copy again brings nothing back that has
// ended since, and tells nothing twice.
//
// A session keeps what its login said of the user: subject, roles, groups and
// e-mail address. Roles that change at the issuer count from the next login.
//
// It owns the form of session tokens and of what a slot holds. It does not
// know which driver it has, validates no JWT, and speaks no HTTP.
package session
