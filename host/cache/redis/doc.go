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
// Due-lists are sorted sets under PREFIXdue:{NN}. That a member was put is as
// firm as a change; that it was given out or dropped may be lost in a failover,
// and it is given out again.
//
// Each change is published on the channel PREFIXchanged by the script that makes
// it. A watch subscribes at every master, and ends at the first sign that one of
// the subscriptions was cut, instead of renewing it.
//
// List goes by SCAN, which nothing else does. It refuses to go on when the
// server was started anew or replaced, or while slots of the cluster move,
// since keys could be missed then.
//
// Slots expire by the server's clock. A server that may evict keys loses
// sessions under memory pressure; Evicting tells.
//
// With Sentinel no connection is used that lay idle for half a second: in less
// no failover is done, and a master that was halted through one asks nobody
// before it answers as if it still were.
//
// A server that is away makes calls fail within about two seconds, at once
// where it refuses the connection; connections come back by themselves.
//
// An ACL user needs the keys and channels PREFIX*, the commands +@connection
// +@hash +@sortedset +@scripting +pexpireat +pexpiretime +publish +subscribe
// +scan +info, with replicas to wait for also +del, and in a cluster
// +cluster|slots +cluster|nodes.
//
// It owns the connection and the scripts; the contract is package cache's.
package redis
