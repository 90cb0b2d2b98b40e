// Package cases runs a plugin's own cases: requests beside the module, each
// with the answer that the plugin's author expects.
//
// It owns the form of a cases file and the comparison of what came with what
// was expected, and of one engine's answers with the other's. It does not find
// files, load plugins or decide what a failure means: whoever reloads does.
// Nothing that is run as a case touches anything real: a case says all that
// the plugin is shown, the clock included.
package cases
