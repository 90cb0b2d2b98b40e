package daemon

import (
	"context"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/kv"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/session"
)

// openKV opens the keys of a plugin: those in the cache, never what is
// remembered of them.
func (d *Daemon) openKV(name string, keys int) (plugin.KV, error) {
	space, err := kv.New(kv.Options{Cache: d.cache, Plugin: name, Keys: keys, Now: d.now})
	if err != nil || !d.looking {
		return space, err
	}
	return lookedAt{space}, nil
}

// attributes returns what sessions remember, for plugins.
func (d *Daemon) attributes() plugin.Sessions {
	if d.looking {
		return attributesLookedAt{attributes{d}}
	}
	return attributes{d}
}

// attributes is what the sessions of all realms remember, for plugins.
type attributes struct{ d *Daemon }

// sessions returns those of a realm that is served now.
func (a attributes) sessions(name string) (*session.Store, error) {
	if serving := a.d.serving.Load(); serving != nil && serving.realms[name] != nil {
		return serving.realms[name].sessions, nil
	}
	return nil, host.Errorf(host.Unavailable, "the realm is not served", "realm %s was removed while a request of it was under way", name)
}

// Attributes implements plugin.Sessions.
func (a attributes) Attributes(ctx context.Context, realm, userID, sessionID string) (map[string]string, error) {
	s, err := a.sessions(realm)
	if err != nil {
		return nil, err
	}
	return s.Attributes(ctx, userID, sessionID)
}

// ChangeAttributes implements plugin.Sessions.
func (a attributes) ChangeAttributes(ctx context.Context, realm, userID, sessionID string, change func(map[string]string) error) error {
	s, err := a.sessions(realm)
	if err != nil {
		return err
	}
	return s.ChangeAttributes(ctx, userID, sessionID, change)
}
