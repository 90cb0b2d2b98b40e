// Command keeper is a plugin that keeps numbers. /swap adds one to a key, and
// /session to an attribute of the session, by reading and compare-and-swap;
// /add adds one by the host's addition. The number is the header X-Team, and the
// reason.
package main

import (
	"strconv"

	"github.com/authhost/authhost/sdk/authorize"
	"github.com/authhost/authhost/sdk/kv"
	"github.com/authhost/authhost/sdk/metric"
	"github.com/authhost/authhost/sdk/session"
)

var asked = metric.New("asked")

const attempts = 40

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Decision {
		asked.Inc()
		n, ok := int64(0), false
		switch r.Path() {
		case "/add":
			var result kv.Result
			n, result = kv.Add("added", 1, kv.Hour)
			ok = result == kv.Done
		case "/swap":
			n, ok = swap(func() (string, bool) { return kv.Get("swapped") }, func(old, next string, there bool) bool {
				if !there {
					return kv.Create("swapped", next, kv.Hour) == kv.Done
				}
				return kv.Swap("swapped", old, next, kv.Hour) == kv.Done
			})
		case "/session":
			n, ok = swap(func() (string, bool) { return session.Get("count") }, func(old, next string, there bool) bool {
				if !there {
					return session.Create("count", next) == session.Done
				}
				return session.Swap("count", old, next) == session.Done
			})
		default:
			return authorize.Abstain()
		}
		if !ok {
			return authorize.Deny("not kept").Status(404)
		}
		text := strconv.FormatInt(n, 10)
		return authorize.Allow().Header("X-Team", text).Reason(text)
	})
}

func swap(get func() (string, bool), set func(old, next string, there bool) bool) (int64, bool) {
	for range attempts {
		old, there := get()
		n, _ := strconv.ParseInt(old, 10, 64)
		if set(old, strconv.FormatInt(n+1, 10), there) {
			return n + 1, true
		}
	}
	return 0, false
}

func main() {}
