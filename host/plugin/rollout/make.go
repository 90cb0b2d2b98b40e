package rollout

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
	"github.com/authhost/authhost/host/plugin/replay"
	"github.com/authhost/authhost/host/plugin/signature"
)

// replayTime is what the replay may take; for the plugin's own cases it is
// cases.Time.
const replayTime = 10 * time.Second

// make takes the steps from what was read to a version that is ready to serve.
// An error is the reason why the step under way is refused.
func (r *Rollout) make(ctx context.Context, a *Attempt, spec Spec, c contents) (*Version, error) {
	a.SHA256 = hex.EncodeToString(c.print.module[:])
	a.ends(OK, "%d bytes", len(c.module))
	if err := r.prove(a, spec, c); err != nil {
		return nil, err
	}
	v, err := r.load(ctx, a, spec, c)
	if err != nil {
		return nil, err
	}
	if err = r.tryOut(ctx, a, v, c); err != nil {
		return nil, errors.Join(err, v.Close(context.WithoutCancel(ctx)))
	}
	if v.metrics != nil {
		v.metrics.tried.Store(true)
	}
	v.trial.live.Store(true)
	return v, nil
}

// prove judges where the module comes from.
func (r *Rollout) prove(a *Attempt, spec Spec, c contents) error {
	a.begin(SHA256)
	switch spec.SHA256 {
	case "":
		a.ends(Skipped, "no hash is pinned")
	case a.SHA256:
	default:
		return fmt.Errorf("%s has sha256 %s, the configuration wants %s", spec.Module, a.SHA256, spec.SHA256)
	}
	a.begin(Signature)
	if len(spec.PublicKeys) == 0 {
		a.ends(Skipped, "no public keys")
		return nil
	}
	keys, err := signature.ParseKeys(spec.PublicKeys)
	if err != nil {
		return err
	}
	if c.signature == nil {
		return fmt.Errorf("the module is not signed: there is no %s", filepath.Base(spec.Module)+signature.Suffix)
	}
	if a.Version, err = signature.Check(keys, c.module, c.signature); err != nil {
		return err
	}
	a.ends(OK, "version %s", a.Version)
	if r.serving == nil || r.serving.Version == "" {
		return nil
	}
	switch now := r.serving.Version; {
	case signature.Older(a.Version, now) && !spec.Gates.AllowDowngrade:
		return fmt.Errorf("version %s is older than %s, which serves; allow_downgrade lets it pass", a.Version, now)
	case signature.Older(a.Version, now):
		a.ends(OK, "version %s, older than %s, which serves: allowed", a.Version, now)
	case !signature.Older(now, a.Version) && r.serving.SHA256 != a.SHA256:
		a.ends(OK, "version %s, as the module that serves, which is another", a.Version)
	}
	return nil
}

// load makes the version, not yet tried out.
func (r *Rollout) load(ctx context.Context, a *Attempt, spec Spec, c contents) (*Version, error) {
	r.numbers++
	o := plugin.Options{
		Name: spec.Name, Module: c.module, Config: spec.Config, Headers: spec.Headers, Limits: spec.Limits, Isolated: spec.Isolated,
		Cache: r.opts.Cache, Logger: r.opts.Logger.With(slog.Int("generation", r.numbers)), Now: r.opts.Now, Step: a.begin,
	}
	var m *muted
	if r.opts.Metrics != nil {
		m = &muted{Metrics: r.opts.Metrics, name: r.name, open: map[string]bool{}}
		o.Metrics = m
	}
	t, err := r.options(spec, &o)
	if err != nil {
		return nil, err
	}
	p, err := plugin.Load(ctx, o)
	if err != nil {
		if e, ok := errors.AsType[*plugin.LoadError](err); ok {
			a.begin(e.Step)
			err = e.Cause
		}
		return nil, err
	}
	a.begin(Check)
	if err := spec.Asked.refuses(p.Hooks()); err != nil {
		return nil, errors.Join(err, p.Close(context.WithoutCancel(ctx)))
	}
	v := &Version{plugin: p, spec: spec, print: c.print, metrics: m, trial: t,
		Generation: Generation{Number: r.numbers, SHA256: a.SHA256, Version: a.Version, Loaded: r.opts.Now(), Hooks: p.Hooks()}}
	if p.Host().Authorizer != nil {
		v.recent = replay.NewRecorder()
	}
	return v, nil
}

