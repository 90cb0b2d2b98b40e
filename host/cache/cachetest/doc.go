// Package cachetest is the conformance suite of package cache: what the
// contract promises, as tests that every driver passes unchanged, with one
// part that hammers a store from many goroutines through two handles.
//
// It owns no driver. What only one driver promises (a crash survived, a server
// that comes back) is tested beside that driver.
package cachetest
