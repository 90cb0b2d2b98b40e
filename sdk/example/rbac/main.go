// Command rbac is the plugin rbac-gitops in miniature: which role may call
// which endpoint. The same plugin stands beside the SDKs of other languages,
// and answers the same. Its configuration is a list of texts, a rule each, of
// which the first that covers method and path decides:
//
//	["POST,PUT /api/gitops/sync editor", "* /api/clusters/*/nodes/** admin"]
//
// A "*" in a path is one segment, a final "/**" that path and all below. The
// roles are viewer, editor and admin, each including those before it.
package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/configure"
)

const (
	maxRules = 64
	maxText  = 8192 // bytes, of the configuration
)

var (
	roles    = []string{"viewer", "editor", "admin"}
	refusals = []string{"needs viewer", "needs editor", "needs admin"}
)

type rule struct {
	methods []string // nil: all
	path    string
	need    int
}

var rules []rule

func init() {
	configure.Handle(func(config []byte) (err error) {
		rules, err = readConfig(string(config))
		return err
	})
	authorize.Handle(decide)
}

// readConfig reads a JSON list of texts that have no escapes.
func readConfig(config string) ([]rule, error) {
	if len(config) > maxText {
		return nil, errors.New("more than 8192 bytes of configuration")
	}
	parts := strings.Split(config, `"`) // [ text , text ]
	var read []rule
	for i := 1; i < len(parts); i += 2 {
		if before := parts[i-1]; i == 1 && before != "[" || i > 1 && before != "," {
			return nil, errors.New("a list of rules is needed")
		}
		r, ok := parseRule(parts[i])
		if !ok || len(read) == maxRules {
			return nil, errors.New(`a rule is not "METHODS /PATH ROLE"`)
		}
		read = append(read, r)
	}
	if len(read) == 0 || parts[len(parts)-1] != "]" {
		return nil, errors.New("a list of rules is needed")
	}
	return read, nil
}

// parseRule reads "methods path role".
func parseRule(text string) (r rule, ok bool) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 || parts[0] == "" || !strings.HasPrefix(parts[1], "/") || strings.Contains(text, `\`) {
		return r, false
	}
	if parts[0] != "*" {
		r.methods = strings.Split(parts[0], ",")
	}
	r.path, r.need = parts[1], slices.Index(roles, parts[2])
	return r, r.need >= 0
}

func (r *rule) covers(method, path string) bool {
	return (r.methods == nil || slices.Contains(r.methods, method)) && coversPath(r.path, path)
}

func coversPath(pattern, path string) bool {
	for {
		if pattern == "/**" {
			return path == "" || path[0] == '/'
		}
		if pattern == "" || path == "" {
			return pattern == path
		}
		if pattern[0] != path[0] {
			return false
		}
		path = path[1:]
		if strings.HasPrefix(pattern, "/*") { // a whole segment
			n := strings.IndexByte(path, '/')
			if n < 0 {
				n = len(path)
			}
			if n == 0 {
				return false
			}
			pattern, path = pattern[2:], path[n:]
		} else {
			pattern = pattern[1:]
		}
	}
}

func decide(r *authorize.Request) authorize.Decision {
	method, path := r.Method(), r.Path()
	for i := range rules {
		if !rules[i].covers(method, path) {
			continue
		}
		if slices.ContainsFunc(roles[rules[i].need:], r.HasRole) {
			return authorize.Allow()
		}
		return authorize.Deny(refusals[rules[i].need])
	}
	return authorize.Abstain()
}

func main() {}