// tryOut asks a loaded version what it must answer, and makes it ready.
func (r *Rollout) tryOut(ctx context.Context, a *Attempt, v *Version, c contents) error {
	a.begin(Cases)
	if c.cases == nil {
		a.ends(Skipped, "no %s", filepath.Base(cases.File(v.spec.Module)))
	} else if n, err := r.runCases(ctx, v.spec, c); err != nil {
		return err
	} else {
		a.ends(OK, "%d passed", n)
	}
	a.begin(Replay)
	if err := r.replay(ctx, a, v); err != nil {
		return err
	}
	a.begin(Warm)
	v.plugin.Renew()
	if err := v.plugin.Warm(ctx); err != nil {
		if e, ok := errors.AsType[*plugin.LoadError](err); ok {
			return e.Cause
		}
		return err
	}
	now, _ := v.plugin.Instances()
	a.ends(OK, "%d instances", now)
	return nil
}

// runCases runs the plugin's own cases on both engines, and returns how many
// there are.
func (r *Rollout) runCases(ctx context.Context, spec Spec, c contents) (int, error) {
	set, err := cases.Parse(cases.File(spec.Module), c.cases)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cases.Time, fmt.Errorf("the cases took longer than %s", cases.Time))
	defer cancel()
	limits := spec.Limits
	limits.Instances = 1
	return set.Len(), set.Check(ctx, func(ctx context.Context, config []byte, interpreted bool, world *cases.World) (cases.Subject, error) {
		if config == nil {
			config = spec.Config
		}
		o := plugin.Options{Name: spec.Name, Module: c.module, Config: config, Headers: spec.Headers, Limits: limits, Isolated: spec.Isolated,
			Engine: plugin.Interpreter, Now: cases.Now, Rand: cases.Rand()}
		world.Keys = spec.Grants.Keys
		spec.Grants.give(&o, world)
		if !interpreted {
			o.Engine, o.Cache = plugin.Compiler, r.opts.Cache
		}
		return plugin.Load(ctx, o)
	})
}

// replay asks v what the version that serves decided last.
func (r *Rollout) replay(ctx context.Context, a *Attempt, v *Version) error {
	if r.serving == nil || r.serving.recent == nil || r.serving.recent.Len() == 0 {
		a.ends(Skipped, "no decisions to compare with")
		return nil
	}
	next := v.plugin.Host().Authorizer
	if next == nil {
		next = silent{}
	}
	ctx, cancel := context.WithTimeout(ctx, replayTime)
	defer cancel()
	report := r.serving.recent.Replay(ctx, replayed{next, v.trial})
	n, max := len(report.Changed), v.spec.Gates.MaxChanged
	v.recent = report.Next
	a.Asked, a.Changed, a.Changes = report.Asked, n, slices.Clone(report.Changed[:min(n, maxChanges)])
	if max >= 0 && n > max {
		return fmt.Errorf("%d of %d recent decisions would change, max_changed allows %d; the first: %s", n, report.Asked, max, report.Changed[0])
	}
	note := ""
	if v.spec.Grants.Stateful() {
		note = "; nothing was kept or fetched when they were asked"
	}
	a.ends(OK, "%d of %d recent decisions change%s", n, report.Asked, note)
	return nil
}

// silent is a plugin without on_authorize: its route decides without it.
type silent struct{}

// Authorize implements host.Authorizer.
func (silent) Authorize(context.Context, *host.Call) (host.Opinion, error) {
	return host.Opinion{}, nil
}
