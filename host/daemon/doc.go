// Package daemon puts the rooms together into one running host: from a
// configuration it makes the cache, realms, plugins and listeners, keeps the
// snapshot that requests are decided by in step with the files it came from,
// and takes everything down again in order.
//
// It owns wiring and lifetimes, and decides nothing about a request: what a
// token, session, plugin or answer is belongs to the room of that name.
package daemon
