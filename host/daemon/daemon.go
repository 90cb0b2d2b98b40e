package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
	"github.com/authhost/authhost/host/audit"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/edge"
	"github.com/authhost/authhost/host/egress"
	"github.com/authhost/authhost/host/login"
	"github.com/authhost/authhost/host/notify"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/rollout"
	"github.com/authhost/authhost/host/session"
)

// ABIVersion is the version of the plugin ABI that this host speaks.
const ABIVersion = abi.Version

// Options say what to run. ConfigFile is required.
type Options struct {
	ConfigFile string
	Environ    []string  // "NAME=value", as os.Environ returns them
	Version    string    // of authhost, for metrics
	Log        io.Writer // takes lines of JSON, several at once; nil: nothing is logged

	// Listen opens a listener's address; nil: net.Listen for TCP.
	Listen func(addr string) (net.Listener, error)
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
	lines     *audit.Spool // what log writes to
	now       func() time.Time
	open      func(addr string) (net.Listener, error)
	listening func(map[string]string)

	store    *store
	cache    cache.Driver // store, counted
	sweeper  *session.Sweeper
	teller   *notify.Teller
	audit    *audit.Audit
	compiled *plugin.Cache
	egress   *egress.Client
	pipeline *host.Pipeline
	edge     *edge.Edge
	login    *login.Handlers
	admin    *admin.Handlers
	tasks    chan func(context.Context) // for the goroutine that builds assemblies
	retired  chan retirement
	stopped  chan struct{} // closed when reloads are answered no more

	drainTime time.Duration

	looking bool // plugins change nothing of what they keep

	// Of the goroutine that builds assemblies: Open, then keepCurrent.
	watcher watcher
	current *assembly
	refused bool // the configuration as it stands in its file

	// serving is current, for those who only read.
	serving atomic.Pointer[assembly]
}

// Open reads the configuration and loads everything that it names, but
// listens nowhere yet. Whoever does not call Run then calls Close.
func Open(ctx context.Context, o Options) (*Daemon, error) { return openTo(ctx, o, false) }

// openTo is Open; looking: plugins change nothing of what they keep.
func openTo(ctx context.Context, o Options, looking bool) (*Daemon, error) {
	lines, log := audit.NewSpool(o.Log), slog.New(slog.DiscardHandler)
	var requests io.Writer
	if o.Log != nil {
		requests, log = lines, slog.New(slog.NewJSONHandler(lines, nil))
	}
	d := &Daemon{
		file: o.ConfigFile, environ: o.Environ, log: log, lines: lines, now: time.Now, open: o.Listen, listening: o.Listening,
		audit:   audit.New(audit.Options{Requests: requests, Logger: log, Version: o.Version, ABI: ABIVersion}),
		tasks:   make(chan func(context.Context)),
		retired: make(chan retirement, 16), drainTime: drainTime,
		stopped: make(chan struct{}),
		watcher: watcher{now: time.Now},
		looking: looking,
	}
	if d.open == nil {
		d.open = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	d.pipeline = host.New(d.now)
	d.edge = edge.New(edge.Options{Pipeline: d.pipeline, Recorder: d.audit, Logger: d.log})
	var err error
	if d.login, err = login.New(login.Options{Open: d.visit, Fail: edge.Fail, NotAllowed: edge.NotAllowed, Now: d.now}); err != nil {
		return nil, err
	}
	if d.admin, err = d.newAdmin(); err != nil {
		return nil, err
	}
	c, err := d.readConfig()
	if err != nil {
		return nil, err
	}
	if d.store, err = openStore(c, d); err != nil {
		return nil, err
	}
	d.cache = counted{d.store, d.audit}
	if d.teller, err = d.newTeller(); err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	if d.sweeper, err = session.NewSweeper(session.SweeperOptions{Cache: d.cache, Teller: d.teller, Now: d.now, Logger: d.log}); err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	d.egress = egress.New(egress.Options{})
	if d.compiled, err = d.openCompileCache(ctx); err != nil {
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

// openCompileCache opens the folder where compiled plugins are kept between
// starts: in the user's cache folder, since what is in it is run as it is.
// Where there is none that can be written, they are compiled at every start.
func (d *Daemon) openCompileCache(ctx context.Context) (*plugin.Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return plugin.NewCache("")
	}
	c, err := plugin.NewCache(filepath.Join(dir, "authhost", "plugins"))
	if err == nil {
		return c, nil
	}
	d.log.LogAttrs(ctx, slog.LevelWarn, "compiled plugins are not kept", slog.Any("reason", err))
	return plugin.NewCache("")
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
	all.Go(func() { d.lines.Run(background) })
	all.Go(func() { d.keepCurrent(background) })
	all.Go(func() { d.drain(background) })
	all.Go(func() { d.sweeper.Run(background) })
	all.Go(func() { d.teller.Run(background, d.sweeper.Outbox()) })
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
	until, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutTime)
	defer cancel()
	idle := make(chan struct{})
	go func() { all.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-until.Done(): // a plugin may still be told of a logout
		<-d.stopped
		d.letGo(until)
		<-idle
	}
	return errors.Join(err, d.Close(until))
}

// Close lets go of plugins, key sets and cache, as soon as calls of plugins
// have ended: by themselves, or cut when ctx ends. It follows Run of itself.
func (d *Daemon) Close(ctx context.Context) error {
	d.letGo(ctx)
	d.egress.Close()
	return errors.Join(d.compiled.Close(), d.store.Close())
}

// letGo closes what is in force and what was retired. No reload is answered any
// more.
func (d *Daemon) letGo(ctx context.Context) {
	for {
		select {
		case r := <-d.retired:
			d.close(ctx, r)
			continue
		default:
		}
		break
	}
	if d.current == nil {
		return
	}
	var all []*rollout.Version
	for _, p := range d.current.plugins {
		all = append(all, p.All()...)
	}
	d.close(ctx, retirement{plugins: all, realms: d.current.realmsMissingFrom(nil), near: d.current.near})
	d.current = nil
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
		v := d.current.plugins[p.Name]
		summary += fmt.Sprintf("plugin %s: sha256 %s, hooks %v\n", p.Name, v.Version.SHA256, v.Version.Hooks)
		for _, name := range []string{rollout.Signature, rollout.Cases} {
			step := v.Attempt.Find(name)
			summary += fmt.Sprintf("plugin %s: %s: %s: %s\n", p.Name, name, step.Outcome, step.Detail)
		}
	}
	summary += fmt.Sprintf("routes: %d\n", len(d.current.config.Routes))
	return summary, d.Close(ctx)
}
