package etcd_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/etcd"
)

// busy is a server on which somebody else changes the slot whenever a
// transaction was answered.
type busy struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	revision, tried atomic.Int64
}

func (b *busy) kvs() []*mvccpb.KeyValue {
	// version 1, until the year 2286, field "x" empty
	value := []byte{0x83, 0x01, 0x1b, 0x00, 0x00, 0x09, 0x18, 0x4e, 0x72, 0xa0, 0x00, 0x82, 0x41, 'x', 0x40}
	return []*mvccpb.KeyValue{{Key: []byte("authhost/slot/slot"), Value: value, ModRevision: b.revision.Load()}}
}

func (b *busy) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Kvs: b.kvs(), Count: 1}, nil
}

func (b *busy) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	defer b.revision.Add(1)
	if b.tried.Add(1) == 1 || r.Compare[0].GetModRevision() != b.revision.Load() {
		answer := &pb.TxnResponse{}
		for range r.Failure {
			answer.Responses = append(answer.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
				ResponseRange: &pb.RangeResponse{Kvs: b.kvs(), Count: 1}}})
		}
		return answer, nil
	}
	return &pb.TxnResponse{Succeeded: true}, nil
}

func (b *busy) LeaseGrant(context.Context, *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{ID: 1}, nil
}

// Who lost to somebody else and waited looks again before trying anew: what was
// there when it lost is old by then, and in a slot that is always being changed
// a logout would never get its turn.
func TestChangeOfABusySlot(t *testing.T) {
	b := new(busy)
	b.revision.Store(7)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	pb.RegisterKVServer(g, b)
	pb.RegisterLeaseServer(g, b)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	d := connect(t, etcd.Options{Endpoints: []string{l.Addr().String()}, Timeout: 5 * time.Second})
	change := cache.Change{Put: []cache.Field{{Name: "h", Value: []byte("new")}}, Expires: time.Now().Add(time.Hour)}
	if applied, err := d.Change(t.Context(), "slot", change); err != nil || !applied || b.tried.Load() != 2 {
		t.Errorf("Change = %v, %v, after %d attempts", applied, err, b.tried.Load())
	}
}
