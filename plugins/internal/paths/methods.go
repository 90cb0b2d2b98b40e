package paths

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Methods returns the methods that a rule for those in given is for: HEAD, too,
// beside GET, which is answered by the same code. Nil is all. What no request
// has for its method is an error, because such a rule would guard nothing.
func Methods(given []string) ([]string, error) {
	if given != nil && len(given) == 0 {
		return nil, errors.New("methods is empty; leave it out for all methods")
	}
	for _, m := range given {
		if !isMethod(m) {
			return nil, fmt.Errorf("method %.64q is not an upper-case method; leave methods out for all", m)
		}
	}
	if slices.Contains(given, "GET") {
		return append(slices.Clone(given), "HEAD"), nil
	}
	return given, nil
}

// isMethod says whether s is a token (RFC 9110, section 5.6.2) in upper case,
// as the host lets no other method through. That "*" is one, too, nobody means.
func isMethod(s string) bool {
	for _, c := range []byte(s) {
		if !('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != "" && s != "*"
}
