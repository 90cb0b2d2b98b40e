// Command keeper is a guest for tests: it keeps whatever can be kept.
package main

import (
	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/kv"
	"github.com/authhost/authhost/sdk/metric"
	"github.com/authhost/authhost/sdk/session"
)

var asked = metric.New("asked")

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		asked.Inc()
		if _, ok := session.Get("since"); !ok {
			session.Create("since", "now")
		}
		if sum, result := kv.Add("count", 1, kv.Minute); result != kv.Done || sum > 100 {
			return authorize.Deny("too many").Status(429)
		}
		if last, ok := kv.Get("last"); !ok || last != r.UserID() {
			kv.Put("last", r.UserID(), kv.Hour)
		}
		return authorize.Abstain()
	})
}

func main() {}
