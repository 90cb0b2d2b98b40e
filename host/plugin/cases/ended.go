package cases

import (
	"fmt"
	"net/textproto"
	"slices"
	"strconv"
	"time"

	"github.com/authhost/authhost/host"
)

// The deadlines of a session of which a case does not say them.
const (
	defaultIdle     = 8 * time.Hour
	defaultAbsolute = 24 * time.Hour
)

const (
	onLogin  = "on_login"
	onLogout = "on_logout"
)

// Parts of what is expected and answered at a login and a logout.
const (
	idlePart       = "idle"
	absolutePart   = "absolute"
	attributesPart = "attributes"
	callsPart      = "calls"
)

// readDeadlines reads those of the session that a login is to make.
func readDeadlines(v value, call *host.Call) {
	call.Terms = &host.Terms{Idle: call.Now.Add(defaultIdle), Absolute: call.Now.Add(defaultAbsolute)}
	if v.there() {
		f := v.fields("idle", "absolute")
		call.Terms.Idle, call.Terms.Absolute = f["idle"].time(call.Terms.Idle), f["absolute"].time(call.Terms.Absolute)
	}
	call.Route = ""
}

// readEnded reads the end of access that on_logout is asked about.
func readEnded(v value, call *host.Call) {
	if !v.there() {
		v.fail("is required: the end of access")
		return
	}
	f := v.fields("id", "realm", "user_id", "issuer", "sub", "what", "why", "by", "at", "sessions")
	call.Realm = f["realm"].or("main")
	e := &host.Ended{ID: f["id"].or("evt_case"), Issuer: f["issuer"].or(defaultIssuer), Subject: f["sub"].or(defaultSubject),
		What: f["what"].or(host.EndedSession), Why: f["why"].need(), At: f["at"].time(call.Now), Sessions: f["sessions"].texts()}
	e.UserID = f["user_id"].or(host.UserID(call.Realm, e.Issuer, e.Subject))
	among(f["what"], e.What, host.EndedSession, host.EndedToken, host.EndedUser)
	among(f["why"], e.Why, host.WhyLogout, host.WhySession, host.WhyEverywhere, host.WhyDeactivated, host.WhyIdle, host.WhyAbsolute, host.WhyToken, host.WhyDisplaced)
	if by := f["by"]; by.there() {
		ranks := map[string]host.Rank{"host": host.Nobody, "self": host.Self, "realm_admin": host.RealmAdmin, "operator": host.Operator}
		g := by.fields("rank", "id")
		rank, ok := ranks[g["rank"].need()]
		if !ok {
			g["rank"].fail("must be one of self, realm_admin, operator, host")
		}
		e.By = host.Actor{Rank: rank, ID: g["id"].or("")}
	}
	call.Ended = e
}

func among(v value, text string, known ...string) {
	if text != "" && !slices.Contains(known, text) {
		v.fail("must be one of %q", known)
	}
}

// readMore reads what is expected of a login or a logout besides the decision.
func readMore(f map[string]value) map[string]map[string]string {
	more := map[string]map[string]string{}
	for _, part := range []string{idlePart, absolutePart} {
		if f[part].there() {
			more[part] = map[string]string{"": moment(f[part].time(time.Time{}))}
		}
	}
	if f[attributesPart].there() {
		more[attributesPart] = map[string]string{}
		for _, p := range f[attributesPart].pairs() {
			more[attributesPart]["."+p.name] = p.value.text()
		}
	}
	if f[callsPart].there() {
		more[callsPart] = map[string]string{}
		for i, item := range f[callsPart].items() {
			g := item.fields("method", "url", "headers", "body")
			c := host.Fetch{Method: g["method"].or("POST"), URL: g["url"].need(), Body: []byte(g["body"].or(""))}
			for _, p := range g["headers"].pairs() {
				c.Headers = append(c.Headers, host.Header{Name: p.name, Value: p.value.text()})
			}
			addCall(more[callsPart], i, c)
		}
	}
	return more
}

// addCall writes a request down, a line each for what can differ.
func addCall(into map[string]string, i int, c host.Fetch) {
	at := "[" + strconv.Itoa(i) + "]."
	into[at+"method"], into[at+"url"], into[at+"body"] = c.Method, c.URL, string(c.Body)
	for _, h := range c.Headers {
		name := at + "headers." + textproto.CanonicalMIMEHeaderKey(h.Name)
		for n := 1; into[name] != ""; n++ {
			name = fmt.Sprintf("%sheaders.%s[%d]", at, textproto.CanonicalMIMEHeaderKey(h.Name), n)
		}
		into[name] = h.Value
	}
}

// moment is how a deadline is shown; none for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// admitted is the outcome of a login.
func admitted(a host.Admission) Outcome {
	out := Outcome{Decision: "go_on", Reason: a.Reason, Headers: map[string]string{}, Candidate: -1}
	if a.Refused {
		out.Decision, out.Status = "refuse", host.Opinion{Effect: host.Deny, Kind: a.Kind}.Status(false)
	}
	for _, h := range a.Headers {
		out.Headers[h.Name] = h.Value
	}
	attributes := map[string]string{}
	for name, value := range a.Terms.Attributes {
		attributes["."+name] = value
	}
	out.More = map[string]map[string]string{idlePart: {"": moment(a.Terms.Idle)}, absolutePart: {"": moment(a.Terms.Absolute)}, attributesPart: attributes}
	return out
}

// notified is the outcome of a logout.
func notified(calls []host.Fetch) Outcome {
	all := map[string]string{}
	for i, c := range calls {
		addCall(all, i, c)
	}
	return Outcome{Decision: "ok", Headers: map[string]string{}, Candidate: -1, More: map[string]map[string]string{callsPart: all}}
}
