// Package admin owns the endpoints by which people look at access and end it:
// those of users and their sessions, of plugins and of the configuration on the
// admin listener, those of one's own sessions and of introspection on the public
// one. It owns the rule of who may, in one place: rule.go.
//
// Who calls is found out anew for every request and read through to the shared
// cache: an answer, or an ending, is never judged by what was true a moment
// ago. For that reason a JWT passes here only while its revocation can be asked
// about, whatever its issuer's revocation setting says. No plugin is asked, and
// the first credential in the realm's order decides.
//
// On the public listener the realm is the one that Host names. On the admin
// listener Host counts for nothing: each realm is asked whether it knows the
// credential. If several do, as with a JWT made for two audiences, the one that
// counts is the realm of the user whom the path names.
//
// A method that an endpoint does not have is answered first, by 405, since that
// tells of no user; next comes 401, then 403 for whoever may not at all, then
// 404 for a user, realm or session that is not there.
//
// It finds no credential, judges no token, keeps no session, reads no
// configuration and writes no error: what does is handed to it by the
// interfaces in admin.go.
package admin
