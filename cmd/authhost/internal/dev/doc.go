// Package dev owns what `authhost dev` adds to a running host so that it can
// be tried with nothing configured: a throw-away issuer with three users, a
// demo upstream that shows the identity it was given, plugins built from
// source whenever they are saved, and the configuration that ties them
// together.
//
// It serves no request of the platform and decides nothing: the host it
// starts is the one that `authhost serve` runs.
package dev
