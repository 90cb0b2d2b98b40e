// Package rollout takes a plugin from its files to a version that is ready to
// serve, step by step, and keeps what is to be known of it: which version
// serves, which one came before, and how the last attempt went.
//
// The steps are those of the constants in attempt.go. The first that fails ends
// the attempt; what serves goes on serving.
//
// It owns the order of the steps and the succession of versions. It opens no
// file, watches none and builds no snapshot: whoever does calls Try, puts the
// version in force, and then says so by Serve. Nothing is closed here but what
// never served; Serve hands back what is to be closed once no request uses it.
//
// # Generations
//
// Each version that serves has a number, counted for the plugin's name since
// authhost started. At most two are kept compiled: the one that serves, and the
// last that served before it and differed in module or configuration. Back goes
// to that one; what was left becomes the previous generation, so that going
// back by mistake is undone by going back again.
//
// An attempt is made when something of it has changed since the last: the
// entry, the module, its signature or its cases. So a module that was gone back
// from, or refused, is not taken up again by itself.
package rollout
