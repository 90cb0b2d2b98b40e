package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The pool holds as many permits as it may have instances. Each is either in
// permits, or with the goroutine that makes an instance, or with an instance,
// idle ones included: most of those are in idle, the one used last is handy,
// where taking it costs less. So the linear memories of a plugin never come to
// more than limits.memory times limits.instances.

// notAsked is why a call did not reach the plugin, which says nothing of how
// the plugin is.
type notAsked struct{ cause error }

func (n *notAsked) Error() string { return n.cause.Error() }
func (n *notAsked) Unwrap() error { return n.cause }

// notStarted is why an instance could not be made.
type notStarted struct{ cause error }

func (n *notStarted) Error() string { return n.cause.Error() }
func (n *notStarted) Unwrap() error { return n.cause }

var errClosed = &notAsked{errors.New("the plugin is closed")}

// acquire borrows an instance, having one made where none is idle and the
// limit allows. It waits until ctx ends, and maxWait at most (see wait).
func (p *Plugin) acquire(ctx context.Context) (*instance, error) {
	select {
	case <-p.closing:
		return nil, errClosed
	default:
	}
	if i := p.handy.Swap(nil); i != nil {
		return i, nil
	}
	select {
	case i := <-p.idle:
		return i, nil
	default:
		return p.wait(ctx)
	}
}

// wait has an instance made as soon as it comes by a permit, and takes the
// first one that is idle. One that is made too late for this caller is there
// for the next; one that somebody else took is made anew.
func (p *Plugin) wait(ctx context.Context) (*instance, error) {
	p.queued.Add(1)
	defer p.queued.Add(-1)
	if i := p.handy.Swap(nil); i != nil {
		return i, nil
	}
	made := make(chan error, 1) // what became of the start that this caller asked for
	permits := p.permits        // nil while that is under way
	longest := maxWait
	if p.opts.Engine == Interpreter { // a start takes longer there
		longest *= slowness
	}
	timeout := time.NewTimer(longest)
	defer timeout.Stop()
	for {
		select {
		case i := <-p.idle:
			return i, nil
		case <-permits:
			permits = nil
			p.background.Go(func() { made <- p.spawn() })
		case err := <-made:
			if err != nil {
				return nil, err
			}
			permits = p.permits
		case <-p.closing:
			return nil, errClosed
		case <-ctx.Done():
			return nil, &notAsked{fmt.Errorf("waiting for an instance: %w", ctx.Err())}
		case <-timeout.C:
			return nil, &notAsked{fmt.Errorf("all %d instances were busy for %v", cap(p.permits), longest)}
		}
	}
}

// release returns an instance. One that is not sound, or is not to be used
// again, is thrown away, and a spare takes its place in the background.
func (p *Plugin) release(i *instance, sound bool) {
	if sound && i.reusable() {
		p.rest(i)
		return
	}
	p.discard(i)
	p.background.Go(func() { _ = p.spawn() }) // it has told of its failure
}

// rest puts an instance where the next call finds it first, if that place is
// free, and takes it from there again if somebody is at the channel. Whoever
// goes there counts as queued first and looks at that place afterwards, so one
// of the two sees the other.
func (p *Plugin) rest(i *instance) {
	if p.handy.CompareAndSwap(nil, i) {
		if p.queued.Load() == 0 {
			return
		}
		if i = p.handy.Swap(nil); i == nil {
			return
		}
	}
	p.idle <- i
}

// spawn makes an instance in exchange for a permit, which it gives back if it
// fails, or if nothing is to be made any more. A spare that fails is not tried
// again before it is needed.
func (p *Plugin) spawn() error {
	select {
	case <-p.closing:
		p.permits <- struct{}{}
		return errClosed
	default:
	}
	i, err := p.instantiate()
	if err != nil {
		p.say(&p.failures, slog.LevelError, "plugin did not start", slog.String("error", err.Error()))
		p.permits <- struct{}{}
		return &notStarted{err}
	}
	p.idle <- i
	return nil
}

// instantiate makes an instance. The caller has a permit.
func (p *Plugin) instantiate() (*instance, error) {
	i := newInstance(p)
	p.mu.Lock()
	p.live[i] = struct{}{}
	p.starts++
	if p.hurried {
		i.kill()
	}
	p.mu.Unlock()
	if err := i.start(); err != nil {
		p.discard(i)
		return nil, err
	}
	return i, nil
}

// discard frees an instance.
func (p *Plugin) discard(i *instance) {
	p.mu.Lock()
	delete(p.live, i)
	p.mu.Unlock()
	i.close()
}

// Renew throws away the instances that are idle, and forgets what failed: what
// calls on trial have left in a guest's memory is not there for those that
// count. No call may be under way.
func (p *Plugin) Renew() {
	for i := p.handy.Swap(nil); ; {
		if i == nil {
			select {
			case i = <-p.idle:
			default:
				for _, hook := range p.hooks {
					p.mended(hook)
				}
				return
			}
		}
		p.discard(i)
		p.permits <- struct{}{}
		i = nil
	}
}

// Warm makes all instances that there may be, so that no caller waits for
// one. It returns the first error, or that of ctx.
func (p *Plugin) Warm(ctx context.Context) error {
	for {
		select {
		case <-p.closing:
			return errClosed
		default:
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		select {
		case <-p.permits:
		default:
			return nil
		}
		i, err := p.instantiate()
		if err != nil {
			p.permits <- struct{}{}
			return &LoadError{Plugin: p.opts.Name, Step: "warm", Cause: err}
		}
		p.idle <- i
	}
}

// Instances returns how many instances exist now, and how many were ever made.
func (p *Plugin) Instances() (now int, ever int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live), p.starts
}
