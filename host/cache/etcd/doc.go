// Package etcd is the cache driver for etcd 3.4 or later.
//
// # What it promises
//
// A slot is one key, PREFIX slot/KEY, whose value holds its deadline and all
// its fields. Every read is linearizable, so it is answered by a majority; a
// change is a transaction on condition that the key is still as it was read,
// repeated only where the server said that it did nothing. So an acknowledged
// change holds on a majority's disks, and one whose answer was lost is an
// error: it may have been made.
//
// Slots expire by the deadline that is stored in them, judged by this driver's
// clock. That a slot nobody asks for goes away some day is left to leases,
// which end a while after the deadline of any slot on them and, since some
// thousand slots share one, cost next to nothing: most changes move no
// deadline, and of those that do one in a thousand makes a lease.
//
// A server that is away makes calls fail within two seconds, at once where it
// refuses the connection; connections come back by themselves, half a second
// after it does at the latest. So does a member of the cluster: another is
// asked, but for calls that were under way. The client library logs nothing.
//
// # What etcd needs
//
// It keeps old versions until it is told to forget them: run it with
// --auto-compaction-mode=periodic --auto-compaction-retention=5m, or its
// quota (2 GiB unless set) fills and it refuses changes. A slot may not be
// larger than --max-request-bytes, 1.5 MiB unless set. To list slots costs
// what etcd holds, at each page.
//
// It owns the connection and the layout; the contract is package cache's.
package etcd
