package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/tetratelabs/wazero"
)

// Plugin is one loaded version of a plugin. Its methods may be called by many
// goroutines at once. Make one with [Load] and end it with [Plugin.Close].
type Plugin struct {
	opts     Options
	hooks    []abi.Hook
	fetches  bool // may answer that something is to be fetched
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	cache    *Cache // its own, else nil
	epoch    time.Time
	lines    limiter // what the guest says
	failures limiter // what is said of it
	counters counters

	globals  int    // of the module, that an image holds
	image    *image // what calls begin with; nil: what the one before left
	renewed  string // why there is none although calls are isolated, else ""
	breakers [abi.OnLogout + 1]breaker

	handy      atomic.Pointer[instance] // idle too, see rest
	queued     atomic.Int64             // who is at the channels: callers that wait, and drain
	idle       chan *instance
	permits    chan struct{}  // one for each instance that may be made
	background sync.WaitGroup // goroutines that make one; each has its permit
	ledger     ledger

	mu      sync.Mutex
	live    map[*instance]struct{}
	starts  int64 // instances made so far
	hurried bool  // calls are ended: Close or Load was cut short

	closing   chan struct{}
	closeOnce sync.Once
	drained   chan struct{} // closed once everything is freed
	closeErr  error         // valid once drained
}

// LoadError says at which step a plugin was refused, and why. It is meant for
// operators: it may hold the guest's own text.
type LoadError struct {
	Plugin string
	Step   string // options, check, compile, start or configure
	Cause  error
}

// Error returns everything that is known.
func (e *LoadError) Error() string {
	return fmt.Sprintf("plugin %s: %s: %v", e.Plugin, e.Step, e.Cause)
}

// Unwrap returns the cause.
func (e *LoadError) Unwrap() error { return e.Cause }

// Load checks a module, compiles it, starts one instance and has it accept
// its configuration. Every error is a [*LoadError], and leaves nothing behind.
// It starts no goroutine that outlives it. When ctx ends it gives up, and ends
// what runs of the module.
func Load(ctx context.Context, o Options) (*Plugin, error) {
	fail := func(step string, err error) (*Plugin, error) {
		return nil, &LoadError{Plugin: o.Name, Step: step, Cause: err}
	}
	module := o.Module
	o, err := o.withDefaults()
	if err != nil {
		return fail("options", err)
	}
	o.Module = nil
	o.Step("check")
	module, err = guard(module)
	if err != nil {
		return fail("check", err)
	}
	p := &Plugin{
		opts:     o,
		lines:    limiter{most: float64(o.Lines)},
		failures: limiter{most: linesInSecond},
		epoch:    o.Now().Add(-time.Second),
		idle:     make(chan *instance, o.Limits.Instances),
		permits:  make(chan struct{}, o.Limits.Instances),
		live:     make(map[*instance]struct{}),
		closing:  make(chan struct{}),
		drained:  make(chan struct{}),
	}
	for range o.Limits.Instances {
		p.permits <- struct{}{}
	}
	if p.opts.Cache == nil {
		p.cache = &Cache{code: wazero.NewCompilationCache()}
		p.opts.Cache = p.cache
	}
	step, err := p.open(ctx, module)
	p.opts.Step = func(string) {} // of Load alone
	if err != nil {
		p.Close(context.WithoutCancel(ctx))
		return fail(step, err)
	}
	return p, nil
}

// open does what can fail of Load, and names the step that did.
func (p *Plugin) open(caller context.Context, module []byte) (step string, err error) {
	ctx := context.WithoutCancel(caller) // the engine keeps it
	memoryPages := uint32(p.opts.Limits.Memory / pageSize)
	p.opts.Step("compile")
	if err := validate(ctx, module, memoryPages); err != nil {
		return "compile", err
	}
	p.opts.Step("check")
	if module, err = metered(module); err != nil {
		return "check", err
	}
	if p.opts.Isolated {
		if module, p.globals, p.renewed, err = exposed(module); err != nil {
			return "check", err
		}
	}
	if err := caller.Err(); err != nil {
		return "compile", err
	}
	p.opts.Step("compile")
	p.runtime = wazero.NewRuntimeWithConfig(ctx, p.opts.Engine.config().
		WithCoreFeatures(features).
		WithCompilationCache(p.opts.Cache.code).
		WithMemoryLimitPages(memoryPages).
		WithDebugInfoEnabled(false))
	if p.compiled, err = p.opts.Cache.compile(ctx, p.runtime, module); err != nil {
		return "compile", err
	}
	if err := caller.Err(); err != nil {
		return "compile", err
	}
	p.opts.Step("check")
	if p.hooks, err = check(p.compiled, &p.opts); err != nil {
		return "check", err
	}
	p.fetches = fetches(p.compiled)
	p.opts.Step("start")
	if err := exportWASI(ctx, p.runtime); err != nil {
		return "start", err
	}
	if err := exportHostFunctions(ctx, p.runtime); err != nil {
		return "start", err
	}
	stop := context.AfterFunc(caller, p.hurry)
	step, err = p.first()
	if !stop() { // what was started is of no use any more
		return "start", caller.Err()
	}
	return step, err
}

