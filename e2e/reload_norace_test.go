//go:build !race

package e2e

// raceFlags builds authhost as these tests were built: without the race
// detector.
var raceFlags []string
