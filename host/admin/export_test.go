package admin

// CheckRoute is what New makes of one more route.
func CheckRoute(method, pattern string, may uint8, do bool) error {
	rt := route{method: method, pattern: pattern, may: rule(may)}
	if do {
		rt.do = (*exchange).showMe
	}
	return checkRoutes([]route{rt})
}

var PageOf = pageOf

// Match says which route of the admin listener a path is, and what it names.
func Match(method, path string) (pattern, realm, user, plugin, allow string) {
	rt, n, allow := match(adminRoutes(), method, path)
	if rt != nil {
		pattern = rt.pattern
	}
	return pattern, n.realm, n.user, n.plugin, allow
}

// Endpoints are all that there are, each as "METHOD /path".
func Endpoints() (all []string) {
	for _, rt := range append(adminRoutes(), publicRoutes()...) {
		all = append(all, rt.method+" "+rt.pattern)
	}
	return all
}
