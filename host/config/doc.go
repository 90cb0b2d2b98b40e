// Package config reads authhost's configuration: one YAML file, then the
// environment for scalars, above the defaults in defaults.yaml.
//
// It owns the keys, their defaults, and every judgement that the text alone
// allows; each problem that it finds names file, line and key. What a setting
// refuses or promises but authhost does not do yet is refused here too: a
// security setting that is silently ignored is worse than none.
//
// It opens no other file than the configuration, except by [ReadSecret] for
// its callers; it connects to nothing, watches nothing and applies nothing.
package config
