// Package host holds the words that every room of authhost shares (request,
// credential, verdict, identity, decision, snapshot) and the pipeline that
// turns a request into a decision.
//
// It owns the order of things: route and realm, then credentials, then the
// user's revocations, then the route's plugins. It reads no wire, no token, no
// cache and no WebAssembly; what does is handed to it behind the one-method
// interfaces in pipeline.go.
package host
