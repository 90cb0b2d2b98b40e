// Package credential finds the credentials of a request: in headers, cookies
// and query parameters, in the order that a realm names them.
//
// It owns their outer form, that is where they stand, that each source speaks
// once, and which kind a token looks like. It never judges one: signatures,
// deadlines and sessions are the business of others. What could be read in
// more than one way is reported as Malformed, without its value, so that no
// guess of this package can differ from one of the application behind.
package credential
