package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// refusal is a plugin's no to its configuration, or its failure to answer.
type refusal struct{ cause error }

func (r *refusal) Error() string { return r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

// instance is one instance of a module. Whoever borrowed it from the pool has
// it alone; kill may be called by anyone.
type instance struct {
	plugin *Plugin
	ctx    context.Context // carries the instance to host functions
	killed atomic.Bool
	tank   tank

	module  api.Module
	memory  api.Memory
	linear  linear              // what memory is made of
	globals []api.MutableGlobal // the exposed ones, see image
	buffer  uint32              // where frames and answers go
	length  uint32
	funcs   [abi.OnLogout + 1]api.Function
	stack   [1]uint64
	printed [2]lineWriter // standard output and error
	calls   int           // that were answered
	high    uint32        // size of the memory past which it is replaced

	hook    abi.Hook          // being asked, else 0
	call    *host.Call        // being asked about, else nil
	fetched *fetched          // what the guest had fetched in this call, else nil
	entries int               // calls of host functions, in this call
	waited  time.Duration     // for the cache, in this call
	session map[string]string // attributes that were read in this call; nil: none were
	wall    time.Time         // the guest's clocks stand still within a call
	nano    int64
	scratch []byte
	answers abi.AnswerParser

	client     netip.Addr // the last one that a frame had, and its text
	clientText []byte

	whole      []byte // the call's frame with nothing lazy, if wholeValid
	wholeLen   int
	wholeValid bool
}

type instanceKey struct{}

func newInstance(p *Plugin) *instance {
	i := &instance{plugin: p, tank: tank{engine: p.opts.Engine}, linear: linear{ledger: &p.ledger}}
	i.printed = [2]lineWriter{{instance: i, level: slog.LevelInfo}, {instance: i, level: slog.LevelWarn}}
	i.ctx = context.WithValue(experimental.WithMemoryAllocator(context.Background(), &i.linear), instanceKey{}, i)
	return i
}

// kill ends the call under way when the guest next asks for fuel.
func (i *instance) kill() { i.killed.Store(true) }

func (i *instance) close() {
	if i.module != nil {
		_ = i.module.Close(context.Background())
	}
	i.linear.Free() // the engine does not, where a start failed
}

// contain turns a panic of the host into an error, which says in the lines
// after the first where it was.
func contain(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the host panicked: %v\n%s", r, debug.Stack())
	}
}

// start makes the module's instance, finds its buffer and configures it; or
// makes it what the plugin's image shows, if there is one.
func (i *instance) start() (err error) {
	defer contain(&err)
	i.tick(i.plugin.opts.Now())
	i.tank.fill(max(startFactor*i.plugin.opts.Limits.Time, i.plugin.opts.leastStart))
	if err := i.instantiate(); err != nil {
		return err
	}
	if m := i.plugin.image; m != nil {
		return i.become(m)
	}
	if err := i.initialize(); err != nil {
		return err
	}
	i.plugin.opts.Step("configure")
	if err := i.configure(); err != nil {
		return &refusal{err}
	}
	i.high = max(i.memory.Size(), uint32(i.plugin.opts.Limits.Memory/4*highQuarters))
	return nil
}

func (i *instance) instantiate() error {
	p := i.plugin
	var err error
	if i.module, err = p.runtime.InstantiateModule(i.ctx, p.compiled, i.wasiConfig()); err != nil {
		return trap("instantiate", err)
	}
	i.tank.counter = i.module.ExportedGlobal(fuelExport).(api.MutableGlobal)
	if i.memory = i.module.ExportedMemory(memoryExport); i.memory == nil {
		return fmt.Errorf("no memory")
	}
	for _, h := range p.hooks {
		i.funcs[h] = i.module.ExportedFunction(h.String())
	}
	i.exposedGlobals()
	return nil
}

