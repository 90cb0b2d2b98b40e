// Package replay keeps the last distinct decisions of a plugin and asks
// another version of it the same requests, to show what would change.
//
// It owns what is kept of a request, which never includes a credential's
// value, and the comparison of old answers with new ones. It does not load
// plugins, nor judge how many changes are too many: whoever reloads does.
//
// # What is distinct
//
// Two decisions are the same if method, host, path, route, realm, user, roles,
// groups and the form of the credential are, and the plugin answered the same:
// effect, status, reason and headers, of which one that holds a credential's
// value is kept and shown as "(holds a credential)". Query, headers, cookies, claims, client
// and time do not make a decision distinct by themselves, for some of them
// differ with every request. Where a policy minds one of them its answer
// differs, and with it the decision.
//
// # What is displaced
//
// When all places are taken, a new decision displaces the oldest of those that
// are most alike: that share the most of their user, and of their route, roles
// and answer, with others that are kept. So neither a user who tries every
// path, nor a crowd that reads one page, displaces the one editor who was
// refused last week.
package replay
