package daemon

import (
	"context"
	"log/slog"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/near"
	"github.com/authhost/authhost/host/config"
)

// nearCache is what this process remembers of a remote cache, and the goroutine
// that has it forget what others changed.
type nearCache struct {
	options config.NearCache
	cache   *near.Cache
	cancel  context.CancelFunc
	ended   chan struct{}
}

func (m *nearCache) stop() {
	m.cancel()
	<-m.ended
}

// makeNear returns the memory of a configuration: that of running while the
// options are the same; nil where nothing is to be remembered, or where the
// cache is as near as a memory.
func (d *Daemon) makeNear(c *config.Config, running *assembly) (*nearCache, error) {
	if !d.store.remote || c.Cache.Near.MaxStaleness == 0 {
		return nil, nil
	}
	if running.near != nil && running.near.options == c.Cache.Near {
		return running.near, nil
	}
	n, err := near.New(near.Options{
		Driver: d.cache, MaxStaleness: c.Cache.Near.MaxStaleness, Entries: c.Cache.Near.Entries,
		Now: d.now, Logger: d.log, Metrics: d.audit.Near(),
	})
	if err != nil {
		return nil, c.Problem("cache.near", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &nearCache{options: c.Cache.Near, cache: n, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		if err := n.Run(ctx); err != nil && ctx.Err() == nil {
			d.log.LogAttrs(ctx, slog.LevelError, "the near-cache is no longer told of changes", slog.Any("reason", err))
		}
	}()
	return m, nil
}

// handles returns what sessions are read through: fast where a bounded
// staleness is allowed, and through where it is not.
func (d *Daemon) handles(m *nearCache) (fast, through cache.Driver) {
	if m == nil {
		return d.cache, nil
	}
	return m.cache, m.cache.ReadThrough()
}
