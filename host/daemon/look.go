package daemon

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/plugin"
)

// lookedAt is a plugin's keys to whoever only explains: it finds what is there,
// and is told what a change would come to, which is not made. How many keys may
// live is not looked at.
type lookedAt struct{ plugin.KV }

// Set implements plugin.KV.
func (l lookedAt) Set(ctx context.Context, key string, old, _ []byte, force bool, _ time.Duration) (bool, error) {
	value, there, err := l.Get(ctx, key)
	return err == nil && (force || there == (old != nil) && bytes.Equal(value, old)), err
}

// Add implements plugin.KV.
func (l lookedAt) Add(ctx context.Context, key string, delta int64, _ time.Duration) (int64, bool, error) {
	value, there, err := l.Get(ctx, key)
	if err != nil {
		return 0, false, err
	}
	if !there {
		value = nil
	}
	sum, _, wrong := cache.Sum(value, delta)
	return sum, wrong == nil, nil
}

// attributesLookedAt is what sessions remember to whoever only explains.
type attributesLookedAt struct{ plugin.Sessions }

// ChangeAttributes implements plugin.Sessions.
func (a attributesLookedAt) ChangeAttributes(ctx context.Context, realm, userID, sessionID string, change func(map[string]string) error) error {
	all, err := a.Attributes(ctx, realm, userID, sessionID)
	if err != nil {
		return err
	}
	return change(maps.Clone(all))
}

// outwardLookedAt sends for whoever only explains what asks and changes nothing.
type outwardLookedAt struct{ plugin.Fetcher }

// Fetch implements plugin.Fetcher.
func (o outwardLookedAt) Fetch(ctx context.Context, r host.Fetch) host.Fetched {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return host.Fetched{Failure: host.FetchRefused, Cause: errors.New(r.Method + " is not sent for an explanation")}
	}
	return o.Fetcher.Fetch(ctx, r)
}
