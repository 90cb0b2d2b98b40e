package author

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
	"github.com/authhost/authhost/host/plugin/signature"
)

// Inspection is what a module is like.
type Inspection struct {
	Name      string     `json:"name"`
	Module    string     `json:"module"`
	Size      int        `json:"size"` // bytes
	SHA256    string     `json:"sha256"`
	Hooks     []string   `json:"hooks"`
	Imports   []Import   `json:"imports"`
	Grants    []string   `json:"grants"` // capabilities that it does not load without; credentials is never one
	Memory    int64      `json:"memory"` // bytes, of one instance once it is configured
	Steps     []Step     `json:"steps"`  // of the load
	Cases     []CaseFuel `json:"cases"`
	Signature *Signature `json:"signature"` // nil: there is none
}

// Import is a function of the host that a module wants.
type Import struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Grant  string `json:"grant"` // the capability that it needs; empty: none
}

// Step is a step of the load, and what it took.
type Step struct {
	Name string  `json:"step"`
	Ms   float64 `json:"ms"`
}

// CaseFuel is what a case takes of a call's fuel.
type CaseFuel struct {
	Name  string `json:"name"`
	Hook  string `json:"hook"`
	Fuel  int64  `json:"fuel"`
	Error string `json:"error,omitempty"` // why there was no answer
}

// Signature is what the file beside a module says; nobody has judged it.
type Signature struct {
	KeyID   string `json:"key_id"`
	Version string `json:"version"`
	Problem string `json:"problem,omitempty"` // what a host would not like of it whoever signed
}

// MostFuel is the fuel that a call has by default.
const MostFuel = int64(plugin.DefaultTime) * plugin.UnitsPerNanosecond

// Inspect loads the module, under the configuration of its first case where
// none was given, and tells what it is like.
func (m *Module) Inspect(ctx context.Context) (*Inspection, error) {
	sum := sha256.Sum256(m.content)
	in := &Inspection{Name: m.Name, Module: m.Path, Size: len(m.content), SHA256: hex.EncodeToString(sum[:]),
		Imports: []Import{}, Grants: []string{}, Cases: []CaseFuel{}}
	var err error
	if in.Signature, err = readSignature(m.Path); err != nil {
		return nil, err
	}
	steps := stepper{}
	s, err := newSubject(ctx, m, plugin.Options{Config: m.likely(), Step: steps.begin}, &cases.World{})
	if err != nil {
		return nil, err
	}
	in.Steps = steps.end()
	in.Hooks, in.Memory = s.Hooks(), s.Health().Memory
	for _, i := range s.Imports() {
		in.Imports = append(in.Imports, Import(i))
		if i.Grant != "" && !slices.Contains(in.Grants, i.Grant) {
			in.Grants = append(in.Grants, i.Grant)
		}
	}
	if err := s.Close(ctx); err != nil {
		return nil, err
	}
	in.Cases, err = m.fuel(ctx)
	return in, err
}

// likely is the configuration that a module is loaded with to be looked at: the
// one given, else that of its first case, which it must accept.
func (m *Module) likely() []byte {
	if m.set != nil && string(m.config) == "{}" {
		if config := m.set.Groups()[0].Config; config != nil {
			return config
		}
	}
	return m.config
}

// fuel asks each case once.
func (m *Module) fuel(ctx context.Context) ([]CaseFuel, error) {
	all := []CaseFuel{}
	if m.set == nil {
		return all, nil
	}
	for _, g := range m.set.Groups() {
		s, err := newSubject(ctx, m, plugin.Options{Config: g.Config}, &cases.World{})
		if err != nil {
			return nil, err
		}
		for _, c := range g.Cases {
			one := CaseFuel{Name: c.Name, Hook: c.Hook}
			if r := c.Run(ctx, s, s.world); r.Err != nil {
				one.Error = r.Err.Error()
			}
			one.Fuel = s.of(c).fuel
			all = append(all, one)
		}
		if err := s.Close(ctx); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func readSignature(module string) (*Signature, error) {
	file, err := os.ReadFile(module + signature.Suffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	s := &Signature{}
	if s.KeyID, s.Version, err = signature.Read(file); err != nil {
		s.Problem = err.Error()
	}
	return s, nil
}

// stepper times the steps of a load; one that comes again goes on.
type stepper struct {
	steps []Step
	name  string
	began time.Time
}

func (s *stepper) begin(name string) {
	s.end()
	s.name, s.began = name, time.Now()
}

func (s *stepper) end() []Step {
	if s.name == "" {
		return s.steps
	}
	i := slices.IndexFunc(s.steps, func(t Step) bool { return t.Name == s.name })
	if i < 0 {
		i, s.steps = len(s.steps), append(s.steps, Step{Name: s.name})
	}
	s.steps[i].Ms += float64(time.Since(s.began).Microseconds()) / 1000
	s.name = ""
	return s.steps
}
