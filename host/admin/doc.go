// Package admin owns the admin listener's endpoints and the rule of who may
// use them: the operator, known by a token.
//
// It owns no configuration, plugin or session: what an endpoint does is done
// by the functions it is given, and errors are written by the edge's function.
package admin
