package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// clientEnv tells the test binary to be the client of a benchmark: to send the
// request on its standard input to this address, and to print the rate.
const clientEnv = "AUTHHOST_E2E_CLIENT"

func runClient(addr string) {
	request, err := io.ReadAll(os.Stdin)
	if err == nil {
		var rate float64
		rate, err = poll(addr, request, benchConnections, benchTime)
		fmt.Print(rate)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// poll sends one request again and again over several connections for
// a while and returns how many were answered 200, per second. Any other answer
// is an error.
//
// It never sleeps: it asks each connection in turn whether there is something
// to read. A client that waits must be woken for every answer, which costs the
// server more than many an answer, and only the slower of two servers pays it.
func poll(addr string, request []byte, connections int, d time.Duration) (float64, error) {
	conns := make([]*polled, connections)
	for i := range conns {
		c, err := dialPolled(addr)
		if err != nil {
			return 0, err
		}
		defer syscall.Close(c.fd)
		conns[i] = c
	}
	answers := 0
	begin := time.Now()
	for time.Since(begin) < d {
		syscall.Syscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) // should a store that the server asks share the core
		for _, c := range conns {
			done, err := c.step(request)
			if err != nil {
				return 0, err
			}
			if done {
				answers++
			}
		}
	}
	return float64(answers) / time.Since(begin).Seconds(), nil
}

// polled is a connection that has a request under way.
type polled struct {
	fd      int
	waiting bool
	n       int // bytes of the answer so far
	buf     [8 << 10]byte
}

func dialPolled(addr string) (*polled, error) {
	to, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	dest := syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}
	err = errors.Join(syscall.Connect(fd, &dest), syscall.SetNonblock(fd, true),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1))
	return &polled{fd: fd}, err
}

// step sends the request or looks for its answer, which has no body.
func (c *polled) step(request []byte) (done bool, err error) {
	if !c.waiting {
		c.waiting, c.n = true, 0
		if n, err := syscall.Write(c.fd, request); n != len(request) {
			return false, fmt.Errorf("sent %d bytes: %w", n, err)
		}
		return false, nil
	}
	n, err := syscall.Read(c.fd, c.buf[c.n:])
	if err == syscall.EAGAIN {
		return false, nil
	}
	if n <= 0 {
		return false, fmt.Errorf("connection ended: %w", err)
	}
	c.n += n
	if !bytes.HasSuffix(c.buf[:c.n], []byte("\r\n\r\n")) {
		return false, nil
	}
	if !bytes.HasPrefix(c.buf[:c.n], []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("answer: %s", c.buf[:c.n])
	}
	c.waiting = false
	return true, nil
}
