// Package cache is the contract between what authhost remembers and where it
// is kept. A store holds slots: one per key, each a set of named fields that
// change together or not at all. Every replica that opens the same store sees
// the same slots. Beside them it holds due-lists, from which replicas take what
// is to be done at a moment, and it tells which slots were changed.
//
// It owns the words of that contract, what every driver promises, and how a
// change that others forestalled is tried anew ([Persist]). It knows nothing of
// users, sessions or tokens, and judges no deadline but a slot's own. The drivers
// are below it; package cachetest holds the suite that each of them passes
// unchanged.
package cache
