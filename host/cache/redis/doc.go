// Package redis is the cache driver for Redis 7 or later: one node, a master
// that Sentinel names, or a cluster.
//
// # What it promises
//
// A slot is one hash under PREFIX{KEY}, so that whatever is written to it is
// written by one script on one node. All reads and writes go to masters. How
// firmly an acknowledged change holds is the server's own configuration:
// with appendfsync always it survives a kill of the server; with
// Options.WaitReplicas it also reached that many replicas, which a failover is
// then likely to keep, and a change that did not reach them in time is an
// error: it may have been made, and may be repeated. Writes are never sent
// twice by themselves, so "not applied" is always the truth.
//
// Slots expire by the server's clock. A server that may evict keys loses
// sessions under memory pressure; Evicting tells.
//
// A server that is away makes calls fail within about two seconds, at once
// where it refuses the connection; connections come back by themselves.
//
// It owns the connection and the script; the contract is package cache's.
package redis
