// Package memory is a cache driver that keeps its slots and due-lists in the
// memory of one process. It is for tests and for trying authhost out: what it
// holds is lost with the process, and no other replica sees it.
//
// It owns its maps and a clock; the contract is package cache's.
package memory
