package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// beat is how often a quiet subscription is asked whether it lives, and how
// long it has to answer.
const beat = time.Second

// Watch implements cache.Driver. It subscribes at every master, since each
// tells what is changed on it and the way between masters may be cut, and ends
// when one of the subscriptions does.
func (d *Driver) Watch(ctx context.Context, ready func(), changed func(slot string)) error {
	masters, err := d.masters(ctx)
	if err != nil {
		return fmt.Errorf("cache redis: watch: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // one call at a time
	missing := len(masters)
	subscribed := func() {
		mu.Lock()
		defer mu.Unlock()
		if missing--; missing == 0 {
			ready()
		}
	}
	told := func(key string) {
		mu.Lock()
		defer mu.Unlock()
		if slot, ok := d.slot(key); ok && missing == 0 {
			changed(slot)
		}
	}
	var wg sync.WaitGroup
	for _, node := range masters {
		wg.Go(func() { cancel(d.listen(ctx, node, subscribed, told)) })
	}
	wg.Wait()
	return fmt.Errorf("cache redis: watch: %w", context.Cause(ctx))
}

// listen holds one subscription. The client library would renew a broken one
// by itself, and what was told meanwhile would be lost: so the first error, and
// whatever else is not expected, ends it.
func (d *Driver) listen(ctx context.Context, node *goredis.Client, subscribed func(), told func(key string)) error {
	sub := node.Subscribe(ctx, d.channel)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { sub.Close() })
	defer stop()
	var heard atomic.Int64
	done := make(chan struct{})
	defer close(done)
	go keepAsking(ctx, sub, &heard, done)
	for first := true; ; first = false {
		message, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		heard.Add(1)
		switch m := message.(type) {
		case *goredis.Subscription:
			if !first {
				return errors.New("the subscription was interrupted")
			}
			subscribed()
		case *goredis.Message:
			told(m.Payload)
		case *goredis.Pong:
		default:
			return fmt.Errorf("a message of type %T", m)
		}
	}
}

// keepAsking closes a subscription on which nothing is heard for a beat after
// it was asked. Reads have no deadline of their own, which could strike in the
// middle of a message.
func keepAsking(ctx context.Context, sub *goredis.PubSub, heard *atomic.Int64, done <-chan struct{}) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	before, asked := heard.Load(), false
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		now := heard.Load()
		if now == before && asked || sub.Ping(ctx) != nil {
			sub.Close()
			return
		}
		before, asked = now, true
	}
}
