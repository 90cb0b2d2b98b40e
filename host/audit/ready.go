package audit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/host"
)

const (
	checkTimeout = time.Second // for each check
	shareResult  = time.Second // how long one result answers later callers
)

// Check is one thing that must answer before requests can be decided, such as
// the cache, a key set or the plugins.
type Check struct {
	Name string
	// Ask returns nil when all is well. It should heed ctx, which ends after
	// one second. Of an error only the public text of a *host.Error is shown.
	Ask func(ctx context.Context) error
}

// report is the body of /readyz.
type report struct {
	Ready   bool     `json:"ready"`
	Failing []string `json:"failing"` // "name: reason"; never null
}

// readiness runs the checks for whoever asks: one run at a time, which all
// who ask meanwhile join, and whose result serves for shareResult after it.
type readiness struct {
	audit  *Audit
	checks []Check
	busy   []atomic.Bool // parallel to checks: a call that has not returned

	mu      sync.Mutex
	last    report
	at      time.Time     // when last was found
	known   bool          // there is a last
	running chan struct{} // closed when the run under way ends; nil if none is
}

// status returns what the checks say, at most shareResult ago. It waits for
// the run under way no longer than ctx.
func (r *readiness) status(ctx context.Context) report {
	r.mu.Lock()
	if r.known && r.running == nil && r.audit.clock().Sub(r.at) < shareResult {
		defer r.mu.Unlock()
		return r.last
	}
	running := r.running
	if running == nil {
		running = make(chan struct{})
		r.running = running
		// Others wait for this run too: it does not end with its first caller.
		go r.run(context.WithoutCancel(ctx), running)
	}
	r.mu.Unlock()

	select {
	case <-running:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.last
	case <-ctx.Done():
		return report{Failing: []string{"readiness: not known in time"}}
	}
}

// run asks every check, keeps the result and tells those who wait.
func (r *readiness) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	errs := make([]error, len(r.checks))
	var all sync.WaitGroup
	for i := range r.checks {
		all.Go(func() { errs[i] = r.ask(ctx, i) })
	}
	all.Wait()

	now := report{Ready: len(r.checks) > 0, Failing: []string{}}
	if len(r.checks) == 0 {
		now.Failing = append(now.Failing, "readiness: nothing is checked")
	}
	for i, err := range errs {
		if err != nil {
			now.Ready = false
			now.Failing = append(now.Failing, r.checks[i].Name+": "+publicReason(err))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := !r.known || r.last.Ready != now.Ready || !slices.Equal(r.last.Failing, now.Failing)
	r.last, r.at, r.known, r.running = now, r.audit.clock(), true, nil
	r.audit.tell(ctx, now, changed, errors.Join(errs...))
}

var errStuck = host.Errorf(host.Unavailable, "timed out", "the check before has not returned")

// ask runs one check for at most checkTimeout. One that does not heed its
// context is left behind, and not asked again before it returns.
func (r *readiness) ask(ctx context.Context, i int) error {
	if !r.busy[i].CompareAndSwap(false, true) {
		return errStuck
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	answer := make(chan error, 1)
	go func() {
		defer cancel()
		err := r.checks[i].Ask(ctx)
		r.busy[i].Store(false)
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	// An answer that came at the last moment still counts.
	select {
	case err := <-answer:
		return err
	default:
		return ctx.Err()
	}
}

// publicReason says why a check failed, in words that anyone may read.
func publicReason(err error) string {
	if e, ok := errors.AsType[*host.Error](err); ok && e.Public != "" {
		return e.Public
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "timed out"
	}
	return "unavailable"
}

// tell sets the gauge, and logs when readiness changed, or what stands in its way.
func (a *Audit) tell(ctx context.Context, now report, changed bool, cause error) {
	if a.metrics != nil {
		a.metrics.ready.Set(map[bool]float64{true: 1}[now.Ready])
	}
	if a.log == nil || !changed {
		return
	}
	level, text := slog.LevelInfo, "ready"
	if !now.Ready {
		level, text = slog.LevelWarn, "not ready"
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(a.clock(), level, text, 0)
	if !now.Ready {
		record.AddAttrs(slog.Any("failing", now.Failing))
	}
	if cause != nil {
		record.AddAttrs(slog.String("cause", hideSecrets(cause.Error())))
	}
	_ = a.log.Handle(ctx, record) // the log is where a failure would be told
}
