// Command chores is what the price of metering is measured on: kinds of work
// that plugins do, each an export that does it once and returns a sum of what
// it found.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sort"
	"strings"
)

func main() {}

var (
	numbers = func() (list [512]uint32) {
		x := uint32(1)
		for i := range list {
			x = x*1664525 + 1013904223
			list[i] = x
		}
		return list
	}()
	paths = func() (list []string) {
		for i := range 64 {
			list = append(list, "/api/gitops/"+strings.Repeat("segment/", i%5)+string(rune('a'+i%26)))
		}
		return list
	}()
	scratch [512]uint32
)

// matching compares paths with patterns, segment by segment, as policies do.
//
//go:wasmexport matching
func matching() (found uint32) {
	for _, pattern := range []string{"/api/*/segment/segment/*", "/api/gitops/sync", "/*/*/segment/**"} {
		for _, path := range paths {
			if match(pattern, path) {
				found++
			}
		}
	}
	return found
}

func match(pattern, path string) bool {
	for {
		want, restOfPattern, more := strings.Cut(pattern, "/")
		if want == "**" {
			return true
		}
		got, restOfPath, left := strings.Cut(path, "/")
		if want != "*" && want != got || more != left {
			return false
		}
		if !more {
			return true
		}
		pattern, path = restOfPattern, restOfPath
	}
}

// sorting sorts numbers.
//
//go:wasmexport sorting
func sorting() uint32 {
	scratch = numbers
	slices.Sort(scratch[:])
	return scratch[7]
}

// interfaces sorts strings through an interface.
//
//go:wasmexport interfaces
func interfaces() uint32 {
	list := slices.Clone(paths)
	sort.Sort(sort.Reverse(sort.StringSlice(list)))
	return uint32(len(list[3]))
}

// maps counts in a map.
//
//go:wasmexport maps
func maps() uint32 {
	seen := map[uint32]uint32{}
	for _, n := range numbers {
		seen[n%97]++
	}
	return seen[5]
}

// hashing hashes four kilobytes.
//
//go:wasmexport hashing
func hashing() uint32 {
	var b [4096]byte
	for i := range b {
		b[i] = byte(i)
	}
	sum := sha256.Sum256(b[:])
	return uint32(sum[0])<<8 | uint32(sum[1])
}

// decoding decodes JSON.
//
//go:wasmexport decoding
func decoding() uint32 {
	var v struct {
		Rules []struct {
			Methods []string
			Path    string
			Role    string
		}
	}
	const text = `{"rules": [{"methods": ["POST"], "path": "/api/gitops/sync", "role": "editor"},
		{"methods": ["GET", "HEAD"], "path": "/api/gitops/detect-drift", "role": "viewer"}]}`
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return 0
	}
	return uint32(len(v.Rules[1].Path))
}

// endless never ends.
//
//go:wasmexport endless
func endless() uint32 {
	for {
		scratch[0]++
	}
}
