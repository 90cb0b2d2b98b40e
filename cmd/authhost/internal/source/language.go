package source

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Language is one that plugins are written in.
type Language struct {
	Name string
	sdk  string   // what the names of its SDK's files begin with, in the archive; empty: the rest of it
	ext  []string // of the files that a module is made of
	// is says whether a folder holds the source of a plugin of that name.
	is   func(dir, name string) bool
	tool toolchain
}

// toolchain makes modules.
type toolchain struct {
	programs []string // any of them, the first that is there: a name to be looked up, or a path from the plugin's folder
	args     []string // of it; OUT is the module, NAME the plugin's name
	env      []string // besides the environment
	install  string   // run once after a plugin is made, DIR being its folder; "" if nothing is
	needed   string   // what to do where the program is missing, or one that it calls
	lacks    []string // what it says if it lacks something that is needed
}

// languages are all that there are, in the order in which they are offered.
var languages = []Language{
	{
		Name: "go", ext: []string{".go", ".mod", ".sum"},
		is: func(dir, _ string) bool {
			files, err := filepath.Glob(filepath.Join(dir, "*.go"))
			return err == nil && slices.ContainsFunc(files, isMain)
		},
		tool: toolchain{
			programs: []string{"go"},
			args:     []string{"build", "-buildmode=c-shared", "-o", "OUT", "."},
			env:      []string{"GOOS=wasip1", "GOARCH=wasm"},
			needed:   "Go 1.24 or later is needed: https://go.dev/dl",
		},
	},
	{
		Name: "rust", sdk: "rust/", ext: []string{".rs"}, is: named(".rs"),
		tool: toolchain{
			programs: []string{"/usr/bin/rustc", "rustc"}, // Debian's has the target
			args: []string{"--target", "wasm32-unknown-unknown", "--crate-type", "cdylib", "--edition", "2021", "--crate-name", "plugin",
				"-C", "opt-level=3", "-C", "lto", "-C", "panic=abort", "-C", "strip=debuginfo", "-C", "target-feature=+bulk-memory",
				"-C", "link-arg=-zstack-size=65536", "-o", "OUT", "NAME.rs"},
			needed: "a Rust compiler with the target wasm32-unknown-unknown is needed: apt-get install rustc libstd-rust-dev-wasm32 lld, or rustup target add wasm32-unknown-unknown",
			lacks:  []string{"can't find crate for `core`", "linker `"},
		},
	},
	{
		Name: "assemblyscript", sdk: "assemblyscript/", ext: []string{".ts", ".json"}, is: named(".ts"),
		tool: toolchain{
			programs: []string{"sdk/node_modules/.bin/asc", "asc"},
			args:     []string{"-O3", "--debug", "--use", "abort=sdk/authhost/fail", "-o", "OUT", "NAME.ts"},
			install:  "npm ci --prefix DIR/sdk",
			needed:   "Node.js 18 or later and the AssemblyScript compiler are needed: npm ci --prefix sdk, in the plugin's folder",
			lacks:    []string{"env: 'node'", "env: ‘node’"},
		},
	},
	{
		Name: "c", sdk: "c/", ext: []string{".c", ".h"}, is: named(".c"),
		tool: toolchain{
			programs: []string{"clang"},
			// Told -O2 itself, clang runs a wasm-opt that it finds, which drops the names of functions.
			args:   []string{"--target=wasm32", "-Xclang", "-O2", "-mbulk-memory", "-nostdlib", "-Wl,--no-entry,--stack-first", "-o", "OUT", "NAME.c"},
			needed: "clang and lld are needed: apt-get install clang lld",
			lacks:  []string{"wasm-ld", "unable to create target"},
		},
	},
}

// named finds a plugin by the file of its name.
func named(ext string) func(dir, name string) bool {
	return func(dir, name string) bool {
		info, err := os.Stat(filepath.Join(dir, name+ext))
		return err == nil && info.Mode().IsRegular()
	}
}

func isMain(path string) bool {
	content, err := os.ReadFile(path)
	return err == nil && !strings.HasSuffix(path, "_test.go") &&
		(bytes.HasPrefix(content, []byte("package main")) || bytes.Contains(content, []byte("\npackage main")))
}

// Names returns the names of the languages.
func Names() []string {
	names := make([]string, len(languages))
	for i := range languages {
		names[i] = languages[i].Name
	}
	return names
}

func byName(name string) (*Language, error) {
	for i := range languages {
		if languages[i].Name == name {
			return &languages[i], nil
		}
	}
	return nil, fmt.Errorf("no language %q; there are %s", name, strings.Join(Names(), ", "))
}
