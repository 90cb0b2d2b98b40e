// Package egress is the one place from which authhost calls out on a plugin's
// behalf. It owns which names may be called, which addresses may be dialled,
// what a request may hold, and the bounds of it all. What a plugin asks for
// and what it does with the answer is not its business.
//
// A name must be on the plugin's list, and every address that the name stands
// for is judged at the moment when it is dialled, so that nothing is resolved
// a second time. Redirects are not followed: the guest sees the status and
// asks again if it likes. There are no cookies, no proxy, no compression.
package egress
