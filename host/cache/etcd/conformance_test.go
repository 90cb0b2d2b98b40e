package etcd_test

import (
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache/cachetest"
	"github.com/authhost/authhost/host/cache/etcd"
)

// The clock is the test's: slots expire by it, and the server's leases, which
// it does not move, are no help.
func TestConformance(t *testing.T) {
	s := serve(t)
	cachetest.Run(t, func(t *testing.T) cachetest.Store {
		clock := cachetest.NewClock(time.Now())
		g := newGate(t, s.addr)
		o := etcd.Options{Endpoints: []string{s.addr}, Prefix: freshPrefix(), Now: clock.Now}
		a := connect(t, o)
		o.Endpoints = []string{g.addr}
		return cachetest.Store{A: a, B: connect(t, o), Now: clock.Now, Pass: clock.Pass, Interrupt: g.cut}
	})
}
