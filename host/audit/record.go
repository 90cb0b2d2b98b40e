package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
)

// Record writes the one record of a request: a log line and its metrics. It
// does not keep ev. ev.Request may be nil, for a request that could not be
// read.
func (a *Audit) Record(_ context.Context, ev *host.Event) {
	if ev == nil {
		return
	}
	if a.metrics != nil {
		a.metrics.request(ev)
	}
	if a.requests == nil {
		return
	}
	room, _ := a.rooms.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	*room = a.appendLine((*room)[:0], ev)
	// Nobody can be told that the log cannot be written.
	_, _ = a.requests.Write(*room)
	if cap(*room) <= maxRoom {
		a.rooms.Put(room)
	}
}

// maxRoom bounds, in bytes, the memory for a line that is kept for another.
const maxRoom = 16 << 10

// levelOf returns warn for a request that could not be read and error for one
// that could not be decided.
func levelOf(k host.Kind) slog.Level {
	switch k {
	case host.BadRequest:
		return slog.LevelWarn
	case host.Allowed, host.Unauthenticated, host.Forbidden, host.NotFound, host.TooManyRequests, host.Conflict:
		return slog.LevelInfo
	}
	return slog.LevelError
}

// appendLine appends what the log tells of a request, in the form of slog's
// JSON. Fields that are unknown are left out. Neither the query nor any
// credential's value is among them.
func (a *Audit) appendLine(to []byte, ev *host.Event) []byte {
	when := ev.Start.Add(ev.Elapsed)
	if ev.Start.IsZero() {
		when = a.clock()
	}
	d := &ev.Decision
	l := line(append(to, `{"time":"`...))
	l = when.AppendFormat(l, time.RFC3339Nano)
	l = append(l, `","level":"`...)
	l = append(l, levelOf(d.Kind).String()...)
	l = append(l, `","msg":"request"`...)
	l.text("edge", ev.Edge)
	l.text("peer", ev.Peer)
	if req := ev.Request; req != nil {
		if req.Client.IsValid() {
			l.key("client")
			l = append(req.Client.AppendTo(append(l, '"')), '"')
		}
		l.text("method", req.Method)
		l.text("host", req.Host)
		l.text("path", req.Path)
	}
	l.text("route", ev.Route)
	l.text("realm", ev.Realm)
	l.number("status", int64(ev.Status))
	l.text("decision", d.Kind.String())
	l.text("reason", hideValues(d.Reason, ev))
	l.text("plugin", d.Plugin)
	if d.Identity != nil {
		l.text("user_id", d.Identity.UserID)
		l.text("session_id", d.Identity.SessionID)
	}
	l.text("credential", d.Credential.Label())
	l.text("tried", triedText(ev.Tried))
	if n := len(ev.Tried); n > 0 {
		l.text("why", ev.Tried[n-1].Why)
	}
	l.number("duration_us", ev.Elapsed.Microseconds())
	l.number("plugin_us", ev.Plugins.Microseconds())
	if ev.Cause != nil {
		l.text("cause", hideSecrets(hideValues(ev.Cause.Error(), ev)))
	}
	return append(l, "}\n"...)
}

// line is a JSON object that is being written. Its names need no escapes.
type line []byte

func (l *line) key(name string) {
	*l = append(append(append(*l, `,"`...), name...), `":`...)
}

func (l *line) number(name string, n int64) {
	l.key(name)
	*l = strconv.AppendInt(*l, n, 10)
}

// text writes a value, unless it is empty.
func (l *line) text(name, value string) {
	if value == "" {
		return
	}
	l.key(name)
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			*l = appendEscaped(*l, value)
			return
		}
	}
	*l = append(append(append(*l, '"'), value...), '"')
}

func appendEscaped(to []byte, value string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil { // of a string there is none
		return append(to, `""`...)
	}
	return append(to, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// triedText returns what was tried and with which verdict, in order, such as
// header/jwt:expired,cookie/jwt:valid.
func triedText(tried []host.Tried) string {
	switch len(tried) {
	case 0:
		return ""
	case 1:
		c := tried[0].Credential
		if int(c.Source) < sources && int(c.Kind) < kinds && int(tried[0].Verdict) < verdicts {
			return triedTexts[c.Source][c.Kind][tried[0].Verdict]
		}
	}
	var b strings.Builder
	b.Grow(24 * len(tried))
	for i, t := range tried {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(t.Credential.Label())
		b.WriteByte(':')
		b.WriteString(t.Verdict.String())
	}
	return b.String()
}

const kinds = int(host.AccessToken) + 1

// triedTexts holds every text that one tried credential can have.
var triedTexts = func() (texts [sources][kinds][verdicts]string) {
	for s := range texts {
		for k := range texts[s] {
			for v := range texts[s][k] {
				c := host.Credential{Source: host.Source(s), Kind: host.CredentialKind(k)}
				texts[s][k][v] = c.Label() + ":" + host.Verdict(v).String()
			}
		}
	}
	return texts
}()

const (
	hidden = "[hidden]"
	// A value shorter than this is no token of ours nor a signed one, but may
	// well be a part of an innocent text.
	minHidden = 16
)

// hideValues strikes out the credentials that the request came with, should a
// plugin or an error have quoted one.
func hideValues(text string, ev *host.Event) string {
	hide := func(value string) {
		if len(value) >= minHidden && len(value) <= len(text) {
			text = strings.ReplaceAll(text, value, hidden)
		}
	}
	for i := range ev.Tried {
		hide(ev.Tried[i].Credential.Value)
	}
	hide(ev.Decision.Credential.Value)
	return text
}

// secretForms are what looks like a secret wherever it stands: Authorization
// values, URLs' passwords and queries, session and access tokens, JWTs.
var secretForms = regexp.MustCompile(`(?i:(\b(?:bearer|basic)\s+)[A-Z0-9._~+/=-]{8,})` +
	`|(//)[^\s/@"']+@` +
	`|(\?)[^\s"'?]{4,}` +
	`|\bah[st]_[A-Za-z0-9_-]+` +
	`|\beyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)+`)

// hideSecrets strikes out what looks like a secret. Causes come from many
// libraries; this is the last fence, not the first.
func hideSecrets(text string) string {
	return secretForms.ReplaceAllString(text, "$1$2$3"+hidden)
}
