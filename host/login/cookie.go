package login

import (
	"net/http"

	"github.com/authhost/authhost/host"
)

// Cookie says how a realm's session cookie is set. The zero value is the
// safest: __Host-authhost, SameSite=Strict, Secure.
type Cookie struct {
	Name         string        // empty: __Host-authhost
	SameSite     http.SameSite // 0: strict
	InsecureHTTP bool          // leaves Secure out, for plain HTTP
}

// DefaultCookieName is the name of a session cookie that is given no other.
const DefaultCookieName = "__Host-authhost"

func (c Cookie) name() string {
	if c.Name == "" {
		return DefaultCookieName
	}
	return c.Name
}

// set hands the browser a token for so many seconds; a session that ends
// within the second is not worth a cookie that would outlive it.
func (c Cookie) set(w http.ResponseWriter, token string, seconds int) {
	if seconds <= 0 {
		c.write(w, c.name(), "", -1)
		return
	}
	c.write(w, c.name(), token, seconds)
}

// clear takes away the session cookie, and each other cookie that was
// presented as a credential.
func (c Cookie) clear(w http.ResponseWriter, found []host.Credential) {
	c.write(w, c.name(), "", -1)
	cleared := map[string]bool{c.name(): true}
	for _, f := range found {
		if f.Source == host.FromCookie && !cleared[f.Name] {
			cleared[f.Name] = true
			c.write(w, f.Name, "", -1)
		}
	}
}

// write sets one cookie; seconds below zero take it away.
func (c Cookie) write(w http.ResponseWriter, name, value string, seconds int) {
	site := c.SameSite
	if site == 0 {
		site = http.SameSiteStrictMode
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: !c.InsecureHTTP, SameSite: site})
}
