package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// beat is how often a quiet watch is asked whether it lives, and how long it
// has to answer.
const beat = 3 * time.Second

// Watch implements cache.Driver. It holds one stream, with one member that
// knows a leader. The client library's own watch is not used: it would hide
// that the stream was interrupted. A slot that a lease removes is told too.
func (d *Driver) Watch(ctx context.Context, ready func(), changed func(slot string)) error {
	return fmt.Errorf("cache etcd: watch: %w", d.watch(ctx, ready, changed))
}

func (d *Driver) watch(ctx context.Context, ready func(), changed func(slot string)) error {
	client, err := d.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	defer cancel(nil)
	stream, err := pb.NewWatchClient(client.ActiveConnection()).Watch(ctx, grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		if errors.Is(err, errForgotten) {
			d.forget(client)
		}
		return err
	}
	all := &pb.WatchCreateRequest{Key: []byte(d.slots()), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(d.slots()))}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: all}}); err != nil {
		return err
	}
	var heard atomic.Int64
	go keepAsking(ctx, stream, &heard, cancel)
	for {
		said, err := stream.Recv()
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		heard.Add(1)
		switch {
		case said.Canceled || said.CompactRevision != 0:
			return fmt.Errorf("the server ended it: %s", said.CancelReason)
		case said.Created:
			ready()
		}
		for _, event := range said.Events {
			changed(strings.TrimPrefix(string(event.Kv.Key), d.slots()))
		}
	}
}

// keepAsking ends a watch on which nothing is heard for a beat after it was
// asked.
func keepAsking(ctx context.Context, stream pb.Watch_WatchClient, heard *atomic.Int64, end context.CancelCauseFunc) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for before := heard.Load(); ; {
		if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}); err != nil {
			end(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := heard.Load()
		if now == before {
			end(errors.New("nothing is heard of the server"))
			return
		}
		before = now
	}
}
