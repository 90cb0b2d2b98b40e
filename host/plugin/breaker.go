package plugin

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
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
	// pause is firstPause, and twice as long after the trial of a stranger that
	// failed, mostPause at most; of each, up to a half is taken off at random.
	firstPause = 100 * time.Millisecond
	mostPause  = 10 * time.Second

	// mostKnown is how many callers are remembered whose calls failed.
	mostKnown = 1024
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
	if a.Is6() { // whoever has one address there may have the /48 of a whole site
		if p, err := a.Prefix(48); err == nil {
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
//
// Nor does one who failed keep it open. To try again is for strangers first: the
// others wait a pause more, and while one of them tries a stranger may as well.
// That somebody fails once more shows nothing new, so only a stranger's failure
// makes the pause longer.
type breaker struct {
	troubled atomic.Bool // a call failed and none was answered since

	mu       sync.Mutex
	failures int                 // in a row
	since    time.Time           // when the row began
	starts   int                 // failures in it that were nobody's
	known    map[caller]struct{} // whose calls failed in it, mostKnown of them
	open     bool
	ended    bool // the plugin is closed
	trying   [ofKnown + 1]bool
	pause    time.Duration
	until    time.Time // when the pause ends
}

// trial says whether a call tries a hook whose breaker is open.
type trial uint8

const (
	none trial = iota
	ofStranger
	ofKnown // of a caller whose call had failed
)

// enter says whether a call may be made, and whether it is one that tries.
func (b *breaker) enter(c *host.Call, now func() time.Time) (t trial, ok bool) {
	if !b.troubled.Load() {
		return none, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return none, true
	}
	t, until, busy := ofStranger, b.until, b.trying[ofStranger]
	if _, failed := b.known[callerOf(c)]; failed {
		t, until, busy = ofKnown, until.Add(b.pause), busy || b.trying[ofKnown]
	}
	if busy || now().Before(until) {
		return none, false
	}
	b.trying[t] = true
	return t, true
}

// undecided ends a call that says nothing of the plugin.
func (b *breaker) undecided(t trial) {
	if t != none {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.trying[t] = false
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
	b.failures, b.starts, b.known = 0, 0, nil
	b.open, b.trying, b.pause = false, [ofKnown + 1]bool{}, 0
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
func (b *breaker) failed(t trial, who *host.Call, now time.Time) (pause time.Duration, opened bool) {
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
		b.starts++
	} else {
		b.remember(callerOf(who))
	}
	switch {
	case b.open && t == none: // it was under way when the breaker opened
		return 0, false
	case b.open:
		b.trying[t] = false
		if t == ofStranger {
			b.pause = min(2*b.pause, mostPause)
		}
	case b.failures >= breakerFailures && b.starts+len(b.known) >= breakerCallers && now.Sub(b.since) >= breakerRow:
		b.open, opened = true, true
		b.pause = firstPause
	default:
		return 0, false
	}
	b.until = now.Add(b.pause - rand.N(b.pause/2))
	return b.pause, opened
}

// remember notes whose call failed, in place of anybody if there is no room.
func (b *breaker) remember(c caller) {
	if b.known == nil {
		b.known = map[caller]struct{}{}
	}
	if _, ok := b.known[c]; !ok && len(b.known) == mostKnown {
		for other := range b.known {
			delete(b.known, other)
			break
		}
	}
	b.known[c] = struct{}{}
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
func (p *Plugin) tripped(hook abi.Hook, t trial, c *host.Call, cause error) {
	b := &p.breakers[hook]
	_, elsewhere := errors.AsType[*away](cause)
	if _, ok := errors.AsType[*notAsked](cause); ok || elsewhere || errors.Is(cause, errKilled) {
		b.undecided(t)
		return
	}
	who := c
	if _, ok := errors.AsType[*notStarted](cause); ok {
		who = nil
	}
	pause, opened := b.failed(t, who, p.opts.Now())
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
