package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check judges what decoding left to be judged.
func check(r *report, c *Config) {
	checkListen(r, c)
	checkCache(r, &c.Cache)
	if c.Operator != nil && c.Operator.TokenFile == "" {
		r.add("operator.token_file", "is required")
	}
	checkRealms(r, c.Realms, c.Plugins)
	checkIntrospection(r, c)
	checkPlugins(r, c.Plugins)
	checkRoutes(r, c)
}

func checkListen(r *report, c *Config) {
	owner := map[string]string{}
	for _, l := range []struct {
		key, addr string
		required  bool
	}{
		{"listen.public", c.Listen.Public, true},
		{"listen.admin", c.Listen.Admin, true},
		{"listen.telemetry", c.Listen.Telemetry, true},
		{"listen.proxy", c.Listen.Proxy, false},
	} {
		if l.addr == "" && !l.required {
			continue
		}
		port, err := splitPort(l.addr)
		if err != nil {
			r.add(l.key, "%s", err)
			continue
		}
		if other := owner[l.addr]; other != "" && port != 0 {
			r.add(l.key, "%s is the address of %s too", l.addr, other)
		}
		owner[l.addr] = l.key
	}
	if c.Listen.GRPC != "" {
		r.add("listen.grpc", "Envoy's gRPC is not built yet; leave it empty")
	}
	if c.Upstream != "" {
		u, err := parseURL(c.Upstream)
		if err == nil && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
			err = fmt.Errorf("must end after host and port: what is forwarded is what was judged")
		}
		if err != nil {
			r.add("upstream", "%s", err)
		}
	} else if c.Listen.Proxy != "" {
		r.add("listen.proxy", "needs an upstream")
	}
}

// splitPort returns the port of a host:port.
func splitPort(addr string) (uint16, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, fmt.Errorf("must be host:port, not %q", addr)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("must end in a port number, not %q", port)
	}
	return uint16(n), nil
}

// parseURL reads an http or https URL. User and password have no place in it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("must be an http or https URL")
	case u.User != nil:
		return nil, fmt.Errorf("must not hold a user or password")
	case u.Fragment != "":
		return nil, fmt.Errorf("must not have a fragment")
	}
	return u, nil
}

func checkCache(r *report, c *Cache) {
	oneOf(r, "cache.driver", c.Driver, DriverFile, DriverMemory, DriverRedis, DriverEtcd)
	if c.File.Dir == "" {
		r.add("cache.file.dir", "must not be empty")
	}
	rd := &c.Redis
	checkServers(r, "cache.redis.addrs", rd.Addrs)
	checkServers(r, "cache.etcd.endpoints", c.Etcd.Endpoints)
	if c.Etcd.Username != "" && c.Etcd.PasswordFile == "" {
		r.add("cache.etcd.username", "needs a password_file")
	}
	if len(rd.Addrs) > 1 && rd.MasterName == "" && !rd.Cluster {
		r.add("cache.redis.addrs", "one node has one address; several belong to cluster: true or a master_name")
	}
	if rd.MasterName != "" && rd.Cluster {
		r.add("cache.redis.cluster", "goes without master_name: Cluster or Sentinel, not both")
	}
	if rd.Cluster && rd.DB != 0 {
		r.add("cache.redis.db", "must be 0 with cluster: true")
	}
	if rd.Username != "" && rd.PasswordFile == "" {
		r.add("cache.redis.username", "needs a password_file")
	}
	notNegative(r, "cache.redis.db", rd.DB)
	notNegative(r, "cache.redis.wait_replicas", rd.WaitReplicas)
	if c.Near.MaxStaleness < 0 {
		r.add("cache.near.max_staleness", "must not be negative")
	}
	if c.Near.Entries < 1 {
		r.add("cache.near.entries", "must be 1 or more; max_staleness: 0s reads through every time")
	}
}

// checkServers judges addresses to connect to.
func checkServers(r *report, key string, addrs []string) {
	for i, a := range addrs {
		if port, err := splitPort(a); err != nil || port == 0 || strings.HasPrefix(a, ":") {
			r.add(fmt.Sprintf("%s[%d]", key, i), "must be host:port, not %q", a)
		}
	}
	if len(addrs) == 0 {
		r.add(key, "must not be empty")
	}
}

func checkIntrospection(r *report, c *Config) {
	seen := map[string]bool{}
	for i, client := range c.IntrospectionClients {
		key := fmt.Sprintf("introspection_clients[%d]", i)
		checkName(r, key+".id", client.ID, seen)
		if client.SecretFile == "" {
			r.add(key+".secret_file", "is required")
		}
		if !slices.ContainsFunc(c.Realms, func(realm Realm) bool { return realm.Name == client.Realm }) {
			r.add(key+".realm", "%q is not a realm", client.Realm)
		}
	}
}

func oneOf(r *report, key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		r.add(key, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

func positive(r *report, key string, d time.Duration) {
	if d <= 0 {
		r.add(key, "must be more than 0s")
	}
}

func notNegative(r *report, key string, n int) {
	if n < 0 {
		r.add(key, "must not be negative")
	}
}

// checkName judges the name of a realm or plugin, which stands in URLs,
// headers and metrics, and whether it is the first of that name.
func checkName(r *report, key, name string, seen map[string]bool) {
	switch {
	case name == "":
		r.add(key, "is required")
	case len(name) > 64 || strings.Trim(name, nameLetters) != "" || strings.ContainsAny(name[:1], "._-"):
		r.add(key, "%.80q is not a name: 64 letters, digits, dots, dashes and underscores at most, a letter or digit first", name)
	case seen[name]:
		r.add(key, "%q is taken", name)
	}
	seen[name] = true
}

const nameLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// checkHosts judges host patterns and gives them the form that requests'
// hosts are compared in, in place: lower case, IPv6 in brackets.
func checkHosts(r *report, key string, hosts []string) {
	for i, h := range hosts {
		if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")); err == nil && a.Is6() && a.Zone() == "" {
			hosts[i] = "[" + a.String() + "]"
			continue
		}
		hosts[i] = strings.ToLower(h)
		if why := badHost(hosts[i]); why != "" {
			r.add(fmt.Sprintf("%s[%d]", key, i), "%q %s", h, why)
		}
	}
}

// badHost says what is wrong with a host pattern: an exact name, "*.suffix"
// or "*".
func badHost(h string) string {
	if h == "*" {
		return ""
	}
	h = strings.TrimPrefix(h, "*.")
	switch {
	case h == "":
		return "names no host"
	case strings.Contains(h, "*"):
		return `has a * that is neither alone nor a leading "*."`
	case len(h) > 253:
		return "is longer than 253 letters"
	case strings.ContainsAny(h, ":/"):
		return "must be a host alone, without scheme, port or path"
	case strings.HasSuffix(h, "."):
		return "must not end in a dot"
	}
	for label := range strings.SplitSeq(h, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			return "is not a host name; names beyond ASCII are written in their xn-- form"
		}
	}
	return ""
}
