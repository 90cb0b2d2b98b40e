// Command rate-limit is a plugin: how often somebody may call an endpoint in a
// time, counted by all replicas together. README.md beside the plugins tells how
// to write its rules.
//
// It owns the rules and what is counted by what. The counting is the host's.
package main

import (
	"strconv"

	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/configure"
	"github.com/authhost/authhost/sdk/kv"
	"github.com/authhost/authhost/sdk/metric"
)

// live is nil until the host has configured the plugin, which it does before
// it asks anything: a call that came earlier would fail and be answered 503.
var live *policy

var (
	limited = metric.New("limited")
	crowded = metric.New("out_of_keys")
)

func init() {
	configure.Handle(func(config []byte) (err error) {
		live, err = parseConfig(config)
		return err
	})
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		switch v := live.judge(r, count); {
		case v.crowded:
			crowded.Inc()
			sdk.Warn("as many keys live as are granted: give the capability kv more keys")
			return deny(v)
		case v.rule != nil:
			limited.Inc()
			return deny(v)
		}
		return authorize.Abstain()
	})
}

func deny(v verdict) authorize.Decision {
	return authorize.Deny(v.rule.reason).Status(429).Header("Retry-After", strconv.FormatInt(v.wait, 10))
}

// count counts one more under a key.
func count(key string, seconds int64) (sum int64, ok bool) {
	sum, result := kv.Add(key, 1, kv.TTL(seconds)*kv.Second)
	return sum, result == kv.Done
}

func main() {}
