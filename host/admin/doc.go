// Package admin owns the endpoints by which people look at and end access: of
// users and their sessions, of plugins and of the configuration on the admin
// listener, of one's own sessions and of introspection on the public one. It owns the rule
// of who may, in one place: rule.go.
//
// Who calls is found out anew for every request and read through to the shared
// cache: an answer, or an ending, is never judged by what was true a moment
// ago. For that reason a JWT passes here only while its revocation can be asked
// about, whatever its issuer's revocation setting says. No plugin is asked, and
// the first credential in the realm's order decides.
//
// On the public listener the realm is the one that Host names. On the admin
// listener Host counts for nothing: each realm is asked whether it knows the
// credential. If several do, such as of a JWT made for two audiences, the
// caller is whom the realm of the user asked about knows.
//
// A method that an endpoint does not have is 405 and an answer of its own, as
// it tells of no user; next comes 401, then 403 for whoever may not at all,
// then 404 for a user, realm or session that there is not.
//
// It finds no credential, judges no token, keeps no session, reads no
// configuration and writes no error: what does is handed to it by the
// interfaces in admin.go.
package admin
