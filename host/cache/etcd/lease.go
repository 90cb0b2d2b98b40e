package etcd

import (
	"context"
	"math"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// slack is how much longer than its slots a lease lasts at least: replicas'
	// clocks may differ by that much.
	slack = 10 * time.Minute
	// leaseSlots is how many slots share a lease: what ends together is removed
	// together, in one transaction of the server.
	leaseSlots = 1000
)

// lease is one of the server's leases, which removes the slots that are on it
// when it ends. It is never kept alive and never ended early.
type lease struct {
	id    clientv3.LeaseID
	ends  time.Time // at the earliest; by the system's clock, as the server's
	slots int       // that were put on it
}

// leases are those that may still take slots. They are few: each takes slots
// that have between four fifths and all of its time left.
type leases struct {
	lock chan struct{}
	open []*lease
}

func newLeases() leases { return leases{lock: make(chan struct{}, 1)} }

// take returns a lease for a slot that has so much time left.
func (l *leases) take(ctx context.Context, c *clientv3.Client, left time.Duration) (*lease, error) {
	select {
	case l.lock <- struct{}{}:
		defer func() { <-l.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now, need := time.Now(), left+slack
	l.open = slices.DeleteFunc(l.open, func(x *lease) bool { return x.slots >= leaseSlots || x.ends.Sub(now) < slack })
	for _, x := range l.open {
		if rest := x.ends.Sub(now); rest >= need && rest <= need+need/4 {
			x.slots++
			return x, nil
		}
	}
	seconds := min(int64(math.Ceil((need + need/5).Seconds())), clientv3.MaxLeaseTTL)
	granted, err := c.Grant(ctx, seconds)
	if err != nil {
		return nil, err
	}
	x := &lease{id: granted.ID, ends: now.Add(time.Duration(seconds) * time.Second), slots: 1}
	l.open = append(l.open, x)
	return x, nil
}

// drop forgets a lease that the server does not know.
func (l *leases) drop(x *lease) {
	l.lock <- struct{}{}
	defer func() { <-l.lock }()
	l.open = slices.DeleteFunc(l.open, func(y *lease) bool { return x == y })
}
