package e2e

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// hearing is what becomes of the messages that tell of changes.
type hearing string

const (
	heard   hearing = "heard"
	muted   hearing = "muted"   // subscriptions live, but nothing is told
	refused hearing = "refused" // whoever subscribes loses the connection
)

// redisGate stands between authhost and Redis.
type redisGate struct {
	addr, to   string
	hearing    hearing
	subscribed atomic.Int64 // how often somebody tried
	swallowed  atomic.Int64 // messages

	// answered, when set, is told of each answer before it is passed on, and
	// of what was asked.
	answered atomic.Pointer[func(asked []byte)]
}

func newRedisGate(t testing.TB, to string, h hearing) *redisGate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &redisGate{addr: l.Addr().String(), to: to, hearing: h}
	var open sync.Map
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			all.Go(func() { g.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		all.Wait()
	})
	return g
}

// pass carries one connection, the client's commands as they come and the
// server's answers one by one.
func (g *redisGate) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer server.Close()
	var mu sync.Mutex
	var asked []byte // since the answer before
	go func() {
		defer server.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if bytes.Contains(bytes.ToLower(buf[:n]), []byte("subscribe\r\n")) {
				g.subscribed.Add(1)
				if g.hearing == refused {
					client.Close()
					return
				}
			}
			mu.Lock()
			asked = append(asked, buf[:n]...)
			mu.Unlock()
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	answers := bufio.NewReader(server)
	for {
		answer, err := readAnswer(answers)
		if err != nil {
			return
		}
		if g.hearing != heard && bytes.HasPrefix(answer, []byte("*3\r\n$7\r\nmessage\r\n")) {
			g.swallowed.Add(1)
			continue
		}
		mu.Lock()
		question := asked
		asked = nil
		mu.Unlock()
		if f := g.answered.Load(); f != nil {
			(*f)(question)
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

// readAnswer reads one whole answer of Redis (RESP2).
func readAnswer(r *bufio.Reader) ([]byte, error) {
	answer, err := r.ReadBytes('\n')
	if err != nil || len(answer) < 3 {
		return answer, err
	}
	n, _ := strconv.Atoi(string(answer[1 : len(answer)-2]))
	switch answer[0] {
	case '$':
		if n >= 0 {
			body := make([]byte, n+2)
			_, err = io.ReadFull(r, body)
			answer = append(answer, body...)
		}
	case '*':
		for range n {
			var part []byte
			if part, err = readAnswer(r); err != nil {
				break
			}
			answer = append(answer, part...)
		}
	}
	return answer, err
}

// etcdGate stands before etcd. Its watches live and tell of nothing.
type etcdGate struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedWatchServer
	kv      pb.KVClient
	lease   pb.LeaseClient
	watches atomic.Int64

	// put, when set, is told of each key that a transaction wrote, before that
	// is acknowledged.
	put atomic.Pointer[func(key string)]
}

func newEtcdGate(t testing.TB, to string) (g *etcdGate, addr string) {
	t.Helper()
	conn, err := grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g = &etcdGate{kv: pb.NewKVClient(conn), lease: pb.NewLeaseClient(conn)}
	server := grpc.NewServer()
	pb.RegisterKVServer(server, g)
	pb.RegisterLeaseServer(server, g)
	pb.RegisterWatchServer(server, g)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); conn.Close() })
	return g, l.Addr().String()
}

func (g *etcdGate) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	return g.kv.Range(ctx, r)
}

func (g *etcdGate) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	answer, err := g.kv.Txn(ctx, r)
	if f := g.put.Load(); f != nil && answer.GetSucceeded() {
		for _, op := range r.Success {
			(*f)(string(op.GetRequestPut().GetKey()))
		}
	}
	return answer, err
}

func (g *etcdGate) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return g.lease.LeaseGrant(ctx, r)
}

// Watch answers whatever is asked as if nothing were ever changed.
func (g *etcdGate) Watch(stream grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		created := r.GetCreateRequest() != nil
		if created {
			g.watches.Add(1)
		}
		if err := stream.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{}, Created: created}); err != nil {
			return err
		}
	}
}