// first makes the first instance and, for calls that are isolated, its image.
func (p *Plugin) first() (step string, err error) {
	<-p.permits
	i, err := p.instantiate()
	if err != nil {
		p.permits <- struct{}{}
		if _, refused := errors.AsType[*refusal](err); refused {
			return "configure", err
		}
		return "start", err
	}
	if p.renewed != "" {
		p.opts.Logger.Warn("plugin cannot be restored: each call takes an instance of its own",
			slog.String("plugin", p.opts.Name), slog.String("reason", p.renewed))
	} else if p.opts.Isolated {
		p.image = i.take()
	}
	p.idle <- i
	return "", nil
}

// Name returns the plugin's name.
func (p *Plugin) Name() string { return p.opts.Name }

// Headers returns the identity headers that the plugin may set, canonical.
// The caller must not change the slice.
func (p *Plugin) Headers() []string { return p.opts.Headers }

// Hooks returns the names of the hooks that the module exports.
func (p *Plugin) Hooks() []string {
	names := make([]string, len(p.hooks))
	for i, h := range p.hooks {
		names[i] = h.String()
	}
	return names
}

// Import is a function of the host that a module wants.
type Import struct {
	Module, Name string
	Grant        string // the capability that it needs; empty: none
}

// Imports returns what the module imports, in its order.
func (p *Plugin) Imports() (list []Import) {
	for _, def := range p.compiled.ImportedFunctions() {
		module, name, _ := def.Import()
		switch module {
		case meterModule:
		case abi.ImportModule:
			list = append(list, Import{module, name, string(functions[name].grant)})
		default:
			list = append(list, Import{Module: module, Name: name})
		}
	}
	return list
}

// Host returns the plugin as a route uses it: with the hooks that the module
// exports, the others nil.
func (p *Plugin) Host() host.Plugin {
	h := host.Plugin{Name: p.opts.Name}
	if slices.Contains(p.hooks, abi.OnCredential) {
		h.Chooser = p
	}
	if slices.Contains(p.hooks, abi.OnAuthorize) {
		h.Authorizer = p
	}
	if slices.Contains(p.hooks, abi.OnLogin) {
		h.Admitter = p
	}
	if slices.Contains(p.hooks, abi.OnLogout) {
		h.Notifier = p
	}
	return h
}

// Close refuses new calls, waits until those under way have ended, by
// themselves or at their time limit, and frees everything. When ctx ends
// first the calls under way are ended at once, Close returns ctx's error and
// the rest is freed as soon as they are gone. A call for which something is
// being fetched has no instance meanwhile, and ends after it. It may be called
// again.
func (p *Plugin) Close(ctx context.Context) error {
	p.closeOnce.Do(func() {
		close(p.closing)
		go p.drain()
	})
	select {
	case <-p.drained:
		return p.closeErr
	case <-ctx.Done():
		p.hurry()
		return ctx.Err()
	}
}

// hurry ends the calls under way, and whatever is still to begin.
func (p *Plugin) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurried = true
	for i := range p.live {
		i.kill()
	}
}

// drain takes every instance and every permit out of the pool, then frees the
// code. What is being made then comes in too, and nothing is begun, so the
// wait ends.
func (p *Plugin) drain() {
	defer close(p.drained)
	p.queued.Add(1) // and stays
	if i := p.handy.Swap(nil); i != nil {
		p.idle <- i
	}
	for range cap(p.permits) {
		select {
		case i := <-p.idle:
			p.discard(i)
		case <-p.permits:
		}
	}
	p.background.Wait()
	if p.image != nil {
		p.ledger.held.Add(-int64(cap(p.image.memory)))
	}
	for hook := range p.breakers {
		if p.breakers[hook].end() {
			p.showBreaker(abi.Hook(hook), false)
		}
	}
	ctx := context.Background()
	var errs []error
	if p.runtime != nil {
		errs = append(errs, p.runtime.Close(ctx))
	}
	if p.compiled != nil {
		errs = append(errs, p.compiled.Close(ctx))
	}
	if p.cache != nil {
		errs = append(errs, p.cache.Close())
	}
	p.closeErr = errors.Join(errs...)
}
