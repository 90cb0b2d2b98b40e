package cases

import (
	"slices"
	"strconv"
	"strings"

	"github.com/authhost/authhost/host"
)

// The bounds on a key and its value, and on the body of an answer.
const (
	maxKey      = 256
	maxKeyValue = 4096
	maxBody     = 64 << 10
)

// readKV reads the keys that a plugin finds, with text or whole numbers as
// their values.
func readKV(v value) map[string][]byte {
	kv := map[string][]byte{}
	for _, p := range v.pairs() {
		if n := len(p.name); n < 1 || n > maxKey {
			p.value.fail("a key has 1 to %d bytes", maxKey)
		}
		text := ""
		if p.value.there() && p.value.node.ShortTag() == "!!int" {
			text = strconv.Itoa(*p.value.number())
		} else {
			text = p.value.text()
		}
		if len(text) > maxKeyValue {
			p.value.fail("a value has at most %d bytes", maxKeyValue)
		}
		kv[p.name] = []byte(text)
	}
	return kv
}

// readReply reads what a request is answered with.
func readReply(v value) reply {
	f := v.fields("url", "method", "status", "body", "error")
	r := reply{url: f["url"].need(), method: f["method"].or("")}
	if f["error"].there() {
		failures := []string{host.FetchRefused, host.FetchUnreachable, host.FetchTimeout, host.FetchTooLarge}
		if r.found.Failure = f["error"].text(); !slices.Contains(failures, r.found.Failure) {
			f["error"].fail("must be one of %s", strings.Join(failures, ", "))
		}
		for _, name := range []string{"status", "body"} {
			if f[name].there() {
				f[name].fail("is of an answer, and with error there is none")
			}
		}
		return r
	}
	r.found.Status, r.found.Body = 200, []byte(f["body"].or(""))
	if n := f["status"].number(); n != nil {
		if r.found.Status = *n; *n < 200 || *n > 599 {
			f["status"].fail("must be from 200 to 599")
		}
	}
	if len(r.found.Body) > maxBody {
		f["body"].fail("has at most %d bytes", maxBody)
	}
	return r
}

// readSession reads what the session of the request remembers.
func (c *Case) readSession(v value) {
	if id := c.call.Identity; id != nil {
		c.session = id.SessionID
	}
	if v.there() && c.session == "" {
		v.fail("needs identity.session_id: the request came in no session")
	}
	c.attributes = map[string]string{}
	for _, p := range v.pairs() {
		c.attributes[p.name] = p.value.text()
	}
	if err := host.CheckAttributes(c.attributes); err != nil {
		v.fail("%s", err)
	}
}
