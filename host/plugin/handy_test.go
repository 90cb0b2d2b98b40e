package plugin

import (
	"context"
	"testing"
)

// An instance that is given back is found by whoever looks for one, at each
// step of the way to the channel.
func TestHandyInstanceIsFound(t *testing.T) {
	i := new(instance)
	pool := func() *Plugin {
		return &Plugin{idle: make(chan *instance, 1), closing: make(chan struct{})}
	}
	for name, find := range map[string]func(*Plugin) *instance{
		"by the next call": func(p *Plugin) *instance {
			p.rest(i)
			i, _ := p.acquire(context.Background())
			return i
		},
		"by a caller who did not find it and is about to wait": func(p *Plugin) *instance {
			p.rest(i)
			i, _ := p.wait(context.Background())
			return i
		},
		"by one who waits": func(p *Plugin) *instance {
			p.queued.Add(1)
			p.rest(i)
			select {
			case i := <-p.idle:
				return i
			default:
				return nil
			}
		},
		"by a caller after one who waited": func(p *Plugin) *instance {
			p.idle <- i
			i, _ := p.acquire(context.Background())
			return i
		},
	} {
		p := pool()
		if find(p) != i {
			t.Errorf("not found %s", name)
		}
		if len(p.idle) > 0 || p.handy.Load() != nil {
			t.Errorf("found %s and still there", name)
		}
	}
}
