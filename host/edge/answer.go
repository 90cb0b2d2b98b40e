package edge

import (
	"net/http"
	"slices"
	"strings"

	"github.com/authhost/authhost/host"
)

// grant sets every identity header and every header that a plugin declares,
// empty where nothing is known, so that no copy of the client's survives. With
// nobody known (a public route, an anonymous request) all of them are empty.
func grant(h http.Header, declared []string, d *host.Decision) {
	room := make([]string, len(declared)+len(identityHeaders))
	set := func(name, value string) {
		room[0] = value
		h[name] = room[:1:1]
		room = room[1:]
	}
	for _, name := range declared {
		set(name, pluginValue(d, name))
	}
	var nobody host.Identity
	who := d.Identity
	if who == nil {
		who = &nobody
	}
	set(headerUser, encodeValue(who.Subject))
	set(headerUserID, encodeValue(who.UserID))
	set(headerRealm, encodeValue(who.Realm))
	set(headerRoles, encodeList(who.Roles))
	set(headerGroups, encodeList(who.Groups))
	set(headerEmail, encodeValue(who.Email))
	set(headerSessionID, encodeValue(who.SessionID))
	set(headerCredential, d.Credential.Label())
}

// deny writes any decision but an allow. Of the headers that the plugin set,
// those that it declared pass, and the two that only a deny may set.
func deny(w http.ResponseWriter, declared []string, d *host.Decision) {
	for _, set := range d.Headers {
		name := http.CanonicalHeaderKey(set.Name)
		if name == "Www-Authenticate" || name == "Retry-After" || slices.Contains(declared, name) {
			setOne(w.Header(), name, oneLine(set.Value))
		}
	}
	Problem{Status: Status(d.Kind), Reason: d.Reason, Plugin: d.Plugin}.Write(w)
}

// pluginValue returns what a plugin set name to. It is the plugin's own text:
// lists and their encoding are its business.
func pluginValue(d *host.Decision, name string) string {
	for i := range d.Headers {
		if d.Headers[i].Name == name || http.CanonicalHeaderKey(d.Headers[i].Name) == name {
			return oneLine(d.Headers[i].Value)
		}
	}
	return ""
}

func setOne(h http.Header, name, value string) { h[name] = []string{value} }

// encodeValue percent-encodes what cannot stand in an item of a list of
// visible ASCII: ",", "%" and every byte outside 0x21 to 0x7E.
func encodeValue(s string) string {
	for i := range len(s) {
		if !plainValue(s[i]) {
			return string(appendValue(make([]byte, 0, len(s)+16), s))
		}
	}
	return s
}

// encodeList joins encoded items by commas.
func encodeList(items []string) string {
	switch len(items) {
	case 0:
		return ""
	case 1:
		return encodeValue(items[0])
	}
	n := len(items)
	for _, item := range items {
		n += len(item)
	}
	b := make([]byte, 0, n)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, item)
	}
	return string(b)
}

func appendValue(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; plainValue(c) {
			b = append(b, c)
		} else {
			b = appendEscape(b, c)
		}
	}
	return b
}

func plainValue(c byte) bool { return c > 0x20 && c < 0x7f && c != ',' && c != '%' }

// oneLine percent-encodes control characters, which would end a header.
func oneLine(s string) string {
	control := func(c rune) bool { return c < 0x20 || c == 0x7f }
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	var b []byte
	for i := range len(s) {
		if control(rune(s[i])) {
			b = appendEscape(b, s[i])
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}
