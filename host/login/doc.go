// Package login serves POST /v1/login, POST /v1/refresh and POST /v1/logout of
// the public listener.
//
// A login takes one JWT in Authorization and nothing else: it always makes a
// new session, and neither reads nor adopts what a cookie holds. A logout ends
// every credential that is presented, and clears cookies only once the cache
// has acknowledged it. A refresh puts a new token in a session's place.
//
// It owns the answers and their cookies. It finds no credential, judges no
// token, keeps no session and writes no error: those are handed to it by the
// interfaces in login.go.
package login
