package daemon

import (
	"slices"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/notify"
	"github.com/authhost/authhost/host/plugin/rollout"
)

// told is who is told of the ends of access in one realm.
type told struct {
	realm   string
	plugins []notify.Plugin
	wanted  bool // one of them has on_logout
}

// toldOf returns who is told, by what the ids of each realm's users begin with.
func (a *assembly) toldOf() map[string]told {
	all := make(map[string]told, len(a.config.Realms))
	for _, r := range a.config.Realms {
		t := told{realm: r.Name}
		for _, name := range r.Plugins {
			v := a.plugins[name].Version
			p := notify.Plugin{Name: name, Notifier: v.Host().Notifier}
			if sender := v.Sender(); sender != nil {
				p.Sender = sender
			}
			t.wanted = t.wanted || p.Notifier != nil
			t.plugins = append(t.plugins, p)
		}
		all[host.UserIDsBegin(r.Name)] = t
	}
	return all
}

// toldBy returns who is told of a user's ends.
func (a *assembly) toldBy(userID string) told {
	if a == nil {
		return told{}
	}
	return a.told[userID[:min(len(userID), userIDsBegin)]]
}

var userIDsBegin = len(host.UserIDsBegin(""))

// newTeller returns who tells of ends of access.
func (d *Daemon) newTeller() (*notify.Teller, error) {
	return notify.New(notify.Options{
		Wants: func(userID string) bool { return d.serving.Load().toldBy(userID).wanted },
		Open: func(userID string) (string, []notify.Plugin, func()) {
			serving, snapshot := d.hold()
			t := serving.toldBy(userID)
			return t.realm, t.plugins, snapshot.Release
		},
		Metrics: d.audit, Now: d.now, Logger: d.log,
	})
}

// askedOf says when a configuration has a plugin asked.
func askedOf(c *config.Config, name string) (a rollout.Asked) {
	for _, r := range c.Routes {
		a.Routes = a.Routes || slices.Contains(r.Plugins, name)
	}
	for _, r := range c.Realms {
		a.Realms = a.Realms || slices.Contains(r.Plugins, name)
	}
	return a
}
