package daemon

import (
	"fmt"
	"net/http"
	"os"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/edge"
)

// newAdmin returns the endpoints of users, sessions, introspection, plugins and
// configuration.
func (d *Daemon) newAdmin() (*admin.Handlers, error) {
	return admin.New(admin.Options{
		Open:       d.adminVisit,
		EventOf:    edge.EventOf,
		Reload:     d.Reload,
		Plugins:    adminPlugins{d},
		Fail:       edge.Fail,
		NotAllowed: edge.NotAllowed,
		Log:        d.log,
	})
}

// hold takes hold of what serves now, until the snapshot is released.
func (d *Daemon) hold() (*assembly, *host.Snapshot) {
	for {
		serving, snapshot := d.serving.Load(), d.pipeline.Acquire()
		if snapshot == serving.snapshot {
			return serving, snapshot
		}
		snapshot.Release() // a swap is under way
	}
}

// adminVisit reads a request to an endpoint of users or configuration.
func (d *Daemon) adminVisit(r *http.Request) (admin.Visit, error) {
	serving, snapshot := d.hold()
	request, err := edge.SelfRequest(r, snapshot)
	if err != nil {
		snapshot.Release()
		return admin.Visit{}, err
	}
	edge.EventOf(r).Request = request
	v := admin.Visit{Request: request, Operators: serving.operators, Clients: serving.clients, Release: snapshot.Release}
	for _, entry := range serving.config.Realms {
		v.Realms = append(v.Realms, serving.realms[entry.Name].admin)
	}
	if home := snapshot.RealmFor(request.Host); home != nil {
		v.Home = serving.realms[home.Name].admin
	}
	return v, nil
}

// readClients reads the introspection clients' secrets. Those of the
// configuration in force stay as they are: a change of a file reloads the
// configuration.
func (d *Daemon) readClients(c *config.Config, running *assembly) (admin.Clients, error) {
	if c == running.config {
		return running.clients, nil
	}
	var list []admin.Client
	for i, entry := range c.IntrospectionClients {
		// Its hash is taken first: a change in between is seen by the next poll.
		if content, err := os.ReadFile(entry.SecretFile); err == nil {
			d.watcher.applied(entry.SecretFile, content)
		}
		secret, err := config.ReadSecret(entry.SecretFile)
		if err != nil {
			return admin.Clients{}, c.Problem(fmt.Sprintf("introspection_clients[%d].secret_file", i), err)
		}
		list = append(list, admin.Client{ID: entry.ID, Secret: secret, Realm: entry.Realm})
	}
	clients, err := admin.NewClients(list)
	return clients, c.Problem("introspection_clients", err)
}

// readOperators reads the operators' tokens. Those of the configuration in
// force stay as they are: a change of the file reloads the configuration.
func (d *Daemon) readOperators(c *config.Config, running *assembly) (admin.Operators, error) {
	if c == running.config {
		return running.operators, nil
	}
	if c.Operator == nil {
		return admin.Operators{}, nil
	}
	content, err := os.ReadFile(c.Operator.TokenFile)
	if err != nil {
		return admin.Operators{}, c.Problem("operator.token_file", err)
	}
	d.watcher.applied(c.Operator.TokenFile, content)
	operators, err := admin.ParseOperators(content)
	if err != nil {
		return operators, c.Problem("operator.token_file", fmt.Errorf("%s: %w", c.Operator.TokenFile, err))
	}
	return operators, nil
}
