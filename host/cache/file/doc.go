// Package file is the embedded cache driver: slots as files in a directory
// that several processes use at once.
//
// # What it promises
//
// An acknowledged change survives the death of any process at any moment
// (kill -9), and a power cut where the disk keeps what fsync acknowledged: the
// new file is written and synced beside the old one, renamed over it, and the
// directory synced, all before Change returns. A reader takes no lock and sees
// the file from before or from after, never one in between. A file that is
// torn, damaged or not what its name says is an error, not data and not an
// absent slot; so is a directory that is no longer there.
//
// # Layout
//
//	DIR/slots/format              which format this is; says that the store is there
//	DIR/slots/3f/lock             held by who changes a slot of this shard
//	DIR/slots/3f/3f9a…            a slot, named by the SHA-256 of its key
//	DIR/slots/3f/new-9c…          being written, or left behind by a kill
//	DIR/due/07/lock               held by who changes or reads due-list 7
//	DIR/due/07/c/AT-UNTIL-c41…    a member, named by its moments and its SHA-256
//	DIR/journal/lock              held by who tells of a change
//	DIR/journal/12                what was changed, a line for each; the last is written to
//
// A key never becomes part of a path. Directories are 0700, files 0600. A file
// holds its version, a CRC-32C and the slot in CBOR, its key and deadline
// included, or the member: no moment is ever taken from the file system.
//
// # Telling of changes
//
// Every change is noted in the lock of its shard before it is made, and told
// in the journal once it can be read; a note that a killed process left is told
// by whoever finds it, within some two seconds where somebody watches. A watch
// looks at the end of the journal 40 times a second, whatever the store holds.
// It ends when the journal is not the one that it read, or when more than the
// four files that are kept, of a megabyte each, went by unread.
//
// # A directory shared between hosts
//
// Changes exclude each other by flock on lock files, so the mount
// must carry flock between hosts and rename atomically: a local disk, CephFS,
// GFS2, Lustre mounted with flock, NFS 4 without local_lock. Reads take no
// lock, so a client that caches directory entries or attributes delays a
// logout made on another host: mount NFS with lookupcache=none,actimeo=0. The
// hosts' clocks must agree to well within the hour that callers add to
// deadlines.
//
// It owns the directory and the sweeper that removes expired slots; the
// contract is package cache's. It needs a Unix system.
package file
