package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/audit"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/cache/redis"
	"github.com/authhost/authhost/host/config"
)

// store is the one shared cache of the process, with what it needs beside the
// driver contract.
type store struct {
	cache.Driver
	run      func(ctx context.Context) error // sweeps; nil if there is nothing to do
	evicting func(ctx context.Context) (bool, error)
	remote   bool // reads cross a network
}

// openStore opens the configured driver. A cache that is away is no error.
func openStore(c *config.Config, d *Daemon) (*store, error) {
	switch c.Cache.Driver {
	case config.DriverMemory:
		return &store{Driver: memory.New(d.now)}, nil
	case config.DriverFile:
		s, err := file.Open(file.Options{Dir: c.Cache.File.Dir, Now: d.now, Logger: d.log})
		if err != nil {
			return nil, c.Problem("cache.file.dir", err)
		}
		return &store{Driver: s, run: s.Run}, nil
	case config.DriverRedis:
		password, err := readPassword(c, "cache.redis.password_file", c.Cache.Redis.PasswordFile)
		if err != nil {
			return nil, err
		}
		redis.LogTo(d.log)
		s, err := redis.New(redis.Options{
			Addrs: c.Cache.Redis.Addrs, Username: c.Cache.Redis.Username, Password: password, DB: c.Cache.Redis.DB, TLS: c.Cache.Redis.TLS,
			MasterName: c.Cache.Redis.MasterName, Cluster: c.Cache.Redis.Cluster, WaitReplicas: c.Cache.Redis.WaitReplicas,
		})
		if err != nil {
			return nil, c.Problem("cache.redis", err)
		}
		return &store{Driver: s, evicting: s.Evicting, remote: true}, nil
	case config.DriverEtcd:
		return openEtcd(c, d)
	}
	return nil, c.Problem("cache.driver", fmt.Errorf("%s is not known", c.Cache.Driver))
}

// readPassword reads the password file that key names; empty without one.
func readPassword(c *config.Config, key, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	secret, err := config.ReadSecret(file)
	return string(secret), c.Problem(key, err)
}

// ready is the readiness check of the cache. One that may evict answers, but
// can lose a logout: it is not ready, and says so.
func (s *store) ready(ctx context.Context) error {
	if err := s.Ping(ctx); err != nil {
		return &host.Error{Kind: host.Unavailable, Public: "does not answer", Cause: err}
	}
	if s.evicting == nil {
		return nil
	}
	evicting, err := s.evicting(ctx)
	if err != nil {
		return &host.Error{Kind: host.Unavailable, Public: "does not say whether it evicts", Cause: err}
	}
	if evicting {
		return host.Errorf(host.Unavailable, "may evict: set maxmemory-policy noeviction", "sessions and logouts can be lost")
	}
	return nil
}

// counted tells the audit of every operation.
type counted struct {
	cache.Driver
	audit *audit.Audit
}

func (c counted) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	start := time.Now()
	v, err := c.Driver.Get(ctx, slot, fields...)
	c.audit.CacheOp("get", time.Since(start), err)
	return v, err
}

func (c counted) All(ctx context.Context, slot string) (map[string][]byte, error) {
	start := time.Now()
	v, err := c.Driver.All(ctx, slot)
	c.audit.CacheOp("all", time.Since(start), err)
	return v, err
}

func (c counted) Change(ctx context.Context, slot string, change cache.Change) (bool, error) {
	start := time.Now()
	ok, err := c.Driver.Change(ctx, slot, change)
	c.audit.CacheOp("change", time.Since(start), err)
	return ok, err
}

func (c counted) Add(ctx context.Context, slot, field string, delta int64, expires time.Time) (int64, error) {
	start := time.Now()
	n, err := c.Driver.Add(ctx, slot, field, delta, expires)
	c.audit.CacheOp("add", time.Since(start), err)
	return n, err
}
