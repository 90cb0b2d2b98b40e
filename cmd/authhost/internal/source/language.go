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
	Name    string
	install string // what to do where a tool is missing
	sdk     string // what the names of its SDK's files begin with, in the archive
	ext     []string
	// is says whether a folder holds a plugin in that language.
	is func(dir string) bool
	// build returns the program that makes a module, at an absolute path, of
	// the plugin in the working directory.
	build func(out string) tool
}

// tool is a program to run.
type tool struct {
	program string   // a path, or a name to be looked up
	args    []string // of it
	env     []string // besides the environment
}

// languages are all that there are, in the order in which they are offered.
var languages = []Language{golang}

var golang = Language{
	Name: "go", install: "the go command is needed: https://go.dev/dl, 1.24 or later", ext: []string{".go", ".mod", ".sum"},
	is: func(dir string) bool {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		return err == nil && slices.ContainsFunc(files, isMain)
	},
	build: func(out string) tool {
		return tool{"go", []string{"build", "-buildmode=c-shared", "-o", out, "."}, []string{"GOOS=wasip1", "GOARCH=wasm"}}
	},
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
