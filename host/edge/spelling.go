package edge

import (
	"net/http"
	"slices"
	"strings"

	"github.com/authhost/authhost/host"
)

// The identity headers, each on every 200.
const (
	headerUser       = "X-Auth-Request-User"
	headerUserID     = "X-Auth-Request-User-Id"
	headerRealm      = "X-Auth-Request-Realm"
	headerRoles      = "X-Auth-Request-Roles"
	headerGroups     = "X-Auth-Request-Groups"
	headerEmail      = "X-Auth-Request-Email"
	headerSessionID  = "X-Auth-Request-Session-Id"
	headerCredential = "X-Auth-Request-Credential"
)

var identityHeaders = [...]string{headerUser, headerUserID, headerRealm, headerRoles,
	headerGroups, headerEmail, headerSessionID, headerCredential}

// refuseSpoofed refuses a request that spoofs an identity header.
func refuseSpoofed(h http.Header, s *host.Snapshot) error {
	if spoofed(h, s.PluginHeaders) {
		return refuse("identity_header", "a header spells an identity header in a way that the gateway would leave standing")
	}
	return nil
}

// spoofed says whether h has an identity header, or one that a plugin
// declares, in a spelling that a gateway would leave standing beside ours and
// an application may take for it: X_Auth_Request_User, X-Auth.Request-User.
func spoofed(h http.Header, declared []string) bool {
	lengths := identityLengths
	for _, name := range declared {
		lengths |= lengthBit(name)
	}
	for key := range h {
		if lengths&lengthBit(key) == 0 {
			continue
		}
		if name := identityName(key, declared); name != "" && name != key {
			return true
		}
	}
	return false
}

// Most of a request's headers are told apart from all these by length alone.
func lengthBit(name string) uint64 { return 1 << (len(name) & 63) }

var identityLengths = func() (bits uint64) {
	for _, name := range identityHeaders {
		bits |= lengthBit(name)
	}
	return bits
}()

// identityName returns the name that key is a spelling of, empty if it is none.
func identityName(key string, declared []string) string {
	for _, name := range identityHeaders {
		if sameSpelling(key, name) {
			return name
		}
	}
	for _, name := range declared {
		if sameSpelling(key, name) {
			return name
		}
	}
	return ""
}

// sameSpelling says whether two header names are one to someone who tells
// neither letter case nor the characters between words apart, as CGI and its
// heirs do not.
func sameSpelling(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if plainChar(a[i]) != plainChar(b[i]) {
			return false
		}
	}
	return true
}

// plainChar returns c in lower case if it is a letter or a digit, else "-".
func plainChar(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	}
	return '-'
}

// strike removes from h, in every spelling, what a client may not tell the
// upstream: who it is; what only gateways say, unless a trusted one did; and
// the headers by which some applications take a request for one of another
// path or method. An upgrade to HTTP itself goes too: the requests inside it
// would pass unjudged. A header that a plugin declares stays in its own spelling,
// which grant overwrites: until then it may be the client's credential.
func strike(h http.Header, declared []string, trusted bool) {
	for key := range h {
		if struck(key, declared, trusted) {
			delete(h, key)
		}
	}
	for _, line := range h["Upgrade"] {
		for protocol := range strings.SplitSeq(strings.ToLower(line), ",") {
			protocol, _, _ = strings.Cut(strings.Trim(protocol, " \t"), "/")
			if protocol == "h2c" || protocol == "http" || protocol == "tls" {
				delete(h, "Upgrade")
			}
		}
	}
}

func struck(key string, declared []string, trusted bool) bool {
	switch {
	case samePrefix(key, "X-Original-"), sameSpelling(key, "X-Rewrite-Url"),
		sameSpelling(key, "X-Forwarded-Uri"), sameSpelling(key, "X-Forwarded-Method"),
		sameSpelling(key, "X-Http-Method"), sameSpelling(key, "X-Http-Method-Override"), sameSpelling(key, "X-Method-Override"):
		return true
	case samePrefix(key, "X-Forwarded-"), sameSpelling(key, "X-Real-Ip"), sameSpelling(key, "Forwarded"):
		return !trusted || !dashed(key)
	}
	name := identityName(key, declared)
	return name != "" && (name != key || !slices.Contains(declared, key))
}

// dashed says whether "-" alone stands between the words of a header's name, as
// gateways write it.
func dashed(key string) bool {
	for i := range len(key) {
		if plainChar(key[i]) == '-' && key[i] != '-' {
			return false
		}
	}
	return true
}

func samePrefix(key, prefix string) bool {
	return len(key) >= len(prefix) && sameSpelling(key[:len(prefix)], prefix)
}
