package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/audit"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/edge"
	"github.com/authhost/authhost/host/plugin"
)

// ABIVersion is the version of the plugin ABI that this host speaks.
const ABIVersion = abi.Version

// Options say what to run. ConfigFile and Log are required.
type Options struct {
	ConfigFile string
	Environ    []string // "NAME=value", as os.Environ returns them
	Version    string   // of authhost, for metrics
	Log        *slog.Logger

	// Listening, when set, is told each listener's address by its name, once
	// all of them are open.
	Listening func(addr map[string]string)
}

// Daemon is one running host. Its configuration, plugins and realms change by
// reload; its cache, metrics and listeners live as long as it does.
type Daemon struct {
	file      string
	environ   []string
	log       *slog.Logger
	now       func() time.Time
	listening func(map[string]string)

	store    *store
	cache    cache.Driver // store, counted
	audit    *audit.Audit
	compiled *plugin.Cache
	pipeline *host.Pipeline
	edge     *edge.Edge
	reloads  chan chan error
	retired  chan retirement

	// Of the goroutine that builds assemblies: Open, then keepCurrent.
	watcher watcher
	current *assembly

	// serving is current, for those who only read.
	serving atomic.Pointer[assembly]
}

// Open reads the configuration and loads everything that it names, but
// listens nowhere yet. Whoever does not call Run then calls Close.
func Open(ctx context.Context, o Options) (*Daemon, error) {
	d := &Daemon{
		file: o.ConfigFile, environ: o.Environ, log: o.Log, now: time.Now, listening: o.Listening,
		audit:   audit.New(audit.Options{Logger: o.Log, Version: o.Version, ABI: ABIVersion}),
		reloads: make(chan chan error),
		retired: make(chan retirement, 16),
		watcher: watcher{now: time.Now},
	}
	d.pipeline = host.New(d.now)
	d.edge = edge.New(edge.Options{Pipeline: d.pipeline, Recorder: d.audit, Logger: d.log})
	c, err := d.readConfig()
	if err != nil {
		return nil, err
	}
	if d.store, err = openStore(c, d); err != nil {
		return nil, err
	}
	d.cache = counted{d.store, d.audit}
	if d.compiled, err = plugin.NewCache(compileCacheDir()); err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	first, err := d.assemble(ctx, c, nil)
	if err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	d.watcher.watch(first.files())
	d.adopt(ctx, first)
	return d, nil
}

// compileCacheDir is where compiled plugins are kept between starts: in the
// user's cache folder, since what is in it is run as it is. Without such a
// folder nothing is kept.
func compileCacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "authhost", "plugins")
}

// Run serves until ctx ends, then stops: no new requests, those under way are
// finished, plugins and cache are closed. It is called once.
func (d *Daemon) Run(ctx context.Context) error {
	sockets, err := d.listen()
	if err != nil {
		return errors.Join(err, d.Close(ctx))
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { d.keepCurrent(background) })
	all.Go(func() { d.drain(background) })
	if d.store.run != nil {
		all.Go(func() {
			if err := d.store.run(background); err != nil && background.Err() == nil {
				d.log.LogAttrs(background, slog.LevelError, "the cache is no longer swept", slog.Any("reason", err))
			}
		})
	}
	if d.listening != nil {
		d.listening(addresses(sockets))
	}
	err = d.serve(ctx, sockets)
	stop()
	all.Wait()
	return errors.Join(err, d.Close(context.WithoutCancel(ctx)))
}

// Close lets go of plugins, key sets and cache. It follows Run of itself.
func (d *Daemon) Close(ctx context.Context) error {
	for {
		select {
		case r := <-d.retired:
			closePlugins(ctx, d.log, r.plugins)
			for _, r := range r.realms {
				r.stop()
			}
			continue
		default:
		}
		break
	}
	if d.current != nil {
		closePlugins(ctx, d.log, missingFrom(d.current.plugins, nil))
		for _, r := range d.current.realms {
			r.stop()
		}
	}
	return errors.Join(d.compiled.Close(), d.store.Close())
}

// Check loads everything that the configuration names, as a start would, and
// returns what it found in words.
func Check(ctx context.Context, o Options) (summary string, err error) {
	d, err := Open(ctx, o)
	if err != nil {
		return "", err
	}
	for _, r := range d.current.config.Realms {
		summary += fmt.Sprintf("realm %s: %d issuers, hosts %v\n", r.Name, len(r.Issuers), r.Hosts)
	}
	for _, p := range d.current.config.Plugins {
		l := d.current.plugins[p.Name]
		summary += fmt.Sprintf("plugin %s: sha256 %x, hooks %v\n", p.Name, l.hash, l.version.Hooks())
	}
	summary += fmt.Sprintf("routes: %d\n", len(d.current.config.Routes))
	return summary, d.Close(ctx)
}
