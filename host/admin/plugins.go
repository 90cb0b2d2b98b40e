package admin

import (
	"context"
	"log/slog"
	"time"
)

// Plugins are the plugins in force. Errors are *host.Error: Refused with the
// step, Conflict without a previous generation, NotFound for a plugin that
// there is not.
type Plugins interface {
	// List tells of all of them, in the order of the configuration.
	List() []Plugin
	// Reload takes up a plugin's files as they stand; it returns when the new
	// version serves, or why it does not.
	Reload(ctx context.Context, name string) error
	// RollBack puts the previous generation back in force.
	RollBack(ctx context.Context, name string) error
}

// Plugin is one plugin, as it stands.
type Plugin struct {
	Name       string `json:"name"`
	State      string `json:"state"` // serving, refused or rolled_back
	Generation        // that serves
	LastError  string `json:"last_error"` // "step: reason" of the last attempt; empty if it was not refused

	Health   Health      `json:"health"`
	Previous *Generation `json:"previous"` // null: nothing to roll back to
	Last     Attempt     `json:"last_attempt"`
}

// Generation is one version of a plugin.
type Generation struct {
	SHA256   string    `json:"sha256"`
	Version  string    `json:"version"` // that its signature names; empty if none was judged
	Number   int       `json:"generation"`
	LoadedAt time.Time `json:"loaded_at"`
	Hooks    []string  `json:"hooks"`
}

// Health is what the generation that serves is like at the moment.
type Health struct {
	Instances int       `json:"instances"`
	Idle      int       `json:"idle"`   // that wait for a call
	Memory    int64     `json:"memory"` // bytes that they take
	Breakers  []Breaker `json:"breakers"`
}

// Breaker is whether a hook is asked.
type Breaker struct {
	Hook     string `json:"hook"`
	Open     bool   `json:"open"`     // it fails whoever asks, and is not asked for a while
	Failures int    `json:"failures"` // in a row
}

// Attempt is one attempt to take up a plugin's files.
type Attempt struct {
	At      time.Time `json:"at"`
	SHA256  string    `json:"sha256"`
	Version string    `json:"version"`
	Steps   []Step    `json:"steps"`
	Asked   int       `json:"asked"`             // recent decisions that were replayed
	Changed int       `json:"changed"`           // how many of them the new version decides differently
	Changes []Change  `json:"changes,omitempty"` // the first of them; not in lists
}

// Step is one step of an attempt.
type Step struct {
	Name    string  `json:"step"`
	Outcome string  `json:"outcome"` // ok, skipped or refused
	Detail  string  `json:"detail"`  // what was found, or why it was skipped or refused
	Millis  float64 `json:"ms"`
}

// Change is one request that a new version decides differently.
type Change struct {
	Method string   `json:"method"`
	Host   string   `json:"host"`
	Path   string   `json:"path"`
	UserID string   `json:"user_id"` // empty: anonymous
	Roles  []string `json:"roles"`
	Old    Answer   `json:"old"`
	New    Answer   `json:"new"`
}

// Answer is what one version says to a request.
type Answer struct {
	Decision string            `json:"decision"` // allow, deny, abstain or error
	Status   int               `json:"status"`   // 0: the plugin alone does not say
	Reason   string            `json:"reason"`
	Headers  map[string]string `json:"headers,omitempty"`
}

func (x *exchange) listPlugins() error {
	answer := page[Plugin]{Items: x.h.o.Plugins.List()}
	for i := range answer.Items {
		answer.Items[i].Last.Changes = nil
	}
	return x.reply(answer)
}

func (x *exchange) showPlugin() error {
	for _, p := range x.h.o.Plugins.List() {
		if p.Name == x.named.plugin {
			return x.reply(p)
		}
	}
	return noSuchPlugin()
}

func (x *exchange) reloadPlugin() error {
	return x.changePlugin("plugin reload asked for", x.h.o.Plugins.Reload)
}

func (x *exchange) rollBackPlugin() error {
	return x.changePlugin("plugin rollback asked for", x.h.o.Plugins.RollBack)
}

// changePlugin answers with the plugin once what was asked for is done.
func (x *exchange) changePlugin(message string, do func(context.Context, string) error) error {
	x.release() // what was replaced is closed once nobody holds it
	err := do(x.ctx, x.named.plugin)
	x.h.o.Log.LogAttrs(x.ctx, slog.LevelInfo, message, slog.String("plugin", x.named.plugin),
		slog.String("operator", x.grant.by.ID), slog.Bool("applied", err == nil))
	if err != nil {
		return err
	}
	return x.showPlugin()
}
