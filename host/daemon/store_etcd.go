//go:build !no_etcd

package daemon

import (
	"crypto/tls"

	"github.com/authhost/authhost/host/cache/etcd"
	"github.com/authhost/authhost/host/config"
)

func openEtcd(c *config.Config, d *Daemon) (*store, error) {
	password, err := readPassword(c, "cache.etcd.password_file", c.Cache.Etcd.PasswordFile)
	if err != nil {
		return nil, err
	}
	var secure *tls.Config
	if c.Cache.Etcd.TLS {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	s, err := etcd.New(etcd.Options{Endpoints: c.Cache.Etcd.Endpoints, Username: c.Cache.Etcd.Username, Password: password, TLSConfig: secure, Now: d.now})
	if err != nil {
		return nil, c.Problem("cache.etcd", err)
	}
	return &store{Driver: s, remote: true}, nil
}
