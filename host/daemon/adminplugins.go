package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/replay"
	"github.com/authhost/authhost/host/plugin/rollout"
)

// adminPlugins are the plugins as the admin endpoints know them.
type adminPlugins struct{ d *Daemon }

// List implements admin.Plugins.
func (a adminPlugins) List() []admin.Plugin {
	serving := a.d.serving.Load()
	list := make([]admin.Plugin, 0, len(serving.config.Plugins))
	for _, entry := range serving.config.Plugins {
		p := serving.plugins[entry.Name]
		shown := shownPlugin(p.Status())
		shown.Health = shownHealth(p.Version.Health())
		list = append(list, shown)
	}
	return list
}

// Reload implements admin.Plugins.
func (a adminPlugins) Reload(ctx context.Context, name string) error {
	err := a.d.ReloadPlugin(ctx, name)
	if r, ok := errors.AsType[*rollout.Refusal](err); ok {
		return &host.Error{Kind: host.Refused, Public: r.Cause.Error(), Step: r.Step, Cause: err}
	}
	return err
}

// RollBack implements admin.Plugins.
func (a adminPlugins) RollBack(ctx context.Context, name string) error {
	return a.d.RollBackPlugin(ctx, name)
}

func shownPlugin(s *rollout.Status) admin.Plugin {
	p := admin.Plugin{Name: s.Name, State: string(s.State), Generation: shownGeneration(&s.Serving), Last: shownAttempt(s.Last)}
	if s.Previous != nil {
		previous := shownGeneration(s.Previous)
		p.Previous = &previous
	}
	if step := s.Last.Refused(); step != nil {
		p.LastError = step.Name + ": " + step.Detail
	}
	return p
}

func shownHealth(h plugin.Health) admin.Health {
	shown := admin.Health{Instances: h.Instances, Idle: h.Idle, Memory: h.Memory, Breakers: []admin.Breaker{}}
	for _, b := range h.Breakers {
		shown.Breakers = append(shown.Breakers, admin.Breaker{Hook: b.Hook, Open: b.Open, Failures: b.Failures})
	}
	return shown
}

func shownGeneration(g *rollout.Generation) admin.Generation {
	return admin.Generation{SHA256: g.SHA256, Version: g.Version, Number: g.Number, LoadedAt: g.Loaded.UTC().Truncate(time.Millisecond), Hooks: g.Hooks}
}

func shownAttempt(a *rollout.Attempt) admin.Attempt {
	shown := admin.Attempt{At: a.At.UTC().Truncate(time.Millisecond), SHA256: a.SHA256, Version: a.Version, Steps: make([]admin.Step, len(a.Steps)), Asked: a.Asked, Changed: a.Changed}
	for i, s := range a.Steps {
		shown.Steps[i] = admin.Step{Name: s.Name, Outcome: string(s.Outcome), Detail: s.Detail, Millis: float64(s.Took.Microseconds()) / 1000}
	}
	for _, c := range a.Changes {
		shown.Changes = append(shown.Changes, admin.Change{Method: c.Method, Host: c.Host, Path: c.Path, UserID: c.UserID,
			Roles: append([]string{}, c.Roles...), Old: shownAnswer(c.Old), New: shownAnswer(c.New)})
	}
	return shown
}

func shownAnswer(a replay.Answer) admin.Answer {
	if a.Err != nil {
		return admin.Answer{Decision: "error", Reason: a.Err.Error()}
	}
	shown := admin.Answer{Decision: a.Effect.String(), Status: a.Status, Reason: a.Reason}
	for _, h := range a.Headers {
		if shown.Headers == nil {
			shown.Headers = map[string]string{}
		}
		shown.Headers[h.Name] = h.Value
	}
	return shown
}
