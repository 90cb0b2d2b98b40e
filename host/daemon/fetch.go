package daemon

import (
	"context"
	"errors"
	"net/http"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/egress"
	"github.com/authhost/authhost/host/plugin"
)

// fetcher sends requests for a plugin, to the hosts that it is granted.
func (d *Daemon) fetcher(hosts []string, private bool) plugin.Fetcher {
	o := outward{d.egress, egress.Policy{Hosts: hosts, Private: private}}
	if d.looking {
		return outwardLookedAt{o}
	}
	return o
}

type outward struct {
	client *egress.Client
	policy egress.Policy
}

// Fetch implements plugin.Fetcher.
func (o outward) Fetch(ctx context.Context, r host.Fetch) host.Fetched {
	request := egress.Request{Method: r.Method, URL: r.URL, Header: http.Header{}, Body: r.Body}
	for _, h := range r.Headers {
		request.Header.Add(h.Name, h.Value)
	}
	answer, err := o.client.Do(ctx, o.policy, request)
	if e, ok := errors.AsType[*egress.Error](err); ok {
		return host.Fetched{Status: answer.Status, Failure: string(e.Word), Cause: e.Cause}
	}
	return host.Fetched{Status: answer.Status, Body: answer.Body}
}
