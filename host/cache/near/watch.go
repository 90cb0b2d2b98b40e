package near

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// How long to wait before an interrupted watch is tried anew: twice as long
// each time that it was not even ready.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 5 * time.Second
)

// Run keeps the watch for changes going until ctx ends, and returns its error.
// Without it nothing is served that is older than MaxStaleness either.
func (c *Cache) Run(ctx context.Context) error {
	if c.max == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		ready, err := c.watch(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		level := slog.LevelDebug
		if ready {
			wait, level = firstWait, slog.LevelWarn
		}
		c.logger.LogAttrs(ctx, level, "cache watch interrupted", slog.Any("error", err))
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch watches once. What was read while nobody told of changes is forgotten
// when it begins, and everything when it ends.
func (c *Cache) watch(ctx context.Context) (wasReady bool, err error) {
	var ready atomic.Bool
	defer c.empty()
	err = c.Driver.Watch(ctx, func() {
		c.empty()
		ready.Store(true)
		c.logger.LogAttrs(ctx, slog.LevelDebug, "cache watch ready")
	}, c.forget)
	return ready.Load(), err
}
