// Package sdk is what the packages of the Go guest SDK share: the request as
// every hook may look at it, and the log.
//
// A plugin imports one package per hook that it answers, and so declares the
// hook: [github.com/authhost/authhost/sdk/authorize],
// [github.com/authhost/authhost/sdk/credential],
// [github.com/authhost/authhost/sdk/login],
// [github.com/authhost/authhost/sdk/logout] and
// [github.com/authhost/authhost/sdk/configure]. It gives each its handler in
// an init function and is built by
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o plugin.wasm
//
// # Memory
//
// Texts are views of the buffer that host and plugin share, or of an arena of
// 32 KiB beside it: nothing is allocated, save for what the arena has no room
// for. They hold until the handler returns, and change after that. Keep one
// longer with strings.Clone. Answers allocate a piece of 16 KiB for the headers
// and attributes of many calls, and requests that are to be fetched or sent.
//
// # Failure
//
// A handler that panics ends the plugin's instance; the request is answered
// 503 and the panic is in the host's log. So is an answer that the host does
// not accept, such as a header that the plugin may not set. The host calls one
// handler at a time in an instance, and there are several instances: what one
// remembers another does not know.
//
// The package owns no policy. It speaks ABI version 1, abi/SPEC.md.
package sdk
