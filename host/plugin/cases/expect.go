package cases

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/authhost/authhost/host"
)

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
