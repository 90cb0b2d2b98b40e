package redis

import (
	"context"
	"crypto/sha1"
	_ "embed" // the script
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/authhost/authhost/host/cache"
)

//go:embed change.lua
var changeScript string

// changeHash is the name under which Redis keeps the script.
var changeHash = func() string {
	sum := sha1.Sum([]byte(changeScript))
	return hex.EncodeToString(sum[:])
}()

// Change implements cache.Driver.
func (d *Driver) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	if err := c.Check(slot); err != nil {
		return false, err
	}
	key, args := d.key(slot), d.arguments(c)
	n, err := d.run(ctx, key, append([]any{"evalsha", changeHash, 1, key}, args...))
	if goredis.HasErrorPrefix(err, "NOSCRIPT") {
		n, err = d.run(ctx, key, append([]any{"eval", changeScript, 1, key}, args...))
	}
	if err != nil {
		return false, fmt.Errorf("cache redis: change: %w", err)
	}
	return n == 1, nil
}

// arguments writes a change as change.lua reads it.
func (d *Driver) arguments(c cache.Change) []any {
	touch := "0"
	if d.replica > 0 {
		touch = "1"
	}
	args := []any{strconv.FormatInt(cache.Millis(c.Expires), 10), touch, len(c.If), len(c.Put), len(c.Delete)}
	for _, f := range c.If {
		present := "0"
		if f.Value != nil {
			present = "1"
		}
		args = append(args, f.Name, present, f.Value)
	}
	for _, f := range c.Put {
		args = append(args, f.Name, f.Value)
	}
	for _, name := range c.Delete {
		args = append(args, name)
	}
	return args
}

// once is a command that is never sent a second time: an answer may be lost
// after the server did what it says, and the second would then tell otherwise.
type once struct{ *goredis.Cmd }

// NoRetry tells the client library so.
func (once) NoRetry() bool { return true }

// run sends the script and returns its number.
func (d *Driver) run(ctx context.Context, key string, command []any) (int64, error) {
	cmd := once{goredis.NewCmd(ctx, command...)}
	if d.replica == 0 {
		_ = d.client.Process(ctx, cmd)
		return cmd.Int64()
	}
	node, err := d.master(ctx, key)
	if err != nil {
		return 0, err
	}
	return d.runAndWait(ctx, node, cmd)
}

// runAndWait sends the script and, behind it on the same connection, a WAIT:
// Redis counts the replicas that have what this connection wrote.
func (d *Driver) runAndWait(ctx context.Context, node *goredis.Client, cmd once) (int64, error) {
	wait := goredis.NewIntCmd(ctx, "wait", d.replica, waitTimeout.Milliseconds())
	pipe := node.Pipeline()
	_ = pipe.Process(ctx, cmd)
	_ = pipe.Process(ctx, wait)
	_, _ = pipe.Exec(ctx) // each command holds its own error
	n, err := cmd.Int64()
	if err != nil {
		d.moved(ctx, err)
		return 0, err
	}
	if n == 0 {
		return 0, nil // nothing was written that could be waited for
	}
	reached, err := wait.Result()
	if err != nil {
		return 0, fmt.Errorf("WAIT: %w", err)
	}
	if reached < int64(d.replica) {
		return 0, fmt.Errorf("the change reached %d replicas of %d", reached, d.replica)
	}
	return n, nil
}

func (d *Driver) master(ctx context.Context, key string) (*goredis.Client, error) {
	switch c := d.client.(type) {
	case *goredis.ClusterClient:
		return c.MasterForKey(ctx, key)
	case *goredis.Client:
		return c, nil
	}
	return nil, errors.New("no master")
}

// moved has the map of the cluster read anew when a node says that a slot is
// not its own: the change was not made, and the caller's next one finds its way.
func (d *Driver) moved(ctx context.Context, err error) {
	c, ok := d.client.(*goredis.ClusterClient)
	if ok && (goredis.HasErrorPrefix(err, "MOVED") || goredis.HasErrorPrefix(err, "ASK") || goredis.HasErrorPrefix(err, "READONLY")) {
		c.ReloadState(ctx)
	}
}
