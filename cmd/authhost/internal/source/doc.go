// Package source turns a plugin's source into a module, in each of the
// languages that there is an SDK for, and makes the source of a new one.
//
// It owns what differs between the languages: which files a plugin has, which
// toolchain makes a module of them, and what to install where that is missing.
// It loads no module and knows nothing of what a plugin decides.
package source
