package replay

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/authhost/authhost/host"
)

// Report is what another version would change.
type Report struct {
	Asked   int      // every decision that is kept
	Changed []Change // in the order in which the decisions were first made

	// Next has what the new version answered, without the calls that failed:
	// the Recorder for it to go on with once it serves.
	Next *Recorder
}

// Change is one request that the new version would decide differently.
type Change struct {
	Method, Host, Path string
	UserID             string // empty: anonymous
	Roles              []string
	Old, New           Answer
}

// Answer is one version's answer.
type Answer struct {
	Effect  host.Effect
	Status  int // that the client sees: of a deny 401, 403, 404 or 429; of an allow 200; else 0
	Reason  string
	Headers []host.Header // by name
	Err     error         // why there is no answer; for operators: it may hold the guest's own text
}

// Replay asks the new version each request that is kept, at the time at which
// it came. A different effect, status, reason or header is a change, and so is
// a call that fails, or that ctx leaves no time for.
func (r *Recorder) Replay(ctx context.Context, next host.Authorizer) Report {
	report := Report{Next: newRecorder(r.seed)}
	for _, d := range r.decisions() {
		report.Asked++
		call := d.call
		o, err := host.Opinion{}, ctx.Err()
		if err == nil {
			o, err = next.Authorize(ctx, &call)
		}
		if err == nil {
			fresh := &decision{call: d.call, opinion: o}
			report.Next.keep(r.hash(&fresh.call, &o), fresh)
		}
		was, now := answer(&d.call, d.opinion, nil), answer(&d.call, o, err)
		if !was.equals(now) {
			report.Changed = append(report.Changed, change(&d.call, was, now))
		}
	}
	return report
}

// decisions lists what is kept, in the order in which it came.
func (r *Recorder) decisions() []*decision {
	return slices.SortedFunc(maps.Values(*r.kept.Load()), func(a, b *decision) int { return cmp.Compare(a.number, b.number) })
}

func answer(c *host.Call, o host.Opinion, err error) Answer {
	if err != nil {
		return Answer{Err: err}
	}
	headers := slices.SortedFunc(slices.Values(o.Headers), func(a, b host.Header) int { return cmp.Compare(a.Name, b.Name) })
	return Answer{Effect: o.Effect, Status: o.Status(c.Identity == nil), Reason: o.Reason, Headers: headers}
}

// equals says whether there is no change from a to b.
func (a Answer) equals(b Answer) bool {
	return a.Err == nil && b.Err == nil && a.Effect == b.Effect && a.Status == b.Status && a.Reason == b.Reason && slices.Equal(a.Headers, b.Headers)
}

func change(c *host.Call, was, now Answer) Change {
	ch := Change{Method: c.Request.Method, Host: c.Request.Host, Path: c.Request.Path, Old: was, New: now}
	if id := c.Identity; id != nil {
		ch.UserID, ch.Roles = id.UserID, slices.Clone(id.Roles)
	}
	return ch
}

// String returns the change in one line, for people.
func (c Change) String() string {
	who := "anonymous"
	if c.UserID != "" {
		who = c.UserID
		if len(c.Roles) > 0 {
			roles := make([]string, len(c.Roles))
			for i, r := range c.Roles {
				roles[i] = shown(r)
			}
			who += " (" + strings.Join(roles, ", ") + ")"
		}
	}
	return fmt.Sprintf("%s %s by %s: was %s, would be %s", c.Method, shown(c.Host+c.Path), who, c.Old, c.New)
}

// String returns the answer in one line, such as
// `deny 403 "rules[0] needs editor"`.
func (a Answer) String() string {
	if a.Err != nil {
		text, _, _ := strings.Cut(a.Err.Error(), "\n")
		return "no answer (" + text + ")"
	}
	text := a.Effect.String()
	if a.Status != 0 {
		text += " " + strconv.Itoa(a.Status)
	}
	if a.Reason != "" {
		text += " " + strconv.Quote(a.Reason)
	}
	for _, h := range a.Headers {
		text += fmt.Sprintf(" %s: %q", h.Name, h.Value)
	}
	return text
}

// shown quotes a text that could be read as more than one.
func shown(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` || s == "" || strings.ContainsAny(s, " ,()") {
		return q
	}
	return s
}