// initialize runs _initialize and finds the buffer.
func (i *instance) initialize() error {
	if init := i.module.ExportedFunction(initializeExport); init != nil {
		if err := init.CallWithStack(i.ctx, nil); err != nil {
			return trap(initializeExport, err)
		}
	}
	if err := i.module.ExportedFunction(abi.BufferExport).CallWithStack(i.ctx, i.stack[:]); err != nil {
		return trap(abi.BufferExport, err)
	}
	i.buffer, i.length = uint32(i.stack[0]>>32), uint32(i.stack[0])
	if i.length < abi.MinBuffer {
		return fmt.Errorf("%s offers %d bytes, %d are needed", abi.BufferExport, i.length, abi.MinBuffer)
	}
	if _, ok := i.memory.Read(i.buffer, i.length); !ok {
		return fmt.Errorf("%s offers %d bytes at %d, which is not within memory", abi.BufferExport, i.length, i.buffer)
	}
	return nil
}

func (i *instance) configure() error {
	if i.funcs[abi.Configure] == nil {
		return nil
	}
	var a abi.Answer
	if err := i.exchange(abi.Configure, nil, &a); err != nil {
		return err
	}
	if a.Code == abi.CodeNo {
		if a.Reason == "" {
			a.Reason = "no reason given"
		}
		return errors.New(a.Reason)
	}
	return nil
}

// ask puts one call to a hook, within the time limit.
func (i *instance) ask(hook abi.Hook, c *host.Call, f *fetched, a *abi.Answer) error {
	if i.killed.Load() {
		return errKilled
	}
	i.tick(c.Now)
	i.tank.fill(i.plugin.opts.Limits.Time)
	i.fetched = f
	return i.exchange(hook, c, a)
}

// exchange puts a call to a hook. After a panic it has not left: the instance
// is thrown away, as after any error.
func (i *instance) exchange(hook abi.Hook, c *host.Call, a *abi.Answer) error {
	i.hook, i.call, i.entries, i.wholeValid = hook, c, 0, false
	i.waited, i.session = 0, nil
	err := i.run(hook, a)
	i.leave()
	return err
}

// run writes the frame, runs the hook and copies its answer out.
func (i *instance) run(hook abi.Hook, a *abi.Answer) (err error) {
	// A view, to be taken anew for each use: memory may have grown.
	view, ok := i.memory.Read(i.buffer, i.length)
	if !ok {
		return fmt.Errorf("the buffer is not within memory")
	}
	i.stack[0] = uint64(i.writeFrame(view))
	if err = i.funcs[hook].CallWithStack(i.ctx, i.stack[:]); err != nil {
		return trap(hook.String(), err)
	}
	if i.tank.refills > 0 {
		// It ran long enough to have grown a large stack, which a function
		// keeps: tens of megabytes that no limit of memory counts.
		i.funcs[hook] = i.module.ExportedFunction(hook.String())
	}
	code, n := abi.SplitResult(i.stack[0])
	if n > i.length {
		return fmt.Errorf("%s answered %d bytes in a buffer of %d", hook, n, i.length)
	}
	if view, ok = i.memory.Read(i.buffer, n); !ok {
		return fmt.Errorf("%s: the answer is not within memory", hook)
	}
	*a, err = i.answers.Parse(hook, code, view)
	return err
}

// reusable readies an instance that has answered for the next call, and says
// whether there may be one.
func (i *instance) reusable() bool {
	p := i.plugin
	if i.calls++; i.calls >= p.opts.Limits.Calls {
		return false
	}
	if p.opts.Isolated {
		return p.image != nil && i.restore(p.image)
	}
	return i.memory.Size() <= i.high
}

// leave forgets the call. Room for a frame of usual size is kept.
func (i *instance) leave() {
	for n := range i.printed {
		i.printed[n].flush() // while the call's credentials are known
	}
	i.hook, i.call, i.session, i.fetched = 0, nil, nil, nil
	if len(i.whole) > 1<<20 {
		i.whole = nil
	}
}

// tick moves the guest's clocks, which never go back.
func (i *instance) tick(now time.Time) {
	if now.IsZero() {
		now = i.plugin.opts.Now()
	}
	i.wall = now
	i.nano = max(i.nano, int64(now.Sub(i.plugin.epoch)))
}
