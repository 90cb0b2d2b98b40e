// Package plugin runs WebAssembly plugins: it checks a module before anything
// of it runs, compiles it, keeps a bounded pool of instances, asks their hooks
// and judges the answers.
//
// It owns the sandbox and its limits, and it alone imports wazero and package
// abi. It does not read module files, compare hashes, watch for changes or
// keep the last good version: whoever builds snapshots does.
//
// One [Plugin] is one version of a plugin with one configuration. It has a
// runtime of its own, so that nothing it does and no way in which it ends
// touches another. An instance serves one call at a time and is thrown away
// after any error, so that no call sees what a failed one left behind; with
// Options.Isolated none sees what any other left (see image). What was thrown
// away is replaced in the background (see pool). A hook that fails whoever asks
// is not asked for a while (see breaker).
//
// # Time
//
// Guest code runs natively and cannot be preempted, so it is metered: when a
// module is loaded, and found valid, it is rewritten to count what it does
// (see meter and planner) and to ask the host for more fuel now and then (see
// tank). A limit on time is so many units of fuel. Nothing runs unmetered: not
// the start function, _initialize or configure either. Between two questions
// for fuel lies about a millisecond, or one bulk operation on all of the
// guest's memory. Compiling is bounded by size and counts, not by time.
package plugin
