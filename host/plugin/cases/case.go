package cases

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
)

// What a case is given that does not say it.
const (
	defaultHost    = "console.example"
	defaultIssuer  = "https://idp.example"
	defaultSubject = "someone"
	defaultLife    = time.Hour // of a credential
)

var defaultClient = netip.AddrFrom4([4]byte{192, 0, 2, 1})

const (
	onAuthorize  = "on_authorize"
	onCredential = "on_credential"
)

// The bounds on a key and its value, and on the body of an answer.
const (
	maxKey      = 256
	maxKeyValue = 4096
	maxBody     = 64 << 10
)

// readCase reads one case; names are the lines of those before it. With
// problems noted, it is not fit to be run.
func readCase(v value, names map[string]int) *Case {
	f := v.fields("name", "hook", "config", "time", "request", "identity", "candidates", "deadlines", "ended", "kv", "session", "http", "expect")
	c := &Case{Name: f["name"].need(), Hook: readHook(f["hook"]), Line: v.line}
	if first := names[c.Name]; first > 0 {
		f["name"].fail("%.80q is the name of the case in line %d too", c.Name, first)
	}
	names[c.Name] = c.Line
	if f["config"].there() {
		c.config = f["config"].json()
	}
	c.call.Now = f["time"].time(Now())
	if c.Hook != onLogout {
		readRequest(f["request"], &c.call)
	} else if f["request"].there() {
		f["request"].fail("is not there when access has ended")
	}
	c.kv = readKV(f["kv"])
	for _, item := range f["http"].items() {
		c.replies = append(c.replies, readReply(item))
	}
	c.only(f)
	switch c.Hook {
	case onLogin:
		readIdentity(f["identity"], &c.call)
		if c.call.Identity == nil {
			f["identity"].fail("is required: of whom the JWT is that logs in")
		}
		readDeadlines(f["deadlines"], &c.call)
	case onLogout:
		readEnded(f["ended"], &c.call)
	case onAuthorize:
		readIdentity(f["identity"], &c.call)
		c.readSession(f["session"])
	case onCredential:
		readCandidates(f["candidates"], &c.call)
		for _, name := range []string{"identity", "session"} {
			if f[name].there() {
				f[name].fail("is for %s alone: nobody is known yet when %s is asked", onAuthorize, onCredential)
			}
		}
	}
	if c.Hook != "" {
		c.Want = readExpect(f["expect"], c)
	}
	return c
}

// only refuses keys that are for other hooks.
func (c *Case) only(f map[string]value) {
	for name, hooks := range map[string][]string{"candidates": {onCredential}, "deadlines": {onLogin}, "ended": {onLogout}} {
		if c.Hook != "" && f[name].there() && !slices.Contains(hooks, c.Hook) {
			f[name].fail("is for %s alone", hooks[0])
		}
	}
	if c.Hook == onLogin || c.Hook == onLogout {
		for _, name := range []string{"session", "identity"} {
			if f[name].there() && (name == "session" || c.Hook == onLogout) {
				f[name].fail("is not there when %s is asked", c.Hook)
			}
		}
	}
}

func readHook(v value) string {
	switch hook := v.need(); hook {
	case onAuthorize, onCredential, onLogin, onLogout:
		return hook
	case "on_response":
		v.fail("%s is not built yet", hook)
	case "configure":
		v.fail("configure is asked whenever a plugin is loaded; there are no cases for it")
	case "":
	default:
		v.fail("unknown hook; there are %s, %s, %s, %s", onAuthorize, onCredential, onLogin, onLogout)
	}
	return ""
}

var method = regexp.MustCompile(`^[A-Z][A-Z0-9_-]*$`)

func readRequest(v value, call *host.Call) {
	if !v.there() {
		v.fail("is required")
		return
	}
	f := v.fields("method", "url", "scheme", "host", "path", "query", "headers", "client", "realm", "route")
	r := &host.Request{Method: f["method"].or(http.MethodGet), Client: defaultClient, Header: http.Header{}}
	if !method.MatchString(r.Method) {
		f["method"].fail("must be a method in upper case")
	}
	readURL(f, r)
	for _, p := range f["headers"].pairs() {
		readHeader(p, r.Header)
	}
	if client := f["client"]; client.there() {
		addr, err := netip.ParseAddr(client.text())
		if err != nil || addr.Zone() != "" {
			client.fail("must be an IP address")
		}
		r.Client = addr
	}
	call.Request, call.Query = r, r.RawQuery
	call.Realm, call.Route = f["realm"].or("main"), f["route"].or("/**")
}

