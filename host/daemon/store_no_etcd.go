//go:build no_etcd

package daemon

import (
	"errors"

	"github.com/authhost/authhost/host/config"
)

func openEtcd(c *config.Config, _ *Daemon) (*store, error) {
	return nil, c.Problem("cache.driver", errors.New("this authhost was built without etcd"))
}
