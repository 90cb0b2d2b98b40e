package main

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/authhost/authhost/plugins/internal/paths"
)

// policy is a configuration in the form in which requests are judged by it.
type policy struct{ rules []*rule }

// rule is one limit.
type rule struct {
	pattern paths.Pattern
	methods []string // nil: all
	by      string
	limit   int64
	window  int64  // seconds
	name    string // by which its counters are kept: that of no other rule
	reason  string
}

// What is counted apart from others.
const (
	byUser   = "user" // who is anonymous by address
	byClient = "client"
	byRealm  = "realm"
)

// request is what a policy asks about a request.
type request interface {
	Method() string
	Path() string
	UserID() string
	Client() string
	Realm() string
	Time() int64
}

// verdict is what a policy says of a request: with a rule, that it is one too
// many.
type verdict struct {
	rule    *rule
	wait    int64 // seconds until it is worth another try
	crowded bool  // it could not be counted, for want of keys
}

// judge counts a request under every rule that covers it, until it is one too
// many. Windows begin at whole multiples of their length, so that replicas need
// not tell one another when.
func (p *policy) judge(r request, count func(key string, seconds int64) (sum int64, ok bool)) verdict {
	for _, rule := range p.rules {
		if !rule.covers(r) {
			continue
		}
		number, into := r.Time()/rule.window, r.Time()%rule.window
		key := rule.name + "/" + strconv.FormatInt(number, 36) + "/" + rule.subject(r)
		sum, ok := count(key, rule.window-into)
		if !ok || sum > rule.limit {
			return verdict{rule, rule.window - into, !ok}
		}
	}
	return verdict{}
}

// covers says whether a rule is for a request: also for what only some routers
// take for its path.
func (rule *rule) covers(r request) bool {
	if rule.methods != nil && !slices.Contains(rule.methods, r.Method()) {
		return false
	}
	path := r.Path()
	return rule.pattern.Covers(path, false) || rule.pattern.Covers(path, true)
}

// subject is who is counted.
func (rule *rule) subject(r request) string {
	switch {
	case rule.by == byRealm:
		return r.Realm()
	case rule.by == byUser && r.UserID() != "":
		return r.UserID() // which no two realms share
	}
	return r.Realm() + "/" + network(r.Client())
}

// network is the address, of IPv6 its /64: whoever has one address there has
// them all.
func network(client string) string {
	a, err := netip.ParseAddr(client)
	if err != nil || a.Is4() {
		return client
	}
	p, err := a.Prefix(64)
	if err != nil {
		return client
	}
	return p.Addr().String()
}
