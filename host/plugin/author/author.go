// Package author is what the author of a plugin does with a module that is
// built: run its cases, look into it, measure it and sign it.
//
// It owns the reports of these, as people and machines read them. It builds
// nothing, serves nothing and decides nothing: modules are loaded, and cases
// run and judged, by the packages that a host does it with.
package author

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
)

// Module is a built plugin and what stands beside it.
type Module struct {
	Name string // of the file, without .wasm
	Path string

	content []byte
	config  []byte // JSON, for cases that have none of their own
	set     *cases.Set
	headers []string // that its cases expect
}

// ErrConfig is that a configuration is not JSON.
var ErrConfig = errors.New("the configuration is not JSON")

// Open reads a module and its cases, if there are any. config is the JSON that
// cases without a configuration of their own are asked under; nil: {}.
func Open(path string, config []byte) (*Module, error) {
	if config == nil {
		config = []byte("{}")
	}
	if !json.Valid(config) {
		return nil, ErrConfig
	}
	m := &Module{Name: strings.TrimSuffix(filepath.Base(path), ".wasm"), Path: path, config: config}
	var err error
	if m.content, err = os.ReadFile(path); err != nil {
		return nil, err
	}
	file := cases.File(path)
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return nil, err
	}
	if m.set, err = cases.Parse(file, content); err != nil {
		return nil, err
	}
	m.headers = expected(m.set)
	return m, nil
}

// expected are the headers that cases expect, and so those that the plugin is
// taken to be allowed, as there is no entry that lists them. Those that need no
// leave are not among them.
func expected(set *cases.Set) (names []string) {
	for _, g := range set.Groups() {
		for _, c := range g.Cases {
			for name := range c.Want.Headers {
				if !slices.Contains(names, name) && plugin.MayDeclare(name) {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// cases returns the module's cases, which must be there.
func (m *Module) cases() (*cases.Set, error) {
	if m.set == nil {
		return nil, fmt.Errorf("%s has no cases: there is no %s", m.Name, cases.File(m.Path))
	}
	return m.set, nil
}

// load loads the module to be asked about, with all that it may be granted and
// nothing real in its reach: what it keeps is in the world.
func (m *Module) load(ctx context.Context, o plugin.Options, world *cases.World) (*plugin.Plugin, error) {
	o.Name, o.Module, o.Headers, o.Limits.Instances = m.Name, m.content, m.headers, 1
	o.Now, o.Rand = cases.Now, cases.Rand()
	o.KV, o.Sessions, o.HTTP, o.Credentials = world, world, world, true
	if o.Config == nil {
		o.Config = m.config
	}
	return plugin.Load(ctx, o)
}
