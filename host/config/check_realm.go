package config

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"github.com/authhost/authhost/host"
)

func checkRealms(r *report, realms []Realm, plugins []Plugin) {
	if len(realms) == 0 {
		r.add("realms", "must not be empty: every request would be refused")
	}
	names := map[string]bool{}
	hosts := map[string]string{}     // to the key that claims it
	claims := map[[2]string]string{} // issuer and audience, to the key that claims them
	for i := range realms {
		realm, key := &realms[i], fmt.Sprintf("realms[%d]", i)
		checkName(r, key+".name", realm.Name, names)
		checkHosts(r, key+".hosts", realm.Hosts)
		if len(realm.Hosts) == 0 {
			r.add(key+".hosts", "must not be empty: no request would reach the realm")
		}
		for j, h := range realm.Hosts {
			k := fmt.Sprintf("%s.hosts[%d]", key, j)
			if other := hosts[h]; other != "" {
				r.add(k, "%q is claimed by %s too", h, other)
			}
			hosts[h] = k
		}
		entries := map[string]string{} // of an issuer, to its key
		for j := range realm.Issuers {
			issuer, k := &realm.Issuers[j], fmt.Sprintf("%s.issuers[%d]", key, j)
			checkIssuer(r, k, issuer)
			claimAudiences(r, k, issuer, claims)
			if other := entries[issuer.Issuer]; other != "" && issuer.Issuer != "" {
				r.add(k+".issuer", "is that of %s: list all audiences there", other)
			}
			entries[issuer.Issuer] = k
		}
		checkCredentials(r, key+".credentials", realm)
		checkSession(r, key+".session", &realm.Session)
		if realm.Roles.Admin == "" {
			r.add(key+".roles.admin", "must not be empty")
		}
		checkPluginList(r, key+".plugins", plugins, realm.Plugins)
	}
}

// claimAudiences sees to it that issuer and audience of a JWT name one realm
// and one entry.
func claimAudiences(r *report, key string, issuer *Issuer, claims map[[2]string]string) {
	for i, audience := range issuer.Audiences {
		pair := [2]string{issuer.Issuer, audience}
		if issuer.Issuer == "" || audience == "" {
			continue
		}
		if other := claims[pair]; other != "" {
			r.add(fmt.Sprintf("%s.audiences[%d]", key, i), "issuer %q with audience %q is claimed by %s too", issuer.Issuer, audience, other)
		}
		claims[pair] = key
	}
}

func checkIssuer(r *report, key string, i *Issuer) {
	if i.Issuer == "" {
		r.add(key+".issuer", "is required")
	}
	if len(i.Audiences) == 0 {
		r.add(key+".audiences", "is required: a JWT made for another service would pass")
	}
	for j, a := range i.Audiences {
		if a == "" {
			r.add(fmt.Sprintf("%s.audiences[%d]", key, j), "must not be empty")
		}
	}
	sources := 0
	for _, s := range []string{i.JWKSURL, i.JWKSFile, i.SecretFile} {
		if s != "" {
			sources++
		}
	}
	if sources != 1 {
		r.add(key, "needs exactly one of jwks_url, jwks_file and secret_file")
	}
	if i.JWKSURL != "" {
		if _, err := parseURL(i.JWKSURL); err != nil {
			r.add(key+".jwks_url", "%s", err)
		}
	}
	checkAlgorithms(r, key+".algorithms", i)
	positive(r, key+".jwks_max_age", i.JWKSMaxAge)
	positive(r, key+".max_token_life", i.MaxTokenLife)
	if i.Leeway < 0 {
		r.add(key+".leeway", "must not be negative")
	}
	if why := badClaim(i.RolesClaim); why != "" {
		r.add(key+".roles_claim", "%s", why)
	}
	oneOf(r, key+".revocation", i.Revocation, RevocationRequired, RevocationInsecureSkip)
}

var (
	publicKeyAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	secretAlgorithms    = []string{"HS256", "HS384", "HS512"}
)

