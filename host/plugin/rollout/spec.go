package rollout

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"reflect"

	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
	"github.com/authhost/authhost/host/plugin/signature"
)

// Spec is what a plugin's entry of the configuration asks for.
type Spec struct {
	Name       string
	Module     string // the file's path
	SHA256     string // of the module, in lower-case hex; empty: any
	PublicKeys []string
	Config     []byte // JSON
	Headers    []string
	Limits     plugin.Limits
	Isolated   bool // nothing of one call is there for the next
	Grants     Grants
	Asked      Asked
	Gates      Gates
}

// Grants is what a plugin may do beyond answering.
type Grants struct {
	Session     bool     // read and change what sessions remember
	Credentials bool     // read the values of credentials
	Keys        int      // how many of its own it may keep; 0: none
	Hosts       []string // which hosts it may have asked
	Private     bool     // those in private networks too
}

// Stateful says whether what it decides may rest on more than the request.
func (g Grants) Stateful() bool { return g.Session || g.Keys > 0 || len(g.Hosts) > 0 }

// Gates bound which new versions may follow. They are of no concern to a
// version that serves.
type Gates struct {
	AllowDowngrade bool // to an older version than the one that serves
	MaxChanged     int  // recent decisions that a new version may change; negative: any number
}

// sameRun says whether both stand for one version, given the same files.
func (s Spec) sameRun(other Spec) bool {
	s.Gates = other.Gates
	return reflect.DeepEqual(s, other)
}

// Files returns the files whose change calls for an attempt.
func (s *Spec) Files() []string {
	files := []string{s.Module, cases.File(s.Module)}
	if len(s.PublicKeys) > 0 {
		files = append(files, s.Module+signature.Suffix)
	}
	return files
}

// ReadFile reads a whole file; one that is not there is fs.ErrNotExist.
type ReadFile func(path string) ([]byte, error)

// contents is what stood in a plugin's files at one moment.
type contents struct {
	module           []byte
	cases, signature []byte // nil: there is none
	print            imprint
}

// imprint tells contents apart.
type imprint struct{ module, cases, signature [sha256.Size]byte }

// read reads the files of a spec.
func (s *Spec) read(file ReadFile) (c contents, err error) {
	if c.module, err = file(s.Module); err != nil {
		return contents{}, err
	}
	c.print.module = sha256.Sum256(c.module)
	if c.cases, c.print.cases, err = optional(file, cases.File(s.Module)); err != nil {
		return contents{}, err
	}
	if len(s.PublicKeys) > 0 {
		if c.signature, c.print.signature, err = optional(file, s.Module+signature.Suffix); err != nil {
			return contents{}, err
		}
	}
	return c, nil
}

func optional(file ReadFile, path string) ([]byte, [sha256.Size]byte, error) {
	content, err := file(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, [sha256.Size]byte{}, nil
	case err != nil:
		return nil, [sha256.Size]byte{}, err
	case content == nil:
		content = []byte{}
	}
	return content, sha256.Sum256(content), nil
}
