package etcd

import (
	"context"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// listMost bounds how many slots one page reads: their values come along.
const listMost = 1000

// List implements cache.Driver. Pages follow the order of the keys, and next
// is the last key that the page before looked at. A slot that is damaged is
// present: whoever reads it is told.
func (d *Driver) List(ctx context.Context, next string, most int) (slots []string, following string, err error) {
	from := d.slots()
	if next != "" {
		from = d.key(next) + "\x00"
	}
	err = d.call(ctx, "list", func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(d.slots())), clientv3.WithLimit(int64(min(max(1, most), listMost))))
		if err != nil {
			return err
		}
		for _, kv := range got.Kvs {
			slot := strings.TrimPrefix(string(kv.Key), d.slots())
			if r, err := d.live([]*mvccpb.KeyValue{kv}); err != nil || len(r.Fields) > 0 {
				slots = append(slots, slot)
			}
			if got.More {
				following = slot
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return slots, following, nil
}
