// Package e2e holds the tests of the whole program: the compiled authhost,
// started as its users start it, behind real gateways and on real caches. It
// has no code of its own.
package e2e
