package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// Change implements cache.Driver.
func (d *Driver) Change(ctx context.Context, slot string, c cache.Change) (bool, error) {
	if err := c.Check(slot); err != nil {
		return false, err
	}
	cmd, err := d.write(ctx, changeScript, []string{d.key(slot)}, d.arguments(c)...)
	if err != nil {
		return false, fmt.Errorf("cache redis: change: %w", err)
	}
	n, err := cmd.Int64()
	if err != nil {
		return false, fmt.Errorf("cache redis: change answered: %w", err)
	}
	return n == 1, nil
}

// arguments writes a change as change.lua reads it.
func (d *Driver) arguments(c cache.Change) []any {
	args := make([]any, 0, 6+3*len(c.If)+2*len(c.Put)+len(c.Delete))
	args = append(args, d.channel, milliseconds(c.Expires), d.touch(), len(c.If), len(c.Put), len(c.Delete))
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

func milliseconds(t time.Time) string { return strconv.FormatInt(cache.Millis(t), 10) }

// Add implements cache.Driver.
func (d *Driver) Add(ctx context.Context, slot, field string, delta int64, expires time.Time) (int64, error) {
	if err := cache.CheckAdd(slot, field, expires); err != nil {
		return 0, err
	}
	cmd, err := d.write(ctx, addScript, []string{d.key(slot)}, d.channel, field, delta, milliseconds(expires))
	if err != nil {
		return 0, fmt.Errorf("cache redis: addition: %w", err)
	}
	digits, err := cmd.Text()
	if err != nil {
		return 0, fmt.Errorf("cache redis: addition answered: %w", err)
	}
	sum, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cache redis: addition answered: %w", err)
	}
	return sum, nil
}
