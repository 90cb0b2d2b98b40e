package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// dueKeys names the sorted set of a due-list, and the hash of what its members
// were put to while they were given out. The number is their hash tag.
func (d *Driver) dueKeys(list int) []string {
	key := fmt.Sprintf("%sdue:{%02d}", d.prefix, list)
	return []string{key, key + ":again"}
}

// PutDue implements cache.Driver.
func (d *Driver) PutDue(ctx context.Context, list int, member string, at time.Time) error {
	if err := cache.CheckDue(list, member); err != nil {
		return err
	}
	if _, err := d.write(ctx, duePutScript, d.dueKeys(list), member, cache.DueMillis(at), d.touch()); err != nil {
		return fmt.Errorf("cache redis: due-list %d: put: %w", list, err)
	}
	return nil
}

// LeaseDue implements cache.Driver. A failover may lose the lease: then the
// members are given out twice.
func (d *Driver) LeaseDue(ctx context.Context, list int, now, until time.Time, most int) ([]string, error) {
	if err := cache.CheckLease(list, now, until); err != nil {
		return nil, err
	}
	cmd, err := d.run(ctx, dueLeaseScript, d.dueKeys(list), leased(now), leased(until), max(1, most))
	if err != nil {
		return nil, fmt.Errorf("cache redis: due-list %d: lease: %w", list, err)
	}
	members, err := cmd.StringSlice()
	if err != nil {
		return nil, fmt.Errorf("cache redis: due-list %d: lease answered: %w", list, err)
	}
	return members, nil
}

// DropDue implements cache.Driver. A failover may bring the member back.
func (d *Driver) DropDue(ctx context.Context, list int, member string, until time.Time) error {
	if err := cache.CheckDue(list, member); err != nil {
		return err
	}
	if _, err := d.run(ctx, dueDropScript, d.dueKeys(list), member, leased(until)); err != nil {
		return fmt.Errorf("cache redis: due-list %d: drop: %w", list, err)
	}
	return nil
}

// leased is where a member stands whose lease ends at that moment: beside all
// that were put to one.
func leased(until time.Time) string { return strconv.FormatInt(cache.DueMillis(until), 10) + ".5" }
