package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/authhost/authhost/plugins/internal/paths"
	"github.com/authhost/authhost/plugins/internal/strict"
)

// parseConfig makes a policy of the plugin's configuration. What it does not
// understand, and what could never match, it refuses.
func parseConfig(data []byte) (*policy, error) {
	var (
		p     = &policy{roles: []string{"viewer", "editor", "admin"}}
		given []json.RawMessage
		exact bool
	)
	err := strict.Object(data, map[string]any{"roles": &p.roles, "rules": &given, "case_sensitive": &exact})
	if err != nil {
		return nil, err
	}
	if len(p.roles) == 0 {
		return nil, errors.New("roles is empty")
	}
	for i, role := range p.roles {
		switch {
		case role == "" || len(role) > 128 || strings.ContainsFunc(role, unicode.IsControl):
			return nil, fmt.Errorf("roles[%d]: %.64q is not a role's name", i, role)
		case slices.Contains(p.roles[:i], role):
			return nil, fmt.Errorf("roles[%d]: %q is there twice", i, role)
		}
	}
	if len(given) == 0 {
		return nil, errors.New("rules is empty: nothing would be guarded")
	}
	var rules []*rule
	for i, raw := range given {
		r, err := p.parseRule(i, raw, exact)
		if err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", i, err)
		}
		rules = append(rules, r)
	}
	p.others = newTable("", rules)
	for _, r := range rules {
		for _, m := range r.methods {
			if p.table(m) == p.others {
				p.methods = append(p.methods, newTable(m, rules))
			}
		}
	}
	return p, nil
}

// parseRule reads the i-th rule.
func (p *policy) parseRule(i int, data []byte, exact bool) (*rule, error) {
	var (
		methods    []string
		path, role string
	)
	err := strict.Object(data, map[string]any{"methods": &methods, "path": &path, "role": &role})
	if err != nil {
		return nil, err
	}
	if methods, err = paths.Methods(methods); err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("path is missing")
	}
	if role == "" {
		return nil, errors.New("role is missing")
	}
	need := p.rank(role)
	if need == 0 {
		return nil, fmt.Errorf("role %.64q is not one of roles", role)
	}
	pattern, err := paths.Parse(path, exact)
	if err != nil {
		return nil, err
	}
	low := fmt.Sprintf("rules[%d] needs %s", i, role)
	return &rule{
		methods:   methods,
		pattern:   pattern,
		need:      need,
		allow:     fmt.Sprintf("rules[%d]: %s", i, role),
		low:       low,
		unknown:   low + ": no known role",
		anonymous: low + ": anonymous",
	}, nil
}
