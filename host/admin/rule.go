package admin

import (
	"context"
	"slices"

	"github.com/authhost/authhost/host"
)

// rule says in what capacities a route may be used. The zero value is nobody.
type rule uint8

const (
	nobody     rule = 0
	self       rule = 1 << host.Self
	realmAdmin rule = 1 << host.RealmAdmin
	operator   rule = 1 << host.Operator
	client     rule = 1 << 7 // of introspection; stands alone
)

func (r rule) includes(rank host.Rank) bool { return rank != host.Nobody && r&(1<<rank) != 0 }

// caller is who a request is from: the operator of a name, a realm's user by
// one credential, or an introspection client by its realm.
type caller struct {
	operator   string
	client     string
	realm      *Realm // of a user or client
	credential host.Credential
	identity   *host.Identity
	touch      func(context.Context) // see host.Validation
}

// grant is what a caller may act on, and as whom.
type grant struct {
	by    host.Actor
	realm *Realm // nil where nothing of a realm is concerned
	user  string // the id of the user concerned, if one is
}

// String says in what capacity the caller acts, for the record.
func (g *grant) String() string {
	switch g.by.Rank {
	case host.Nobody:
		return "client " + g.by.ID
	case host.Operator:
		return "operator " + g.by.ID
	}
	return g.by.Rank.String()
}

// admit is the one place where it is decided who may. It is asked once the
// caller is known, and before anything of the user concerned is read.
//
//   - The operator may what is the operator's, in any realm by name, and
//     nothing of a realm's otherwise: 403. No such realm: 404.
//   - A user may nothing of the operator's: 403, whatever the path names.
//   - An id that is not of the caller's realm, or of the realm named: 404.
//   - A user concerned with none but himself acts as such and in no higher
//     capacity: an admin does not deactivate himself.
//   - An admin of the realm acts on every other user of it; whoever has no
//     capacity that the rule includes: 403.
//
// An id of the realm's form is never 404: whether it was ever seen is not told.
func admit(may rule, c *caller, named names, realms []*Realm) (grant, error) {
	switch {
	case c.client != "":
		if may != client {
			return grant{}, forbidden()
		}
		return grant{by: host.Actor{ID: c.client}, realm: c.realm}, nil
	case c.operator != "":
		return admitOperator(may, c, named, realms)
	case c.identity == nil || may&(self|realmAdmin) == 0:
		return grant{}, forbidden()
	}
	g := grant{by: host.Actor{Rank: host.Nobody, ID: c.identity.UserID}, realm: c.realm, user: named.user}
	if g.user == "" { // an endpoint of one's own
		g.user = c.identity.UserID
	}
	if !host.IsUserIDOf(g.user, c.realm.Name) {
		return grant{}, noSuchUser()
	}
	switch {
	case g.user == c.identity.UserID:
		g.by.Rank = host.Self
	case c.realm.AdminRole != "" && slices.Contains(c.identity.Roles, c.realm.AdminRole):
		g.by.Rank = host.RealmAdmin
	}
	if !may.includes(g.by.Rank) {
		return grant{}, forbidden()
	}
	return g, nil
}

func admitOperator(may rule, c *caller, named names, realms []*Realm) (grant, error) {
	if !may.includes(host.Operator) {
		return grant{}, forbidden()
	}
	g := grant{by: host.Actor{Rank: host.Operator, ID: c.operator}, user: named.user}
	if named.realm == "" {
		return g, nil
	}
	i := slices.IndexFunc(realms, func(r *Realm) bool { return r.Name == named.realm })
	if i < 0 {
		return grant{}, &host.Error{Kind: host.NotFound, Public: "no_such_realm"}
	}
	g.realm = realms[i]
	if !host.IsUserIDOf(g.user, g.realm.Name) {
		return grant{}, noSuchUser()
	}
	return g, nil
}

func forbidden() error  { return &host.Error{Kind: host.Forbidden, Public: "not_allowed"} }
func noSuchUser() error { return &host.Error{Kind: host.NotFound, Public: "no_such_user"} }
func noSuchPlugin() error {
	return &host.Error{Kind: host.NotFound, Public: "no_such_plugin"}
}
