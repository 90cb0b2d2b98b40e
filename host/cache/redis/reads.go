package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// maxBatches is how many batches of reads may be under way at once. More of
// them would hold fewer reads each; one alone would stand still with its
// connection.
const maxBatches = 2

// reads sends what many callers ask of one server together: who comes while
// batches are under way waits and goes with all the others who do. A read is
// never answered by one that was sent before it was asked for.
type reads struct {
	client goredis.UniversalClient

	mu      sync.Mutex
	waiting []*read
	batches int // under way
}

// read is one caller's command.
type read struct {
	*goredis.SliceCmd
	done chan struct{}
}

// ask sends a command, which must change nothing, and waits for its answer.
func (b *reads) ask(ctx context.Context, args ...any) ([]any, error) {
	b.mu.Lock()
	if b.batches < maxBatches {
		b.batches++
		b.mu.Unlock()
		defer b.next()
		cmd := goredis.NewSliceCmd(ctx, args...)
		_ = b.client.Process(ctx, cmd) // the command holds its own error
		return cmd.Result()
	}
	// Others may be answered together with this caller after it has gone.
	r := &read{goredis.NewSliceCmd(context.WithoutCancel(ctx), args...), make(chan struct{})}
	b.waiting = append(b.waiting, r)
	b.mu.Unlock()
	select {
	case <-r.done:
		return r.Result()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next ends a batch and begins another with those who wait.
func (b *reads) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.batches--
		return
	}
	go b.send(b.waiting)
	b.waiting = nil
}

func (b *reads) send(batch []*read) {
	defer b.next()
	ctx := context.Background() // the client's own timeouts bound it
	pipe := b.client.Pipeline()
	for _, r := range batch {
		_ = pipe.Process(ctx, r.SliceCmd) // is only noted down
	}
	_, _ = pipe.Exec(ctx) // each command holds its own error
	for _, r := range batch {
		close(r.done)
	}
}
