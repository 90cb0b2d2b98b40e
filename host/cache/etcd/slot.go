package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/authhost/authhost/host/cache"
)

func (d *Driver) slots() string          { return d.o.Prefix + "slot/" }
func (d *Driver) key(slot string) string { return d.slots() + slot }

// live reads the record of a slot that has not expired; an empty one if there
// is none.
func (d *Driver) live(kvs []*mvccpb.KeyValue) (*record, error) {
	if len(kvs) == 0 {
		return new(record), nil
	}
	r, err := decode(kvs[0].Value)
	if err != nil {
		return nil, err
	}
	if r.Expires <= d.o.Now().UnixMilli() {
		return new(record), nil
	}
	return r, nil
}

func (d *Driver) read(ctx context.Context, slot string) (r *record, err error) {
	err = d.call(ctx, "get", func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Get(ctx, d.key(slot))
		if err != nil {
			return err
		}
		r, err = d.live(got.Kvs)
		return err
	})
	return r, err
}

// Get implements cache.Driver.
func (d *Driver) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	values := make([][]byte, len(fields))
	if len(fields) == 0 {
		return values, ctx.Err()
	}
	r, err := d.read(ctx, slot)
	if err != nil {
		return nil, err
	}
	for i, name := range fields {
		values[i] = r.Fields.Get(name)
	}
	return values, nil
}

// All implements cache.Driver.
func (d *Driver) All(ctx context.Context, slot string) (map[string][]byte, error) {
	r, err := d.read(ctx, slot)
	if err != nil {
		return nil, err
	}
	return r.Fields.All(), nil
}

// Change implements cache.Driver.
func (d *Driver) Change(ctx context.Context, slot string, c cache.Change) (applied bool, err error) {
	if err := c.Check(slot); err != nil {
		return false, err
	}
	err = d.update(ctx, "change", slot, c.Expires, func(fields map[string][]byte) (wanted, changed bool, err error) {
		applied = c.Holds(fields)
		return applied, applied && c.Apply(fields), nil
	})
	return applied && err == nil, err
}

// Add implements cache.Driver.
func (d *Driver) Add(ctx context.Context, slot, field string, delta int64, expires time.Time) (sum int64, err error) {
	if err := cache.CheckAdd(slot, field, expires); err != nil {
		return 0, err
	}
	err = d.update(ctx, "add", slot, expires, func(fields map[string][]byte) (wanted, changed bool, err error) {
		sum, fields[field], err = cache.Sum(fields[field], delta)
		return true, true, err
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

// update changes a slot as change does with the fields that are there, unless
// it says that it does not want to, until nobody else changed it in between. What it finds was read
// from a majority: where nothing is left to change, that confirms it.
func (d *Driver) update(ctx context.Context, what, slot string, expires time.Time, change func(map[string][]byte) (wanted, changed bool, err error)) error {
	return d.call(ctx, what, func(ctx context.Context, c *clientv3.Client) error {
		key := d.key(slot)
		for attempt := 0; ; attempt++ {
			got, err := c.Get(ctx, key) // anew each time: who waits falls behind
			if err != nil {
				return err
			}
			r, err := d.live(got.Kvs)
			if err != nil {
				return err
			}
			fields := r.Fields.All()
			wanted, changed, err := change(fields)
			until := max(r.Expires, cache.Millis(expires))
			if err != nil || !wanted || !changed && (until == r.Expires || len(fields) == 0) {
				return err
			}
			if done, err := d.put(ctx, c, key, got.Kvs, r.Expires, until, fields); err != nil || done {
				return err
			}
			if err := pause(ctx, attempt); err != nil {
				return err
			}
		}
	})
}

// put writes a slot, or removes it when nothing of it is left, if it is still
// what was read. It is not done if it was not.
func (d *Driver) put(ctx context.Context, c *clientv3.Client, key string, was []*mvccpb.KeyValue, old, until int64, fields map[string][]byte) (done bool, err error) {
	revision := int64(0)
	if len(was) > 0 {
		revision = was[0].ModRevision
	}
	op := clientv3.OpDelete(key)
	left := time.Duration(until-d.o.Now().UnixMilli()) * time.Millisecond
	var on *lease
	if len(fields) > 0 && left > 0 {
		value, err := encode(until, fields)
		if err != nil {
			return false, err
		}
		keep := clientv3.WithIgnoreLease()
		if until != old {
			if on, err = d.leases.take(ctx, c, left); err != nil {
				return false, err
			}
			keep = clientv3.WithLease(on.id)
		}
		op = clientv3.OpPut(key, string(value), keep)
	}
	answer, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(op).Commit()
	if errors.Is(err, rpctypes.ErrLeaseNotFound) && on != nil { // refused as a whole
		d.leases.drop(on)
		return false, nil
	}
	return err == nil && answer.Succeeded, err
}

// pause waits a moment after somebody else was faster, longer each time.
func pause(ctx context.Context, attempt int) error {
	select {
	case <-time.After(rand.N(500 * time.Microsecond << min(attempt, 6))):
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("others kept changing it"), ctx.Err())
	}
}