func checkAlgorithms(r *report, key string, i *Issuer) {
	if len(i.Algorithms) == 0 {
		r.add(key, "must not be empty")
	}
	public := i.JWKSURL != "" || i.JWKSFile != ""
	for _, a := range i.Algorithms {
		isPublic, isSecret := slices.Contains(publicKeyAlgorithms, a), slices.Contains(secretAlgorithms, a)
		switch {
		case strings.EqualFold(a, "none"):
			r.add(key, "%q is refused", a)
		case !isPublic && !isSecret:
			r.add(key, "%q is not one of %s, %s", a, strings.Join(publicKeyAlgorithms, ", "), strings.Join(secretAlgorithms, ", "))
		case isSecret && public:
			r.add(key, "%q beside public keys is refused: it would take them for secrets", a)
		case isPublic && !public && i.SecretFile != "":
			r.add(key, "%q needs public keys: jwks_url or jwks_file instead of secret_file", a)
		}
	}
}

// badClaim says what is wrong with the place of a claim: a name, or a JSON
// Pointer when it begins with "/".
func badClaim(c string) string {
	if c == "" {
		return "must not be empty"
	}
	if !strings.HasPrefix(c, "/") {
		return ""
	}
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(c)
	if strings.Contains(rest, "~") {
		return fmt.Sprintf("%q is not a JSON Pointer: ~ is written ~0, and / within a name ~1", c)
	}
	return ""
}

// checkCredentials judges the sources and adds the session cookie as the
// last, unless it is among them.
func checkCredentials(r *report, key string, realm *Realm) {
	seen := map[string]bool{}
	for i := range realm.Credentials {
		c, k := &realm.Credentials[i], fmt.Sprintf("%s[%d]", key, i)
		c.Header = textproto.CanonicalMIMEHeaderKey(c.Header)
		var given []string
		for _, s := range [][2]string{{"header", c.Header}, {"cookie", c.Cookie}, {"query", c.Query}} {
			if s[1] == "" {
				continue
			}
			given = append(given, s[0]+" "+s[1])
			if !host.IsToken(s[1]) {
				r.add(k+"."+s[0], "%q is not a name that a %s can have", s[1], s[0])
			}
		}
		if len(given) != 1 {
			r.add(k, "needs exactly one of header, cookie and query")
			continue
		}
		if seen[given[0]] {
			r.add(k, "%s is listed already", given[0])
		}
		seen[given[0]] = true
		switch {
		case c.Query != "" && len(c.Paths) == 0:
			r.add(k, "query %s needs paths: a token in a URL ends up in logs", c.Query)
		case c.Query == "" && len(c.Paths) > 0:
			r.add(k+".paths", "goes with query alone")
		case isReserved(c.Header):
			r.add(k+".header", "%s cannot hold a credential", c.Header)
		}
	}
	if name := realm.Session.Cookie.Name; !seen["cookie "+name] {
		realm.Credentials = append(slices.Clip(realm.Credentials), Credential{Cookie: name})
	}
}

// maxSessions bounds what one user's slot may hold.
const maxSessions = 10_000

func checkSession(r *report, key string, s *Session) {
	positive(r, key+".idle", s.Idle)
	positive(r, key+".absolute", s.Absolute)
	if s.MaxSessions < 1 || s.MaxSessions > maxSessions {
		r.add(key+".max_sessions", "must be 1 to %d: all of a user's sessions are kept together", maxSessions)
	}
	oneOf(r, key+".when_full", s.WhenFull, WhenFullEndOldest, WhenFullRefuse)
	cookie, key := &s.Cookie, key+".cookie"
	if !host.IsToken(cookie.Name) {
		r.add(key+".name", "%q is not a name that a cookie can have", cookie.Name)
	}
	oneOf(r, key+".same_site", cookie.SameSite, SameSiteStrict, SameSiteLax, SameSiteNone)
	if !cookie.InsecureHTTP {
		return
	}
	for _, prefix := range []string{"__Host-", "__Secure-"} {
		if len(cookie.Name) >= len(prefix) && strings.EqualFold(cookie.Name[:len(prefix)], prefix) {
			r.add(key+".insecure_http", "browsers keep %s only with Secure; give the cookie a name without %s", cookie.Name, prefix)
		}
	}
	if cookie.SameSite == SameSiteNone {
		r.add(key+".same_site", "browsers keep none only with Secure: not with insecure_http")
	}
}
