package audit

import (
	"context"
	"log/slog"
	"regexp"
	"strings"

	"github.com/authhost/authhost/host"
)

// Record writes the one record of a request: a log line and its metrics. It
// does not keep ev. ev.Request may be nil, for a request that could not be
// read.
func (a *Audit) Record(ctx context.Context, ev *host.Event) {
	if ev == nil {
		return
	}
	if a.metrics != nil {
		a.metrics.request(ev)
	}
	level := levelOf(ev.Decision.Kind)
	if a.log == nil || !a.log.Enabled(ctx, level) {
		return
	}
	when := ev.Start.Add(ev.Elapsed)
	if ev.Start.IsZero() {
		when = a.clock()
	}
	// A Record made here has no source position, and costs no stack walk.
	r := slog.NewRecord(when, level, "request", 0)
	var room [maxFields]slog.Attr
	r.AddAttrs(appendFields(room[:0], ev)...)
	// Nobody can be told that the log cannot be written.
	_ = a.log.Handle(ctx, r)
}

// levelOf returns warn for a request that could not be read and error for one
// that could not be decided.
func levelOf(k host.Kind) slog.Level {
	switch k {
	case host.BadRequest:
		return slog.LevelWarn
	case host.Allowed, host.Unauthenticated, host.Forbidden, host.NotFound, host.TooManyRequests:
		return slog.LevelInfo
	}
	return slog.LevelError
}

const maxFields = 20

// appendFields lists what the log tells of a request. Fields that are unknown
// are left out. Neither the query nor any credential's value is among them.
func appendFields(to []slog.Attr, ev *host.Event) []slog.Attr {
	text := func(key, value string) {
		if value != "" {
			to = append(to, slog.String(key, value))
		}
	}
	d := &ev.Decision
	text("edge", ev.Edge)
	text("peer", ev.Peer)
	if req := ev.Request; req != nil {
		if req.Client.IsValid() {
			to = append(to, slog.String("client", req.Client.String()))
		}
		text("method", req.Method)
		text("host", req.Host)
		text("path", req.Path)
	}
	text("route", ev.Route)
	text("realm", ev.Realm)
	to = append(to, slog.Int("status", ev.Status), slog.String("decision", d.Kind.String()))
	text("reason", hideValues(d.Reason, ev))
	text("plugin", d.Plugin)
	if d.Identity != nil {
		text("user_id", d.Identity.UserID)
		text("session_id", d.Identity.SessionID)
	}
	text("credential", d.Credential.Label())
	text("tried", triedText(ev.Tried))
	to = append(to, slog.Int64("duration_us", ev.Elapsed.Microseconds()), slog.Int64("plugin_us", ev.Plugins.Microseconds()))
	if ev.Cause != nil {
		text("cause", hideSecrets(hideValues(ev.Cause.Error(), ev)))
	}
	return to
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
