package plugin

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
)

// defaultReason is the reason of a deny for which the guest gave none.
const defaultReason = "denied"

// Choose asks on_credential. An error is a [*host.Error] of kind Unavailable;
// its cause is for the log alone.
func (p *Plugin) Choose(ctx context.Context, c *host.Call) (host.Choice, error) {
	var a abi.Answer
	if _, err := p.ask(ctx, abi.OnCredential, c, &a); err != nil {
		return host.Choice{}, err
	}
	return host.Choice{Effect: effect(a.Code), Candidate: a.Candidate, Reason: a.Reason}, nil
}

// Authorize asks on_authorize. An error is a [*host.Error] of kind
// Unavailable; its cause is for the log alone.
func (p *Plugin) Authorize(ctx context.Context, c *host.Call) (host.Opinion, error) {
	var a abi.Answer
	headers, err := p.ask(ctx, abi.OnAuthorize, c, &a)
	if err != nil {
		return host.Opinion{}, err
	}
	o := host.Opinion{Effect: effect(a.Code), Reason: a.Reason, Headers: headers}
	if a.Code == abi.CodeNo {
		o.Kind = denyKind(a.Status)
		if o.Reason == "" {
			o.Reason = defaultReason
		}
	}
	return o, nil
}

func effect(c abi.Code) host.Effect {
	switch c {
	case abi.CodeYes:
		return host.Allow
	case abi.CodeNo:
		return host.Deny
	}
	return host.Abstain
}

func denyKind(status int) host.Kind {
	switch status {
	case 401:
		return host.Unauthenticated
	case 404:
		return host.NotFound
	case 429:
		return host.TooManyRequests
	}
	return host.Forbidden
}

// ask puts a call to a hook, whose answer goes into a, and counts what came of
// it.
func (p *Plugin) ask(ctx context.Context, hook abi.Hook, c *host.Call, a *abi.Answer) ([]host.Header, error) {
	t, ok := p.breakers[hook].enter(c, p.opts.Now)
	if !ok {
		return nil, p.unanswered(hook, errOpen)
	}
	headers, err := p.converse(ctx, hook, c, a)
	if err != nil {
		p.tripped(hook, t, c, err)
		return nil, p.failed(hook, c, err)
	}
	p.mended(hook)
	return headers, nil
}

// once borrows an instance, puts the call to the hook and judges the answer. It
// counts the time.
func (p *Plugin) once(ctx context.Context, hook abi.Hook, c *host.Call, f *fetched, a *abi.Answer) (headers []host.Header, err error) {
	i, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	sound := false // nor is it if the host panics
	defer func() { p.release(i, sound) }()
	if m := p.opts.Metrics; m == nil {
		err = i.ask(hook, c, f, a)
	} else {
		start := p.opts.Now()
		err = i.ask(hook, c, f, a)
		m.PluginCall(p.opts.Name, hook.String(), p.opts.Now().Sub(start))
	}
	if err == nil {
		headers, err = p.judge(hook, a, c)
	}
	if p.opts.Spent != nil {
		p.opts.Spent(i.tank.spent())
	}
	sound = err == nil
	return headers, err
}

// judge refuses what an answer of the right form may not say, and returns its
// headers as the host knows them.
func (p *Plugin) judge(hook abi.Hook, a *abi.Answer, c *host.Call) ([]host.Header, error) {
	if (a.Code == abi.CodeFetch || len(a.Calls) > 0) && !p.fetches {
		return nil, fmt.Errorf("%s has something fetched, and the module does not import %s.%s", hook, abi.ImportModule, abi.ImportFetch)
	}
	if a.HasCandidate && a.Candidate >= len(c.Candidates) {
		return nil, fmt.Errorf("%s chose candidate %d of %d", hook, a.Candidate, len(c.Candidates))
	}
	if c.Terms != nil {
		if err := judgeTerms(*a, c); err != nil {
			return nil, fmt.Errorf("%s: %w", hook, err)
		}
	}
	if len(a.Headers) == 0 {
		return nil, nil
	}
	return p.headers(a.Headers, a.Code == abi.CodeNo)
}

// failed counts and logs a call that has no answer, and makes its error.
func (p *Plugin) failed(hook abi.Hook, c *host.Call, cause error) error {
	p.say(&p.failures, slog.LevelError, "plugin failed", append([]slog.Attr{slog.String("hook", hook.String())}, account(cause, c)...)...)
	return p.unanswered(hook, cause)
}

// unanswered counts a call that has no answer, and makes its error.
func (p *Plugin) unanswered(hook abi.Hook, cause error) error {
	if m := p.opts.Metrics; m != nil {
		m.PluginError(p.opts.Name, hook.String())
	}
	return &host.Error{Kind: host.Unavailable, Public: "plugin " + p.opts.Name + " failed", Cause: cause}
}
