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
// after any error, so that no call sees what a failed one left behind.
//
// # Time
//
// Guest code runs natively and cannot be preempted. Each loop head leaves to
// Go, and so does the entry of each function (see guard); there a call past
// its time is ended. What runs between two such points is bounded by the size
// of one function body alone, which a module made for the purpose can fill
// with memory.fill after memory.fill. Compiling is bounded by size and counts,
// not by time.
package plugin
