package main

import (
	"slices"

	"github.com/authhost/authhost/plugins/internal/paths"
)

// policy is a configuration in the form in which requests are judged by it.
// Nothing changes it once it is made, and judging allocates nothing.
type policy struct {
	roles   []string // lowest first: the rank of a role is its index + 1
	methods []*table // of the methods that rules name
	others  *table   // of every other method
}

// rule is one rule of the configuration and the answers that it can give.
type rule struct {
	methods []string // nil: all
	pattern paths.Pattern
	need    int // rank
	// The answer's reason: the caller's role is high enough, too low, not
	// known, or there is no caller.
	allow, low, unknown, anonymous string
}

// table holds the rules for one method, in their order.
type table struct {
	method string
	rules  []*rule
	// byLength holds, for each length of a plain path, the rules that can
	// cover one of that length; the last entry is for all longer ones, too.
	byLength [maxLength + 1][]*rule
}

const maxLength = 128 // bytes

// newTable returns the table of one method, or with "" that of the methods
// that no rule names.
func newTable(method string, rules []*rule) *table {
	t := &table{method: method}
	for _, r := range rules {
		if r.methods != nil && !slices.Contains(r.methods, method) {
			continue
		}
		t.rules = append(t.rules, r)
		for n := range t.byLength {
			if r.pattern.CoversLength(n) || n == maxLength {
				t.byLength[n] = append(t.byLength[n], r)
			}
		}
	}
	return t
}

// request is what a policy asks about a request.
type request interface {
	Method() string
	Path() string
	Anonymous() bool
	HasRole(role string) bool
}

type effect uint8

const (
	abstain effect = iota
	allow
	deny
)

// answer is what the policy says of a request.
type answer struct {
	effect effect
	reason string
}

// decide judges a request. It looks at the caller's roles only once a rule
// covers the path.
//
// In the rules' order, the first that covers the path decides. One that covers
// it only loosely (see paths.Pattern.Covers) can deny, but what it would allow is
// left to the rules after it: a router that reads the path as it stands must
// find it guarded, too.
func (p *policy) decide(r request) answer {
	t := p.table(r.Method())
	if len(t.rules) == 0 {
		return answer{}
	}
	path := r.Path()
	if path == "" || path[0] != '/' {
		return answer{deny, "path does not begin with /"}
	}
	if paths.IsPlain(path) {
		for _, rule := range t.byLength[min(len(path), maxLength)] {
			if rule.pattern.CoversPlain(path) {
				return p.judge(rule, r)
			}
		}
		return answer{}
	}
	for _, rule := range t.rules {
		// Without a star, what is covered is covered loosely, too.
		loosely := rule.pattern.Covers(path, true)
		if !loosely && !rule.pattern.Starred {
			continue
		}
		exactly := rule.pattern.Covers(path, false)
		if !loosely && !exactly {
			continue
		}
		if a := p.judge(rule, r); exactly || a.effect == deny {
			return a
		}
	}
	return answer{}
}

// table returns the rules for a method.
func (p *policy) table(method string) *table {
	for i := range p.methods {
		if p.methods[i].method == method {
			return p.methods[i]
		}
	}
	return p.others
}

// rank returns the rank of a role, 0 if it has none.
func (p *policy) rank(role string) int { return slices.Index(p.roles, role) + 1 }

// judge answers by one rule alone. Of several roles the highest counts, so any
// that is high enough will do.
func (p *policy) judge(rule *rule, r request) answer {
	for i := rule.need - 1; i < len(p.roles); i++ {
		if r.HasRole(p.roles[i]) {
			return answer{allow, rule.allow}
		}
	}
	if r.Anonymous() {
		return answer{deny, rule.anonymous}
	}
	if slices.ContainsFunc(p.roles[:rule.need-1], r.HasRole) {
		return answer{deny, rule.low}
	}
	return answer{deny, rule.unknown}
}
