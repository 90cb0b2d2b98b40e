package config

import "path/filepath"

// resolvePaths makes relative paths count from the configuration's folder.
func resolvePaths(c *Config) {
	folder := filepath.Dir(c.places.file)
	resolve := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	resolve(&c.Cache.File.Dir)
	resolve(&c.Cache.Redis.PasswordFile)
	resolve(&c.Cache.Etcd.PasswordFile)
	if c.Operator != nil {
		resolve(&c.Operator.TokenFile)
	}
	for i := range c.IntrospectionClients {
		resolve(&c.IntrospectionClients[i].SecretFile)
	}
	for i := range c.Realms {
		for j := range c.Realms[i].Issuers {
			issuer := &c.Realms[i].Issuers[j]
			resolve(&issuer.JWKSFile)
			resolve(&issuer.SecretFile)
		}
	}
	for i := range c.Plugins {
		resolve(&c.Plugins[i].Module)
	}
}
