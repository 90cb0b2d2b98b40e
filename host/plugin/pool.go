package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var errClosed = errors.New("the plugin is closed")

// acquire borrows an instance, making one where none is idle and the limit
// allows. It waits until ctx ends, and maxWait at most.
func (p *Plugin) acquire(ctx context.Context) (*instance, error) {
	select {
	case <-p.closing:
		return nil, errClosed
	default:
	}
	select {
	case i := <-p.idle:
		return i, nil
	default:
	}
	select {
	case <-p.permits:
		return p.spawn()
	default:
	}
	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	select {
	case i := <-p.idle:
		return i, nil
	case <-p.permits:
		return p.spawn()
	case <-p.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for an instance: %w", ctx.Err())
	case <-timeout.C:
		return nil, fmt.Errorf("all %d instances were busy for %v", cap(p.permits), maxWait)
	}
}

// release returns an instance. One that is not sound is thrown away, and
// another is made when it is needed.
func (p *Plugin) release(i *instance, sound bool) {
	if sound {
		p.idle <- i
		return
	}
	p.discard(i)
	p.permits <- struct{}{}
}

// spawn makes an instance in exchange for a permit, which it gives back if it
// fails.
func (p *Plugin) spawn() (*instance, error) {
	i := newInstance(p)
	p.mu.Lock()
	p.live[i] = struct{}{}
	p.mu.Unlock()
	p.starts.Add(1)
	if err := i.start(); err != nil {
		p.release(i, false)
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

// Instances returns how many instances exist now, and how many were ever made.
func (p *Plugin) Instances() (now int, ever int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live), p.starts.Load()
}
