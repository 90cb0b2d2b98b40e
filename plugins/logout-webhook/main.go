// Command logout-webhook is a plugin: it posts every end of access to a URL, as
// JSON, signed if a secret is given. README.md beside the plugins tells how.
//
// It owns what is posted. Delivering it is the host's business.
package main

import (
	"slices"

	"github.com/authhost/authhost/sdk/configure"
	"github.com/authhost/authhost/sdk/fetch"
	"github.com/authhost/authhost/sdk/logout"
)

// live is nil until the host has configured the plugin, which it does before
// it asks anything.
var live *webhook

func init() {
	configure.Handle(func(config []byte) (err error) {
		live, err = parseConfig(config)
		return err
	})
	logout.Handle(func(e *logout.Event) logout.Answer {
		body, headers := live.post(&notice{
			ID: e.ID(), Why: e.Why(), What: e.What(), Realm: e.Realm(), UserID: e.UserID(), Issuer: e.Issuer(), Sub: e.Subject(),
			Sessions: slices.Collect(e.Sessions), By: actor{e.ByRank(), e.ByID()}, at: e.At(),
		})
		return logout.Send(fetch.Request{Method: "POST", URL: live.url, Headers: headers, Body: body})
	})
}

func main() {}
