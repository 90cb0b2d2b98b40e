package config_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestEnvironmentOverridesTheFile(t *testing.T) {
	c := mustLoad(t, "cache: {driver: memory, redis: {db: 1, tls: true}}\ntrusted_proxies: [192.0.2.1]\nlisten: {proxy: 127.0.0.1:1}\nupstream: http://a\n",
		"AUTHHOST_CACHE__DRIVER=redis",
		"AUTHHOST_CACHE__REDIS__ADDRS=a:1, b:2,c:3",
		"AUTHHOST_CACHE__REDIS__CLUSTER=true",
		"AUTHHOST_CACHE__REDIS__DB=0",
		"AUTHHOST_CACHE__REDIS__TLS=false",
		"AUTHHOST_CACHE__NEAR__MAX_STALENESS=250ms",
		"authhost_Cache__Near__Entries=5",
		"AUTHHOST_TRUSTED_PROXIES=10.0.0.0/8,::1",
		"AUTHHOST_LISTEN__PUBLIC=0.0.0.0:80",
		"AUTHHOST_LISTEN__PROXY=",
		"AUTHHOST_UPSTREAM=http://b:1",
		"AUTHHOST_OPERATOR__TOKEN_FILE=/run/operator",
	)
	for _, c := range []struct{ got, want any }{
		{c.Cache.Driver, "redis"},
		{c.Cache.Redis.Addrs, []string{"a:1", "b:2", "c:3"}},
		{c.Cache.Redis.Cluster, true},
		{c.Cache.Redis.DB, 0},
		{c.Cache.Redis.TLS, false},
		{c.Cache.Near.MaxStaleness, 250 * time.Millisecond},
		{c.Cache.Near.Entries, 5},
		{c.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		{c.Listen.Public, "0.0.0.0:80"},
		{c.Listen.Proxy, ""},
		{c.Upstream, "http://b:1"},
		{c.Operator.TokenFile, "/run/operator"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

func TestEnvironmentEmptyListTrustsNobody(t *testing.T) {
	if c := mustLoad(t, "{}", "AUTHHOST_TRUSTED_PROXIES="); len(c.TrustedProxies) != 0 {
		t.Errorf("trusted: %v", c.TrustedProxies)
	}
}

// What Kubernetes injects for a Service called authhost, and what is no key
// or a key for the file alone, changes nothing.
func TestEnvironmentOfOthersIsIgnored(t *testing.T) {
	c := mustLoad(t, "{}",
		"AUTHHOST_PORT=tcp://10.96.0.17:8080",
		"AUTHHOST_SERVICE_HOST=10.96.0.17",
		"AUTHHOST_SERVICE_PORT=8080",
		"AUTHHOST_SERVICE_PORT_PUBLIC=8080",
		"AUTHHOST_PORT_8080_TCP=tcp://10.96.0.17:8080",
		"AUTHHOST_PORT_8080_TCP_PROTO=tcp",
		"AUTHHOST_PORT_8080_TCP_PORT=8080",
		"AUTHHOST_PORT_8080_TCP_ADDR=10.96.0.17",
		"AUTHHOST_CACHE=x",
		"AUTHHOST_CACHE_DRIVER=x",
		"AUTHHOST_CACHE.DRIVER=x",
		"AUTHHOST_CACHE__DRIVR=x",
		"AUTHHOST_CACHE__NEAR=x",
		"AUTHHOST_REALMS=x",
		"AUTHHOST_REALMS__NAME=x",
		"AUTHHOST_REALMS__0__NAME=x",
		"AUTHHOST_PLUGINS=x",
		"AUTHHOST_ROUTES=x",
		"AUTHHOST_INTROSPECTION_CLIENTS=x",
		"AUTHHOST_PLACES=x",
		"AUTHHOST_=x",
		"AUTHHOST",
		"CACHE__DRIVER=x",
		"XAUTHHOST_CACHE__DRIVER=x",
		"=",
		"",
	)
	plain := mustLoad(t, "{}")
	plain.Cache.File.Dir = c.Cache.File.Dir
	if got, want := exported(c), exported(plain); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEnvironmentErrorsNameTheVariable(t *testing.T) {
	for _, c := range []struct {
		environ []string
		want    string
	}{
		{[]string{"AUTHHOST_CACHE__DRIVER=disk"}, `environment AUTHHOST_CACHE__DRIVER: cache.driver: "disk" is not one of file, memory, redis, etcd`},
		{[]string{"AUTHHOST_CACHE__DRIVER=mongo"}, `environment AUTHHOST_CACHE__DRIVER: cache.driver: "mongo" is not one of file, memory, redis, etcd`},
		{[]string{"AUTHHOST_CACHE__REDIS__DB=one"}, `environment AUTHHOST_CACHE__REDIS__DB: cache.redis.db: must be a whole number`},
		{[]string{"AUTHHOST_CACHE__REDIS__TLS=1"}, `environment AUTHHOST_CACHE__REDIS__TLS: cache.redis.tls: must be true or false`},
		{[]string{"AUTHHOST_CACHE__NEAR__MAX_STALENESS=1"}, `environment AUTHHOST_CACHE__NEAR__MAX_STALENESS: cache.near.max_staleness: must be a duration, such as 30s, 5m or 8h`},
		{[]string{"AUTHHOST_LISTEN__PUBLIC="}, `environment AUTHHOST_LISTEN__PUBLIC: listen.public: must be host:port, not ""`},
		{[]string{"AUTHHOST_TRUSTED_PROXIES=::1,x,"}, "environment AUTHHOST_TRUSTED_PROXIES: trusted_proxies[1]: must be an address or a range of them, such as 10.0.0.0/8\n" +
			"environment AUTHHOST_TRUSTED_PROXIES: trusted_proxies[2]: must be an address or a range of them, such as 10.0.0.0/8"},
		{[]string{"authhost_listen__grpc=:1"}, `environment authhost_listen__grpc: listen.grpc: Envoy's gRPC is not built yet; leave it empty`},
		{[]string{"AUTHHOST_UPSTREAM=http://a", "authhost_upstream=http://b"}, `environment AUTHHOST_UPSTREAM: upstream: is set by the variable authhost_upstream too: keep one`},
		{[]string{"AUTHHOST_UPSTREAM=x", "AUTHHOST_CACHE__DRIVER=x"}, `environment AUTHHOST_CACHE__DRIVER: cache.driver: "x" is not one of file, memory, redis, etcd` +
			"\nenvironment AUTHHOST_UPSTREAM: upstream: must be an http or https URL"},
	} {
		_, got := load(t, "trusted_proxies: [192.0.2.1, 192.0.2.2, 192.0.2.3]\n", c.environ...)
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.environ, got, c.want)
		}
	}
	if _, got := load(t, "upstream: x\n", "AUTHHOST_CACHE__DRIVER=x"); got != "authhost.yaml:1: upstream: must be an http or https URL\n"+
		`environment AUTHHOST_CACHE__DRIVER: cache.driver: "x" is not one of file, memory, redis, etcd` {
		t.Errorf("file and environment: %s", got)
	}
}
