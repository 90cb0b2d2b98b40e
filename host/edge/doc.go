// Package edge is HTTP in and out. It turns what a gateway asks, or what a
// client sends to the reverse proxy, into one host.Request, judged as it will
// be forwarded; has the pipeline decide; and writes the decision to the wire.
// It is the only place that turns a host.Kind into a status.
//
// Each gateway convention has an endpoint of its own (forward-auth,
// auth-request, ext-authz) and reads its own headers alone, so that no client
// can speak another's. What could be read in more than one way is 400, never
// a guess. On an allow every identity header is present, empty where unknown,
// so that a gateway overwrites whatever copy the client sent.
//
// It owns no policy, finds no credentials, and serves none of the endpoints
// that people call: those get Fail, SelfRequest and the servers from here.
package edge
