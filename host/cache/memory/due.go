package memory

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authhost/authhost/host/cache"
)

// PutDue implements cache.Driver.
func (d *Driver) PutDue(ctx context.Context, list int, member string, at time.Time) error {
	if err := cache.CheckDue(list, member); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due[list][member] = d.due[list][member].Put(cache.DueMillis(at))
	return nil
}

// LeaseDue implements cache.Driver.
func (d *Driver) LeaseDue(ctx context.Context, list int, now, until time.Time, most int) (members []string, err error) {
	if err := cache.CheckLease(list, now, until); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	due := d.due[list]
	for member, m := range due {
		if m.Moment() <= cache.DueMillis(now) {
			members = append(members, member)
		}
	}
	slices.SortFunc(members, func(a, b string) int { return int(due[a].Moment() - due[b].Moment()) })
	members = members[:min(len(members), max(1, most))]
	for _, member := range members {
		due[member] = cache.Due{Until: cache.DueMillis(until)}
	}
	return members, nil
}

// DropDue implements cache.Driver.
func (d *Driver) DropDue(ctx context.Context, list int, member string, until time.Time) error {
	if err := cache.CheckDue(list, member); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.due[list][member].Drop(cache.DueMillis(until))
	if left == (cache.Due{}) {
		delete(d.due[list], member)
	} else {
		d.due[list][member] = left
	}
	return nil
}

// ListDue implements cache.DueLister: all of a list on one page.
func (d *Driver) ListDue(ctx context.Context, list int, _ string) (members []cache.DueMember, following string, err error) {
	if err := errors.Join(cache.CheckList(list), ctx.Err()); err != nil {
		return nil, "", err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for member, m := range d.due[list] {
		members = append(members, cache.DueMember{Name: member, At: time.UnixMilli(m.Moment())})
	}
	return members, "", nil
}
