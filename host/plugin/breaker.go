package plugin

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
)

const (
	// A breaker opens after so many failures in a row, of so many callers and
	// over so long: a burst between two answers to others is no such row.
	breakerFailures = 10
	breakerCallers  = 3
	breakerRow      = time.Second

	// While it is open one call may try at the end of each pause. The first
	// pause is firstPause, each further one twice as long, mostPause at most;
	// of each, up to a half is taken off at random.
	firstPause = 100 * time.Millisecond
	mostPause  = 10 * time.Second
)

var errOpen = errors.New("the breaker is open: the plugin failed in all of its last calls")

// caller is who a call is about: a user, or the network that an anonymous
// request came from.
type caller struct {
	user    string
	network netip.Addr
}

func callerOf(c *host.Call) caller {
	if c.Identity != nil {
		return caller{user: c.Identity.UserID}
	}
	if c.Ended != nil {
		return caller{user: c.Ended.UserID}
	}
	if c.Request == nil {
		return caller{}
	}
	a := c.Request.Client.Unmap()
	if a.Is6() { // whoever has one address there has all of its /64
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return caller{network: a}
}

// breaker stops asking a hook that fails whoever asks. The zero breaker is
// closed.
//
// What somebody asks can make a plugin fail for them alone, so failures count
// only as long as nobody had an answer, and must come from several callers.
// Those whose calls failed last are not the first to try again either: a
// stranger is.
type breaker struct {
	troubled atomic.Bool // a call failed and none was answered since

	mu       sync.Mutex
	failures int                    // in a row
	since    time.Time              // when the row began
	callers  [breakerCallers]caller // the last that failed, all different
	known    int                    // how many of them there ever were
	open     bool
	ended    bool // the plugin is closed
	trying   bool
	pause    time.Duration
	until    time.Time // when the pause ends
}

// enter says whether a call may be made, and whether it is the one that tries.
func (b *breaker) enter(c *host.Call, now func() time.Time) (trial, ok bool) {
	if !b.troubled.Load() {
		return false, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false, true
	}
	until := b.until
	if slices.Contains(b.callers[:], callerOf(c)) {
		until = until.Add(b.pause)
	}
	if b.trying || now().Before(until) {
		return false, false
	}
	b.trying = true
	return true, true
}

// undecided ends a call that says nothing of the plugin.
func (b *breaker) undecided(trial bool) {
	if trial {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.trying = false
	}
}

// answered ends a call that was answered. It says whether that closed the
// breaker.
func (b *breaker) answered() (closed bool) {
	if !b.troubled.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	closed = b.open
	b.failures, b.known, b.callers = 0, 0, [breakerCallers]caller{}
	b.open, b.trying, b.pause = false, false, 0
	b.troubled.Store(false)
	return closed
}

// end closes the breaker for good. It says whether it was open.
func (b *breaker) end() (open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	open, b.open, b.ended = b.open, false, true
	return open
}

// failed ends a call that failed, for who, or because of nobody, if that is
// nil. It says whether that opened the breaker, and for how long at first.
func (b *breaker) failed(trial bool, who *host.Call, now time.Time) (pause time.Duration, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, false
	}
	b.troubled.Store(true)
	if b.failures++; b.failures == 1 {
		b.since = now
	}
	if who == nil {
		b.known++
	} else if c := callerOf(who); !slices.Contains(b.callers[:min(b.known, len(b.callers))], c) {
		b.callers[b.known%len(b.callers)] = c
		b.known++
	}
	switch {
	case b.open && !trial: // it was under way when the breaker opened
		return 0, false
	case b.open:
		b.trying = false
		b.pause = min(2*b.pause, mostPause)
	case b.failures >= breakerFailures && b.known >= breakerCallers && now.Sub(b.since) >= breakerRow:
		b.open, opened = true, true
		b.pause = firstPause
	default:
		return 0, false
	}
	b.until = now.Add(b.pause - rand.N(b.pause/2))
	return b.pause, opened
}

// Breaker is the state of one hook's breaker.
type Breaker struct {
	Hook     string
	Open     bool
	Failures int       // in a row
	Until    time.Time // while it is open: when the next call may try
}

func (b *breaker) state(hook abi.Hook) Breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Breaker{Hook: hook.String(), Open: b.open, Failures: b.failures}
	if b.open {
		s.Until = b.until
	}
	return s
}

// tripped counts a failed call in its breaker.
func (p *Plugin) tripped(hook abi.Hook, trial bool, c *host.Call, cause error) {
	b := &p.breakers[hook]
	_, elsewhere := errors.AsType[*away](cause)
	if _, ok := errors.AsType[*notAsked](cause); ok || elsewhere || errors.Is(cause, errKilled) {
		b.undecided(trial)
		return
	}
	who := c
	if _, ok := errors.AsType[*notStarted](cause); ok {
		who = nil
	}
	pause, opened := b.failed(trial, who, p.opts.Now())
	if !opened {
		return
	}
	p.opts.Logger.Error("plugin breaker opened", slog.String("plugin", p.opts.Name), slog.String("hook", hook.String()),
		slog.Duration("pause", pause), why(cause, c))
	p.showBreaker(hook, true)
}

// mended counts an answered call in its breaker.
func (p *Plugin) mended(hook abi.Hook) {
	if p.breakers[hook].answered() {
		p.opts.Logger.Info("plugin breaker closed", slog.String("plugin", p.opts.Name), slog.String("hook", hook.String()))
		p.showBreaker(hook, false)
	}
}

func (p *Plugin) showBreaker(hook abi.Hook, open bool) {
	if m := p.opts.Metrics; m != nil {
		m.PluginBreaker(p.opts.Name, hook.String(), open)
	}
}
