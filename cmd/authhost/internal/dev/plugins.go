package dev

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/authhost/authhost/cmd/authhost/internal/source"
)

// configFile beside a plugin's source is the configuration that it is tried
// with.
const configFile = "example.yaml"

// plugin is one plugin's source, and what was made of it.
type plugin struct {
	*source.Plugin
	module string            // where it is built to
	built  [sha256.Size]byte // of the sources last built
}

// findPlugins returns those whose source is in a folder directly below dir.
func findPlugins(dir, out string) ([]*plugin, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("no plugins to try: %w; name the folder that holds them: authhost dev DIR", err)
	}
	var list []*plugin
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if p, err := source.Find(filepath.Join(dir, e.Name())); err == nil {
			list = append(list, &plugin{Plugin: p, module: filepath.Join(out, p.Name+".wasm")})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no plugins to try: no folder below %s holds the source of one", dir)
	}
	return list, nil
}

// asked says where the plugin is to be listed, by the packages of the SDK that
// its own files import.
func (p *plugin) asked() (routes, realms bool) {
	files, _ := filepath.Glob(filepath.Join(p.Dir, "*.go")) // the pattern is sound
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

// build makes the module. What a toolchain leaves behind when it is interrupted
// is in our folder.
func (p *plugin) build(ctx context.Context) error {
	fingerprint, err := p.Fingerprint(configFile)
	if err != nil {
		return err
	}
	p.built = fingerprint
	return p.Build(ctx, p.module, "GOTMPDIR="+filepath.Dir(p.module))
}

// changed says whether the sources are other than those last built.
func (p *plugin) changed() bool {
	fingerprint, err := p.Fingerprint(configFile)
	return err == nil && fingerprint != p.built
}

// config returns the plugin's example configuration, nil if it has none.
func (p *plugin) config() (any, error) {
	file := filepath.Join(p.Dir, configFile)
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var v any
	if err := yaml.Unmarshal(content, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}
