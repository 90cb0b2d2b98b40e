package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// moment is how far a command has come on its way through a gate.
type moment int

const (
	arrived moment = iota // Redis has not seen it
	done                  // Redis has answered, and the host has not heard of it
	told                  // the host was sent the answer
)

// gate stands between a host and Redis. It hands on one command after the
// other and can be shut at any moment of each.
type gate struct {
	addr, to string
	// seen is told of each command at each moment; it may shut the gate.
	seen func(moment, []string)

	mu    sync.Mutex
	conns map[net.Conn]bool
	away  bool
}

func newGate(t testing.TB, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String(), to: to, seen: func(moment, []string) {}, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); g.shut(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { g.serve(c) })
		}
	})
	return g
}

// watch has the gate tell of commands from now on.
func (g *gate) watch(seen func(moment, []string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = seen
}

func (g *gate) tell(m moment, command []string) (open bool) {
	g.mu.Lock()
	seen := g.seen
	g.mu.Unlock()
	seen(m, command)
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.away
}

// shut cuts every connection and takes no new one.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = true
	for c := range g.conns {
		c.Close()
	}
	clear(g.conns)
}

// open takes connections again.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = false
}

// hold closes a connection together with the gate.
func (g *gate) hold(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.away {
		g.conns[c] = true
	}
	return !g.away
}

func (g *gate) serve(client net.Conn) {
	defer client.Close()
	redis, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer redis.Close()
	if !g.hold(client) || !g.hold(redis) {
		return
	}
	in, out := bufio.NewReader(client), bufio.NewReader(redis)
	for {
		var command, reply bytes.Buffer
		words, err := readReply(in, &command)
		if err != nil || !g.tell(arrived, words) {
			return
		}
		if _, err := redis.Write(command.Bytes()); err != nil {
			return
		}
		if _, err := readReply(out, &reply); err != nil || !g.tell(done, words) {
			return
		}
		if _, err := client.Write(reply.Bytes()); err != nil || !g.tell(told, words) {
			return
		}
		if strings.EqualFold(words[0], "subscribe") { // what follows is no answer
			go io.Copy(redis, in)
			io.Copy(client, out)
			return
		}
	}
}

// readReply reads one value of RESP 2, of which a command is one too, and
// keeps its bytes. words are those of the value, or of its elements.
func readReply(r *bufio.Reader, raw *bytes.Buffer) (words []string, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	raw.WriteString(line)
	if len(line) < 3 {
		return nil, fmt.Errorf("not RESP: %q", line)
	}
	kind, text := line[0], strings.TrimSpace(line[1:])
	if kind != '$' && kind != '*' {
		return []string{text}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return []string{""}, err
	}
	if kind == '$' {
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		raw.Write(b)
		return []string{string(b[:n])}, nil
	}
	for range n {
		more, err := readReply(r, raw)
		if err != nil {
			return nil, err
		}
		words = append(words, more...)
	}
	return words, nil
}
