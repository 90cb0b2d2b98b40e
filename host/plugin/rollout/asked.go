package rollout

import "errors"

// Asked says when the configuration has a plugin asked.
type Asked struct {
	Routes bool // in the list of a route
	Realms bool // in the list of a realm
}

// refuses says why a plugin with these hooks cannot be asked so: nobody would
// notice that it never is.
func (a Asked) refuses(hooks []string) error {
	has := map[string]bool{}
	for _, h := range hooks {
		has[h] = true
	}
	if a.Routes && !has["on_credential"] && !has["on_authorize"] {
		return errors.New("a route lists the plugin, which has neither on_credential nor on_authorize")
	}
	if a.Realms && !has["on_login"] && !has["on_logout"] {
		return errors.New("a realm lists the plugin, which has neither on_login nor on_logout")
	}
	return nil
}

// Refuses says why a version cannot be asked so; nil if it can.
func (v *Version) Refuses(a Asked) error { return a.refuses(v.Hooks) }
