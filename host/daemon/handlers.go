package daemon

import (
	"context"
	"net/http"
	"strings"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/audit"
	"github.com/authhost/authhost/host/edge"
	"github.com/authhost/authhost/host/login"
)

// endpoint is one listener to be opened.
type endpoint struct {
	name, addr string
	server     *http.Server
}

// handlers returns what is served where.
func (d *Daemon) handlers() []endpoint {
	c := d.current.config
	list := []endpoint{
		{"public", c.Listen.Public, edge.NewServer(d.edge.Public(d.ownHandler()), d.log)},
		{"admin", c.Listen.Admin, edge.NewServer(d.edge.Own("", d.admin.Admin), d.log)},
		{"telemetry", c.Listen.Telemetry, edge.NewServer(d.telemetryHandler(), d.log)},
	}
	if c.Listen.Proxy == "" {
		return list
	}
	return append(list, endpoint{"proxy", c.Listen.Proxy, edge.NewStreamServer(d.edge.Proxy(), d.log)})
}

// ownHandler is what the public listener serves beside forward-auth. It is no
// http.ServeMux, which would lead other spellings of a path to an endpoint by
// a redirect that nobody records.
func (d *Daemon) ownHandler() http.Handler {
	people := d.edge.Own("", d.admin.Public)
	endpoints := map[string]http.Handler{
		"/v1/login":      d.edge.Own("/v1/login", d.login.Login),
		"/v1/logout":     d.edge.Own("/v1/logout", d.login.Logout),
		"/v1/refresh":    d.edge.Own("/v1/refresh", d.login.Refresh),
		"/v1/me":         people,
		"/v1/introspect": people,
	}
	none := d.edge.Own("", func(w http.ResponseWriter, _ *http.Request) {
		edge.Fail(w, &host.Error{Kind: host.NotFound, Public: "no such endpoint"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := endpoints[r.URL.Path]
		switch {
		case ok:
		case strings.HasPrefix(r.URL.Path, "/v1/me/"):
			h = people
		default:
			h = none
		}
		h.ServeHTTP(w, r)
	})
}

// visit finds the realm of a request to one of our own endpoints, by the
// snapshot that it holds until it is released.
func (d *Daemon) visit(r *http.Request) (login.Visit, error) {
	serving, snapshot := d.hold()
	request, err := edge.SelfRequest(r, snapshot)
	if err != nil {
		snapshot.Release()
		return login.Visit{}, err
	}
	realm := snapshot.RealmFor(request.Host)
	if realm == nil {
		snapshot.Release()
		return login.Visit{}, &host.Error{Kind: host.BadRequest, Public: "unknown_host"}
	}
	event := edge.EventOf(r)
	event.Realm, event.Request = realm.Name, request
	return login.Visit{Request: request, Realm: serving.realms[realm.Name].login, Plugins: realm.Plugins, Event: event, Release: snapshot.Release}, nil
}

func (d *Daemon) telemetryHandler() http.Handler {
	return d.audit.Handler(audit.Telemetry{Checks: []audit.Check{
		{Name: "cache", Ask: d.store.ready},
		{Name: "key sets", Ask: func(ctx context.Context) error { return d.serving.Load().keySetsReady(ctx) }},
	}})
}
