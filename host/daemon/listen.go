package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// shutdownTime bounds how long requests under way may take to finish.
const shutdownTime = 10 * time.Second

// cutTime bounds how long after that calls of plugins may take to end by
// themselves.
const cutTime = 2 * time.Second

// socket is one open listener and what serves it.
type socket struct {
	name   string
	net    net.Listener
	server *http.Server
}

// listen opens every listener of the configuration, or none.
func (d *Daemon) listen() ([]socket, error) {
	var open []socket
	for _, h := range d.handlers() {
		l, err := d.open(h.addr)
		if err != nil {
			for _, s := range open {
				err = errors.Join(err, s.net.Close())
			}
			return nil, d.current.config.Problem("listen."+h.name, err)
		}
		open = append(open, socket{h.name, l, h.server})
	}
	for _, s := range open {
		d.log.LogAttrs(context.Background(), slog.LevelInfo, "listening", slog.String("name", s.name), slog.String("addr", s.net.Addr().String()))
	}
	return open, nil
}

func addresses(sockets []socket) map[string]string {
	addr := map[string]string{}
	for _, s := range sockets {
		addr[s.name] = s.net.Addr().String()
	}
	return addr
}

// serve answers on every socket until ctx ends or one of them fails.
func (d *Daemon) serve(ctx context.Context, sockets []socket) error {
	failed := make(chan error, len(sockets))
	var all sync.WaitGroup
	for _, s := range sockets {
		all.Go(func() {
			if err := s.server.Serve(s.net); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("listener %s: %w", s.name, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
		d.log.LogAttrs(ctx, slog.LevelInfo, "stopping")
	case err = <-failed:
	}
	until, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	for _, s := range sockets {
		all.Go(func() {
			if s.server.Shutdown(until) != nil {
				// What did not finish in time is cut.
				_ = s.server.Close()
			}
		})
	}
	all.Wait()
	return err
}
