// Package near remembers, in one process, what was read from a cache that is
// elsewhere: a bounded number of reads, for a bounded time.
//
// # What it promises
//
// With a staleness of D, no caller is given a value that was overwritten more
// than D before that caller asked, whatever becomes of the messages that tell
// of changes. Age counts from when a read was sent, not from when it was
// answered, and a caller joins a read under way only if it was sent at most D
// before that caller asked. With a D of 0 every read goes through, and none is
// shared. A caller who must not be told of yesterday at all holds the handle
// that ReadThrough returns.
//
// What is told in time is forgotten in time: a change made here is forgotten
// before it is acknowledged, one made elsewhere when the driver's watch tells
// of it, and everything when the watch is interrupted and when it is ready
// again. A read that was under way meanwhile is neither remembered nor joined
// by later callers.
//
// # How
//
// One read is remembered as a whole, under its slot and the fields that were
// asked for, so that the values a caller is given were there together at one
// moment. What forgets a slot is a number that grows: each read carries the
// number it was sent under and counts only while that is still the number.
// Slots share some 100,000 of these, so a change may cause a neighbour to be
// read once more, and costs no search. Reads that found a field missing are
// kept apart from those that found all: ids that somebody made up displace no
// session.
//
// It owns what is remembered and the watch that keeps it true; the values, and
// the contract, are the driver's and package cache's.
package near