// readURL reads where a request goes to: url, or its parts.
func readURL(f map[string]value, r *host.Request) {
	whole := f["url"]
	at, text := whole, whole.text()
	if whole.there() {
		for _, part := range []string{"scheme", "host", "path", "query"} {
			if f[part].there() {
				f[part].fail("is part of url, which is there too")
			}
		}
	} else {
		at = f["path"]
		place, path := f["host"].or(defaultHost), at.need()
		if path != "" && path[0] != '/' || strings.Contains(path, "?") || strings.ContainsAny(place, "/?") {
			at.fail("host is a name alone, path begins with / and has no query")
			return
		}
		text = f["scheme"].or("https") + "://" + place + path
		if f["query"].there() {
			text += "?" + f["query"].text()
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Contains(text, "#") || !strings.HasPrefix(u.Path, "/") {
		at.fail("must make an address, such as https://%s/api/sync?dry=1, without user and fragment", defaultHost)
		return
	}
	raw, query, _ := strings.Cut(text[strings.Index(text, "://")+3:], "?")
	raw = raw[strings.Index(raw, "/"):]
	if !passes(raw, u.Path) {
		at.fail("the host lets no such path through, so that the plugin is never asked")
	}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	r.Scheme, r.Authority, r.Host = u.Scheme, u.Host, name
	r.Path, r.RawPath, r.RawQuery = u.Path, raw, query
}

// passes says whether a path, raw and decoded, has none of what the host
// refuses whatever the configuration: what gateway and upstream could read in
// two ways.
func passes(raw, decoded string) bool {
	return strings.Count(raw, "/") == strings.Count(decoded, "/") &&
		!strings.Contains(raw, " ") && !strings.ContainsAny(decoded, `\;?#`) &&
		!strings.ContainsFunc(decoded, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\ufffd' }) &&
		(decoded == "/" || path.Clean(decoded) == strings.TrimSuffix(decoded, "/"))
}

var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// readHeader reads a header's value or list of values.
func readHeader(p pair, into http.Header) {
	if !token.MatchString(p.name) {
		p.value.fail("is not a header's name")
	}
	name := textproto.CanonicalMIMEHeaderKey(p.name)
	if p.value.isList() {
		into[name] = append(into[name], p.value.texts()...)
	} else {
		into[name] = append(into[name], p.value.text())
	}
}

func readIdentity(v value, call *host.Call) {
	if !v.there() {
		return // anonymous
	}
	f := v.fields("user_id", "issuer", "sub", "roles", "groups", "email", "session_id", "credential", "claims", "expires")
	id := &host.Identity{
		Realm: call.Realm, Issuer: f["issuer"].or(defaultIssuer), Subject: f["sub"].or(defaultSubject),
		Roles: f["roles"].texts(), Groups: f["groups"].texts(), Email: f["email"].text(),
		SessionID: f["session_id"].text(), Expires: f["expires"].time(call.Now.Add(defaultLife)),
	}
	id.UserID = f["user_id"].or(host.UserID(id.Realm, id.Issuer, id.Subject))
	if claims := f["claims"]; claims.there() {
		if err := json.Unmarshal(claims.json(), &id.Claims); err != nil || id.Claims == nil {
			claims.fail("must be a mapping, such as {key: value}")
		}
	}
	call.Identity = id
	call.Credential = host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT}
	if credential := f["credential"]; credential.there() {
		call.Credential = readCredential(credential.fields("source", "name", "kind"))
	}
	call.Found = []host.Credential{call.Credential}
}

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

// readCredential reads what a credential is, which never includes its value:
// plugins are not shown it.
func readCredential(f map[string]value) host.Credential {
	c := host.Credential{
		Source: choice(f["source"], 0, host.FromHeader, host.FromCookie, host.FromQuery),
		Kind:   choice(f["kind"], host.JWT, host.JWT, host.Session, host.AccessToken, host.Malformed),
	}
	if !f["source"].there() {
		f["source"].fail("is required")
	}
	switch c.Source {
	case host.FromHeader:
		c.Name = textproto.CanonicalMIMEHeaderKey(f["name"].or("Authorization"))
	case host.FromCookie, host.FromQuery:
		c.Name = f["name"].need()
	}
	return c
}

func readCandidates(v value, call *host.Call) {
	items := v.items()
	if len(items) == 0 {
		v.fail("is required: the credentials of the request, in the realm's order")
	}
	for _, item := range items {
		f := item.fields("source", "name", "kind", "verdict", "user_id")
		c := readCredential(f)
		call.Found = append(call.Found, c)
		call.Candidates = append(call.Candidates, host.Candidate{
			Source: c.Source, Name: c.Name, Kind: c.Kind, UserID: f["user_id"].text(),
			Verdict: choice(f["verdict"], host.Untried, host.Untried, host.BadForm, host.BadSignature, host.Expired, host.NotYetValid,
				host.WrongIssuer, host.WrongAudience, host.Unknown, host.Revoked),
		})
	}
}

func readExpect(v value, c *Case) Expect {
	if !v.there() {
		v.fail("is required")
		return Expect{}
	}
	known, decisions := []string{"decision", "status", "reason", "headers"}, []string{"allow", "deny", "abstain"}
	switch c.Hook {
	case onCredential:
		known, decisions = []string{"decision", "candidate", "reason"}, []string{"next", "stop", "abstain"}
	case onLogin:
		known, decisions = append(known, idlePart, absolutePart, attributesPart), []string{"go_on", "refuse"}
	case onLogout:
		known, decisions = []string{"decision", callsPart}, []string{"ok"}
	}
	f := v.fields(known...)
	e := Expect{Decision: f["decision"].need(), Status: f["status"].number(), Candidate: f["candidate"].number()}
	if e.Decision != "" && !slices.Contains(decisions, e.Decision) {
		f["decision"].fail("must be one of %s", strings.Join(decisions, ", "))
	}
	if f["reason"].there() {
		reason := f["reason"].text()
		e.Reason = &reason
	}
	if f["headers"].there() {
		e.Headers = map[string]string{}
		for _, p := range f["headers"].pairs() {
			e.Headers[textproto.CanonicalMIMEHeaderKey(p.name)] = p.value.text()
		}
	}
	e.More = readMore(f)
	checkStatus(f["status"], e)
	if c.Hook == onCredential {
		checkCandidate(f["candidate"], e, c.call.Candidates)
	}
	return e
}

// checkStatus refuses a status that no plugin could answer.
func checkStatus(v value, e Expect) {
	switch {
	case e.Status == nil:
	case e.Decision == "deny" && !slices.Contains([]int{401, 403, 404, 429}, *e.Status):
		v.fail("a deny is 401, 403, 404 or 429")
	case e.Decision == "refuse" && !slices.Contains([]int{401, 403, 429}, *e.Status):
		v.fail("a refusal is 401, 403 or 429")
	case e.Decision == "go_on":
		v.fail("go_on has no status")
	case e.Decision == "allow" && *e.Status != http.StatusOK:
		v.fail("an allow is 200")
	case e.Decision == "abstain":
		v.fail("abstain has no status: others decide")
	}
}

// checkCandidate wants a candidate where there must be one, that can be tried.
func checkCandidate(v value, e Expect, all []host.Candidate) {
	switch {
	case e.Decision == "next" && e.Candidate == nil:
		v.fail("is required with next: the index of the candidate to try, from 0")
	case e.Candidate == nil:
	case e.Decision != "next":
		v.fail("is for next alone")
	case *e.Candidate < 0 || *e.Candidate >= len(all):
		v.fail("there is no such candidate; the first is 0")
	case all[*e.Candidate].Verdict != host.Untried:
		v.fail("that candidate was tried already")
	}
}
