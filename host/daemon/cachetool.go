package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/kv"
	"github.com/authhost/authhost/host/session"
)

// Tally is what a cache was found to hold.
type Tally struct {
	session.Tally
	PluginKeys  int   `json:"plugin_keys"`       // that live
	PluginEnded int   `json:"plugin_keys_ended"` // by their deadlines, and still kept
	PluginBytes int64 `json:"plugin_bytes"`      // keys, their count, names and values
}

// SurveyCache examines everything that the configured cache holds, without
// serving, and tells wrong of what cannot be read. See session.Survey.
func SurveyCache(ctx context.Context, o Options, wrong func(key string, err error)) (t Tally, err error) {
	s, _, err := openCache(o)
	if err != nil {
		return t, err
	}
	var plugins kv.Survey
	t.Tally, err = session.Survey(ctx, s.Driver, &plugins, time.Now, wrong)
	kept := plugins.Tally()
	t.PluginKeys, t.PluginEnded, t.PluginBytes = kept.Keys, kept.Ended, kept.Bytes
	return t, errors.Join(err, s.Close())
}

// CopyCache copies what the cache of one configuration holds to that of
// another, and tells refused of whom it left out. What plugins keep stays where
// it is. See session.Copy.
func CopyCache(ctx context.Context, from, to Options, refused func(userID string, err error)) (c session.Copied, err error) {
	source, name, err := openCache(from)
	if err != nil {
		return c, err
	}
	target, same, err := openCache(to)
	if err != nil {
		return c, errors.Join(err, source.Close())
	}
	if name == same {
		err = errors.New("source and target are the same cache")
	} else {
		c, err = session.Copy(ctx, session.CopyOptions{From: source, To: target, Source: name, Now: time.Now, Others: kv.Owns, Refused: refused})
	}
	return c, errors.Join(err, source.Close(), target.Close())
}

// openCache opens the cache that a configuration names, and nothing else of
// it, and returns what to call it: the same for whoever opens the same one.
func openCache(o Options) (s *store, name string, err error) {
	c, err := config.Load(o.ConfigFile, o.Environ)
	if err != nil {
		return nil, "", err
	}
	switch c.Cache.Driver {
	case config.DriverMemory:
		return nil, "", c.Problem("cache.driver", errors.New("a cache in memory is seen by its own process alone"))
	case config.DriverFile:
		// A directory that is not there is a mistake here, not one to make.
		if name, err = filepath.EvalSymlinks(c.Cache.File.Dir); err != nil {
			return nil, "", c.Problem("cache.file.dir", err)
		}
	case config.DriverRedis:
		name = fmt.Sprint(c.Cache.Redis.Addrs, c.Cache.Redis.MasterName, c.Cache.Redis.DB)
	case config.DriverEtcd:
		name = strings.Join(c.Cache.Etcd.Endpoints, ",")
	}
	s, err = openStore(c, &Daemon{now: time.Now, log: slog.New(slog.DiscardHandler)})
	return s, c.Cache.Driver + " " + name, err
}
