package redis

import (
	"context"
	"crypto/sha1"
	_ "embed" // the scripts
	"encoding/hex"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed change.lua
var changeText string

//go:embed add.lua
var addText string

//go:embed due_put.lua
var duePutText string

//go:embed due_lease.lua
var dueLeaseText string

//go:embed due_drop.lua
var dueDropText string

var (
	changeScript   = newScript(changeText)
	addScript      = newScript(addText)
	duePutScript   = newScript(duePutText)
	dueLeaseScript = newScript(dueLeaseText)
	dueDropScript  = newScript(dueDropText)
)

// script is a Lua script, and the name under which Redis keeps it.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text: text, hash: hex.EncodeToString(sum[:])}
}

// once is a command that is never sent a second time: an answer may be lost
// after the server did what it says, and the second would then tell otherwise.
type once struct{ *goredis.Cmd }

// NoRetry tells the client library so.
func (once) NoRetry() bool { return true }

// write runs a script, and returns its answer once as many replicas have what
// it wrote as the options ask for.
func (d *Driver) write(ctx context.Context, s script, keys []string, args ...any) (*goredis.Cmd, error) {
	return s.send(keys, args, func(command []any) (*goredis.Cmd, error) {
		cmd := once{goredis.NewCmd(ctx, command...)}
		if d.replica == 0 {
			_ = d.client.Process(ctx, cmd) // the command holds its own error
			return cmd.Cmd, cmd.Err()
		}
		node, err := d.master(ctx, keys[0])
		if err != nil {
			return nil, err
		}
		return cmd.Cmd, d.andWait(ctx, node, cmd)
	})
}

// run runs a script whose work may be lost in a failover: no replica is waited
// for.
func (d *Driver) run(ctx context.Context, s script, keys []string, args ...any) (*goredis.Cmd, error) {
	return s.send(keys, args, func(command []any) (*goredis.Cmd, error) {
		cmd := once{goredis.NewCmd(ctx, command...)}
		_ = d.client.Process(ctx, cmd) // the command holds its own error
		return cmd.Cmd, cmd.Err()
	})
}

// send sends the script by its name, and in full where Redis does not know it.
func (s script) send(keys []string, args []any, process func(command []any) (*goredis.Cmd, error)) (*goredis.Cmd, error) {
	command := make([]any, 0, 3+len(keys)+len(args))
	command = append(command, "evalsha", s.hash, len(keys))
	for _, key := range keys {
		command = append(command, key)
	}
	command = append(command, args...)
	cmd, err := process(command)
	if goredis.HasErrorPrefix(err, "NOSCRIPT") {
		command[0], command[1] = "eval", s.text
		cmd, err = process(command)
	}
	return cmd, err
}

// andWait sends the script and, behind it on the same connection, a WAIT:
// Redis counts the replicas that have what this connection wrote.
func (d *Driver) andWait(ctx context.Context, node *goredis.Client, cmd once) error {
	wait := goredis.NewIntCmd(ctx, "wait", d.replica, d.wait.Milliseconds())
	pipe := node.Pipeline()
	_ = pipe.Process(ctx, cmd) // is only noted down
	_ = pipe.Process(ctx, wait)
	_, _ = pipe.Exec(ctx) // each command holds its own error
	if err := cmd.Err(); err != nil {
		d.moved(ctx, err)
		return err
	}
	if cmd.Val() == int64(0) {
		return nil // nothing was written that could be waited for
	}
	reached, err := wait.Result()
	if err != nil {
		return fmt.Errorf("WAIT: %w", err)
	}
	if reached < int64(d.replica) {
		return fmt.Errorf("the change reached %d replicas of %d", reached, d.replica)
	}
	return nil
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

// touch says to a script whether it must write even where nothing changes,
// because replication is waited for.
func (d *Driver) touch() string {
	if d.replica > 0 {
		return "1"
	}
	return "0"
}
