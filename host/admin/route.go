package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// route is one endpoint.
type route struct {
	method  string
	pattern string // "{realm}", "{user_id}", "{id}" and "{name}" each stand for one segment
	may     rule
	do      func(x *exchange) error
}

func adminRoutes() []route {
	return append(append(userRoutes("/v1/users", self|realmAdmin, realmAdmin),
		userRoutes("/v1/system/realms/{realm}/users", operator, operator)...),
		route{http.MethodGet, "/v1/plugins", operator, (*exchange).listPlugins},
		route{http.MethodGet, "/v1/plugins/{name}", operator, (*exchange).showPlugin},
		route{http.MethodPost, "/v1/plugins/{name}/reload", operator, (*exchange).reloadPlugin},
		route{http.MethodPost, "/v1/plugins/{name}/rollback", operator, (*exchange).rollBackPlugin},
		route{http.MethodPost, "/v1/config/reload", operator, (*exchange).reload})
}

// userRoutes are the endpoints of one user: look and logout, and those that
// change whether the user is active.
func userRoutes(prefix string, look, change rule) []route {
	user := prefix + "/{user_id}"
	return []route{
		{http.MethodGet, user, look, (*exchange).showUser},
		{http.MethodGet, user + "/sessions", look, (*exchange).listSessions},
		{http.MethodPost, user + "/logout", look, (*exchange).logout},
		{http.MethodPost, user + "/deactivate", change, (*exchange).deactivate},
		{http.MethodPost, user + "/activate", change, (*exchange).activate},
	}
}

func publicRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/me", self, (*exchange).showMe},
		{http.MethodGet, "/v1/me/sessions", self, (*exchange).listSessions},
		{http.MethodDelete, "/v1/me/sessions/{id}", self, (*exchange).endSession},
		{http.MethodPost, "/v1/introspect", client, (*exchange).introspect},
	}
}

// checkRoutes refuses a route that nobody decided about, or that would do
// nothing.
func checkRoutes(routes []route) error {
	var problems []error
	for _, rt := range routes {
		switch {
		case rt.may == nobody:
			problems = append(problems, fmt.Errorf("admin: no rule for %s %s", rt.method, rt.pattern))
		case rt.do == nil:
			problems = append(problems, fmt.Errorf("admin: nothing to do for %s %s", rt.method, rt.pattern))
		}
	}
	return errors.Join(problems...)
}

// names is what a path names.
type names struct{ realm, user, session, plugin string }

// match finds the route of a request. If its path has routes but none of this
// method, rt is one of them and allow lists their methods.
func match(routes []route, method, path string) (rt *route, named names, allow string) {
	for i := range routes {
		n, ok := routes[i].covers(path)
		if !ok {
			continue
		}
		rt = &routes[i]
		of := rt.method
		if method == of || method == http.MethodHead && of == http.MethodGet {
			return rt, n, ""
		}
		if of == http.MethodGet {
			of += ", " + http.MethodHead
		}
		if allow != "" {
			allow += ", "
		}
		allow += of
	}
	return rt, names{}, allow
}

// covers says whether the pattern is that of path, and what path names.
func (rt *route) covers(path string) (n names, ok bool) {
	pattern := rt.pattern
	for more := true; more; {
		var want, got string
		var longer bool
		want, pattern, more = strings.Cut(pattern, "/")
		got, path, longer = strings.Cut(path, "/")
		if more != longer {
			return names{}, false
		}
		switch want {
		case "{realm}":
			n.realm = got
		case "{user_id}":
			n.user = got
		case "{id}":
			n.session = got
		case "{name}":
			n.plugin = got
		default:
			if got != want {
				return names{}, false
			}
			continue
		}
		if got == "" {
			return names{}, false
		}
	}
	return n, true
}
