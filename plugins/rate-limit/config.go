package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/authhost/authhost/plugins/internal/paths"
	"github.com/authhost/authhost/plugins/internal/strict"
)

const (
	maxLimit  = 1_000_000_000
	maxWindow = 24 * time.Hour
)

// parseConfig makes a policy of the plugin's configuration. What it does not
// understand, and what could never match, it refuses.
func parseConfig(data []byte) (*policy, error) {
	var given []json.RawMessage
	if err := strict.Object(data, map[string]any{"rules": &given}); err != nil {
		return nil, err
	}
	if len(given) == 0 {
		return nil, errors.New("rules is empty: nothing would be limited")
	}
	p := &policy{}
	for i, raw := range given {
		r, err := parseRule(i, raw)
		if err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", i, err)
		}
		if slices.ContainsFunc(p.rules, func(other *rule) bool { return other.name == r.name }) {
			return nil, fmt.Errorf("rules[%d] is there twice", i)
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

// parseRule reads the i-th rule.
func parseRule(i int, data []byte) (*rule, error) {
	r := &rule{}
	var (
		path, window string
		methods      []string
	)
	err := strict.Object(data, map[string]any{"path": &path, "methods": &methods, "by": &r.by, "limit": &r.limit, "window": &window})
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("path is missing")
	}
	if r.pattern, err = paths.Parse(path, false); err != nil {
		return nil, err
	}
	if r.methods, err = paths.Methods(methods); err != nil {
		return nil, err
	}
	if r.by != byUser && r.by != byClient && r.by != byRealm {
		return nil, fmt.Errorf("by %.64q is none of user, client, realm", r.by)
	}
	if r.limit < 1 || r.limit > maxLimit {
		return nil, fmt.Errorf("limit %d is not from 1 to %d", r.limit, maxLimit)
	}
	d, err := time.ParseDuration(window)
	if err != nil || d < time.Second || d > maxWindow || d%time.Second != 0 {
		return nil, fmt.Errorf("window %.64q is not a time of whole seconds, from 1s to 24h", window)
	}
	r.window = int64(d / time.Second)
	r.name = nameOf(path, methods, r)
	r.reason = fmt.Sprintf("rules[%d]: %d in %s by %s", i, r.limit, window, r.by)
	return r, nil
}

// nameOf tells a rule by what it counts, so that another rule before it, or
// another limit, leaves its counters as they are.
func nameOf(path string, methods []string, r *rule) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q %s %d", path, methods, r.by, r.window)
	return strconv.FormatUint(h.Sum64(), 36)
}
