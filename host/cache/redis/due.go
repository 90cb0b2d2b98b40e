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

// dueMost is how many members one page of ListDue holds.
const dueMost = 256

// ListDue implements cache.DueLister. next is how many members were shown.
func (d *Driver) ListDue(ctx context.Context, list int, next string) (members []cache.DueMember, following string, err error) {
	from := 0
	if err = cache.CheckList(list); err == nil && next != "" {
		from, err = strconv.Atoi(next)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cache redis: due-list %d: %w", list, err)
	}
	page, err := d.client.ZRangeWithScores(ctx, d.dueKeys(list)[0], int64(from), int64(from+dueMost-1)).Result()
	if err != nil {
		return nil, "", fmt.Errorf("cache redis: due-list %d: %w", list, err)
	}
	for _, z := range page {
		name, ok := z.Member.(string)
		if !ok {
			return nil, "", fmt.Errorf("cache redis: due-list %d: a member is no text", list)
		}
		members = append(members, cache.DueMember{Name: name, At: time.UnixMilli(int64(z.Score))})
	}
	if len(page) == dueMost {
		following = strconv.Itoa(from + dueMost)
	}
	return members, following, nil
}

// leased is where a member stands whose lease ends at that moment: beside all
// that were put to one.
func leased(until time.Time) string { return strconv.FormatInt(cache.DueMillis(until), 10) + ".5" }
