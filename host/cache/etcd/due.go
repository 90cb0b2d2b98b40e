package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/authhost/authhost/host/cache"
)

// A member of a due-list is two keys that change together: where it stands,
// under its name, and an empty one under the moment when it is given out next,
// in whose order the list is read.

// leaseAtOnce is how many members are given out in one transaction: three
// operations each, of 128 that a server allows.
const leaseAtOnce = 40

func (d *Driver) standing(list int, member string) string {
	return fmt.Sprintf("%sdue/%02d/member/%s", d.o.Prefix, list, member)
}

func (d *Driver) agenda(list int) string { return fmt.Sprintf("%sdue/%02d/moment/", d.o.Prefix, list) }

func (d *Driver) turn(list int, moment int64, member string) string {
	return d.agenda(list) + string(binary.BigEndian.AppendUint64(nil, uint64(moment))) + member
}

func encodeDue(m cache.Due) string {
	return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(m.At)), uint64(m.Until)))
}

func decodeDue(kvs []*mvccpb.KeyValue) (cache.Due, error) {
	if len(kvs) == 0 {
		return cache.Due{}, nil
	}
	v := kvs[0].Value
	if len(v) != 16 {
		return cache.Due{}, errors.New("a member is damaged")
	}
	return cache.Due{At: int64(binary.BigEndian.Uint64(v)), Until: int64(binary.BigEndian.Uint64(v[8:]))}, nil
}

// PutDue implements cache.Driver.
func (d *Driver) PutDue(ctx context.Context, list int, member string, at time.Time) error {
	if err := cache.CheckDue(list, member); err != nil {
		return err
	}
	return d.move(ctx, list, member, cache.Due{}, func(m cache.Due) cache.Due { return m.Put(cache.DueMillis(at)) })
}

// DropDue implements cache.Driver.
func (d *Driver) DropDue(ctx context.Context, list int, member string, until time.Time) error {
	if err := cache.CheckDue(list, member); err != nil {
		return err
	}
	given := cache.DueMillis(until)
	return d.move(ctx, list, member, cache.Due{Until: given}, func(m cache.Due) cache.Due { return m.Drop(given) })
}

// move moves a member from where it stands. It is taken to stand at guess,
// until the server says otherwise.
func (d *Driver) move(ctx context.Context, list int, member string, guess cache.Due, change func(cache.Due) cache.Due) error {
	return d.call(ctx, "due-list", func(ctx context.Context, c *clientv3.Client) error {
		key := d.standing(list, member)
		for attempt, from := 0, guess; ; attempt++ {
			to := change(from)
			if to == from {
				return nil
			}
			is := clientv3.Compare(clientv3.Value(key), "=", encodeDue(from))
			if from == (cache.Due{}) {
				is = clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
			}
			done, err := c.Txn(ctx).If(is).Then(d.moving(list, member, from, to)...).Else(clientv3.OpGet(key)).Commit()
			if err != nil || done.Succeeded {
				return err
			}
			stands := done.Responses[0].GetResponseRange().Kvs
			if attempt > 0 {
				if err := pause(ctx, attempt); err != nil {
					return err
				}
				got, err := c.Get(ctx, key) // anew: who waits falls behind
				if err != nil {
					return err
				}
				stands = got.Kvs
			}
			if from, err = decodeDue(stands); err != nil {
				return err
			}
		}
	})
}

// moving is what changes when a member moves; the zero Due is off the list.
func (d *Driver) moving(list int, member string, from, to cache.Due) (ops []clientv3.Op) {
	key, off := d.standing(list, member), cache.Due{}
	if to == off {
		ops = append(ops, clientv3.OpDelete(key))
	} else {
		ops = append(ops, clientv3.OpPut(key, encodeDue(to)))
	}
	if to.Moment() == from.Moment() {
		return ops
	}
	if from != off {
		ops = append(ops, clientv3.OpDelete(d.turn(list, from.Moment(), member)))
	}
	if to != off {
		ops = append(ops, clientv3.OpPut(d.turn(list, to.Moment(), member), ""))
	}
	return ops
}

// LeaseDue implements cache.Driver.
func (d *Driver) LeaseDue(ctx context.Context, list int, now, until time.Time, most int) (members []string, err error) {
	if err := cache.CheckLease(list, now, until); err != nil {
		return nil, err
	}
	err = d.call(ctx, "due-list", func(ctx context.Context, c *clientv3.Client) error {
		for attempt := 0; ; attempt++ {
			due, err := c.Get(ctx, d.agenda(list), clientv3.WithRange(d.turn(list, cache.DueMillis(now)+1, "")), clientv3.WithLimit(int64(max(1, most))))
			if err != nil || len(due.Kvs) == 0 {
				return err
			}
			members, err = d.giveOut(ctx, c, list, due.Kvs, cache.DueMillis(until))
			if len(members) > 0 {
				return nil // those are given out, whatever became of the rest
			}
			if err != nil {
				return err
			}
			if err := pause(ctx, attempt); err != nil { // others were faster
				return err
			}
		}
	})
	return members, err
}

// giveOut gives out those that still stand where they were read, or leaves
// them to whoever was faster: that one has some, so this goes on.
func (d *Driver) giveOut(ctx context.Context, c *clientv3.Client, list int, turns []*mvccpb.KeyValue, until int64) (given []string, err error) {
	for some := range slices.Chunk(turns, leaseAtOnce) {
		members, err := d.giveOutTogether(ctx, c, list, some, until)
		if err != nil {
			return given, err
		}
		given = append(given, members...)
	}
	return given, nil
}

// giveOutTogether gives out all or, as somebody else was faster, none.
func (d *Driver) giveOutTogether(ctx context.Context, c *clientv3.Client, list int, turns []*mvccpb.KeyValue, until int64) (members []string, err error) {
	var still []clientv3.Cmp
	var ops []clientv3.Op
	for _, kv := range turns {
		key := string(kv.Key)
		head := len(d.agenda(list)) + 8
		if len(key) <= head {
			return nil, errors.New("a due-list is damaged")
		}
		member := key[head:]
		still = append(still, clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision))
		ops = append(ops, clientv3.OpDelete(key), clientv3.OpPut(d.turn(list, until, member), ""),
			clientv3.OpPut(d.standing(list, member), encodeDue(cache.Due{Until: until})))
		members = append(members, member)
	}
	done, err := c.Txn(ctx).If(still...).Then(ops...).Commit()
	if err != nil || !done.Succeeded {
		return nil, err
	}
	return members, nil
}

// dueMost is how many members one page of ListDue holds.
const dueMost = 256

// ListDue implements cache.DueLister. next is the last key of the page before,
// behind what all keys of the list begin with.
func (d *Driver) ListDue(ctx context.Context, list int, next string) (members []cache.DueMember, following string, err error) {
	if err := cache.CheckList(list); err != nil {
		return nil, "", err
	}
	agenda := d.agenda(list)
	from := agenda
	if next != "" {
		from += next + "\x00"
	}
	err = d.call(ctx, "due-list", func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(agenda)), clientv3.WithLimit(dueMost), clientv3.WithKeysOnly())
		if err != nil {
			return err
		}
		for _, kv := range got.Kvs {
			turn := kv.Key[len(agenda):]
			if len(turn) <= 8 {
				return errors.New("a due-list is damaged")
			}
			at := time.UnixMilli(int64(binary.BigEndian.Uint64(turn)))
			members = append(members, cache.DueMember{Name: string(turn[8:]), At: at})
			if got.More {
				following = string(turn)
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return members, following, nil
}
