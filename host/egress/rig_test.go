package egress_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/authhost/authhost/host/egress"
	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers for one zone on a loopback port.
type nameServer struct {
	mu      sync.Mutex
	answers map[string][][]string // the addresses of each answer, the last for good
	asked   map[string]int
}

// startNames returns a resolver that asks a name server of the test, by DNS.
func startNames(t *testing.T, answers map[string][][]string) (*nameServer, *net.Resolver) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{answers: answers, asked: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer, err := s.answer(packet[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return s, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *nameServer) answer(packet []byte) ([]byte, error) {
	var p dnsmessage.Parser
	head, err := p.Start(packet)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	for _, text := range s.take(strings.TrimSuffix(q.Name.String(), "."), q.Type) {
		a := netip.MustParseAddr(text)
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return reply.Pack()
}

// take counts a question for IPv4, and gives the answer whose turn it is.
func (s *nameServer) take(name string, kind dnsmessage.Type) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	turns := s.answers[name]
	if len(turns) == 0 {
		return nil
	}
	at := min(s.asked[name], len(turns)-1)
	if kind == dnsmessage.TypeA {
		s.asked[name]++
	}
	return turns[at]
}

func (s *nameServer) questions(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

// target is a server that must not be reached, or must.
type target struct {
	*httptest.Server
	port string
	hits atomic.Int64
}

func startTarget(t *testing.T, address string, h http.HandlerFunc) *target {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &target{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		if h != nil {
			h(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener.Close()
	s.Listener = l
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	t.Cleanup(s.Close)
	return s
}

func newClient(t *testing.T, o egress.Options) *egress.Client {
	c := egress.New(o)
	t.Cleanup(c.Close)
	return c
}

func get(url string) egress.Request { return egress.Request{Method: "GET", URL: url} }

// word is the one that a call came to, "" for an answer.
func word(t *testing.T, err error) egress.Word {
	t.Helper()
	e, ok := errors.AsType[*egress.Error](err)
	if err != nil && !ok {
		t.Fatalf("%v is no *egress.Error", err)
	}
	if err == nil {
		return ""
	}
	return e.Word
}
