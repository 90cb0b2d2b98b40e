package cases

import (
	"net/netip"
	"slices"
	"time"
)

// What a case is given that does not say it.
const (
	defaultHost    = "console.example"
	defaultIssuer  = "https://idp.example"
	defaultSubject = "someone"
	defaultLife    = time.Hour // of a credential
)

var defaultClient = netip.AddrFrom4([4]byte{192, 0, 2, 1})

const (
	onAuthorize  = "on_authorize"
	onCredential = "on_credential"
)

// readCase reads one case; names are the lines of those before it. With
// problems noted, it is not fit to be run.
func readCase(v value, names map[string]int) *Case {
	f := v.fields("name", "hook", "config", "time", "request", "identity", "candidates", "deadlines", "ended", "kv", "session", "http", "expect")
	c := &Case{Name: f["name"].need(), Hook: readHook(f["hook"]), Line: v.line}
	if first := names[c.Name]; first > 0 {
		f["name"].fail("%.80q is the name of the case in line %d too", c.Name, first)
	}
	names[c.Name] = c.Line
	if f["config"].there() {
		c.config = f["config"].json()
	}
	c.call.Now = f["time"].time(Now())
	if c.Hook != onLogout {
		readRequest(f["request"], &c.call)
	} else if f["request"].there() {
		f["request"].fail("is not there when access has ended")
	}
	c.kv = readKV(f["kv"])
	for _, item := range f["http"].items() {
		c.replies = append(c.replies, readReply(item))
	}
	c.only(f)
	switch c.Hook {
	case onLogin:
		readIdentity(f["identity"], &c.call)
		if c.call.Identity == nil {
			f["identity"].fail("is required: of whom the JWT is that logs in")
		}
		readDeadlines(f["deadlines"], &c.call)
	case onLogout:
		readEnded(f["ended"], &c.call)
	case onAuthorize:
		readIdentity(f["identity"], &c.call)
		c.readSession(f["session"])
	case onCredential:
		readCandidates(f["candidates"], &c.call)
		for _, name := range []string{"identity", "session"} {
			if f[name].there() {
				f[name].fail("is for %s alone: nobody is known yet when %s is asked", onAuthorize, onCredential)
			}
		}
	}
	if c.Hook != "" {
		c.Want = readExpect(f["expect"], c)
	}
	return c
}

// only refuses keys that are for other hooks.
func (c *Case) only(f map[string]value) {
	for name, hooks := range map[string][]string{"candidates": {onCredential}, "deadlines": {onLogin}, "ended": {onLogout}} {
		if c.Hook != "" && f[name].there() && !slices.Contains(hooks, c.Hook) {
			f[name].fail("is for %s alone", hooks[0])
		}
	}
	if c.Hook == onLogin || c.Hook == onLogout {
		for _, name := range []string{"session", "identity"} {
			if f[name].there() && (name == "session" || c.Hook == onLogout) {
				f[name].fail("is not there when %s is asked", c.Hook)
			}
		}
	}
}

func readHook(v value) string {
	switch hook := v.need(); hook {
	case onAuthorize, onCredential, onLogin, onLogout:
		return hook
	case "on_response":
		v.fail("%s is not built yet", hook)
	case "configure":
		v.fail("configure is asked whenever a plugin is loaded; there are no cases for it")
	case "":
	default:
		v.fail("unknown hook; there are %s, %s, %s, %s", onAuthorize, onCredential, onLogin, onLogout)
	}
	return ""
}
