package dev

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// configFile beside a plugin's source is the configuration that it is tried
// with.
const configFile = "example.yaml"

const interruptTime = 10 * time.Second // that the go command has to end

// source is one plugin's folder.
type source struct {
	name   string
	dir    string
	module string            // where it is built to
	built  [sha256.Size]byte // of the sources last built
}

// findSources returns the folders directly below dir that hold a Go main
// package.
func findSources(dir, out string) ([]*source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("no plugins to try: %w; name the folder that holds them: authhost dev DIR", err)
	}
	var list []*source
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		files, err := filepath.Glob(filepath.Join(sub, "*.go"))
		if err != nil {
			return nil, err
		}
		if !e.IsDir() || !slices.ContainsFunc(files, isMain) {
			continue
		}
		list = append(list, &source{name: e.Name(), dir: sub, module: filepath.Join(out, e.Name()+".wasm")})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no plugins to try: no folder below %s holds a Go main package", dir)
	}
	return list, nil
}

func isMain(path string) bool {
	content, err := os.ReadFile(path)
	return err == nil && !strings.HasSuffix(path, "_test.go") &&
		(bytes.HasPrefix(content, []byte("package main")) || bytes.Contains(content, []byte("\npackage main")))
}

// asked says where the plugin is to be listed, by the packages of the SDK that
// its own files import.
func (s *source) asked() (routes, realms bool) {
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.go")) // the pattern is sound
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil || strings.HasSuffix(f, "_test.go") {
			continue
		}
		routes = routes || bytes.Contains(content, []byte(`/sdk/authorize"`)) || bytes.Contains(content, []byte(`/sdk/credential"`))
		realms = realms || bytes.Contains(content, []byte(`/sdk/login"`)) || bytes.Contains(content, []byte(`/sdk/logout"`))
	}
	return routes || !realms, realms
}

// build compiles the plugin and puts the module in its place in one step, so
// that the host never sees half of one.
func (s *source) build(ctx context.Context) error {
	fingerprint, err := s.fingerprint()
	if err != nil {
		return err
	}
	s.built = fingerprint
	out, err := filepath.Abs(s.module)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-o", out+".new", ".")
	cmd.Dir = s.dir
	// Interrupted, the go command waits for its compilers; what it leaves
	// behind is in our folder.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptTime
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOTMPDIR="+filepath.Dir(out))
	if output, err := cmd.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("plugin %s: the go command is needed to build plugins: %w", s.name, err)
		}
		return fmt.Errorf("plugin %s does not build: %w\n%s", s.name, err, output)
	}
	return os.Rename(out+".new", out)
}

// changed says whether the sources are other than those last built.
func (s *source) changed() bool {
	fingerprint, err := s.fingerprint()
	return err == nil && fingerprint != s.built
}

// fingerprint hashes the plugin's example configuration and Go files, its own
// and those in its folders below.
func (s *source) fingerprint() (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	err = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") && d.Name() != configFile {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", path, len(content))
		h.Write(content)
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil)), err
}

// config returns the plugin's example configuration, nil if it has none.
func (s *source) config() (any, error) {
	content, err := os.ReadFile(filepath.Join(s.dir, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var v any
	if err := yaml.Unmarshal(content, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.dir, configFile), err)
	}
	return v, nil
}
