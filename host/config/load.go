package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

//go:embed defaults.yaml
var defaultsYAML []byte

// maxFile bounds the configuration file, in bytes.
const maxFile = 4 << 20

// Load reads the file at path, lays the variables of environ ("NAME=value",
// as os.Environ returns them) above it, and checks the whole. On failure the
// error is Problems: everything found wrong, not only the first. No
// configuration is returned beside an error.
func Load(path string, environ []string) (*Config, error) {
	text, err := readFile(path, maxFile)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error()}}
	}
	return parse(path, text, environ)
}

func parse(path string, text []byte, environ []string) (*Config, error) {
	r := &report{
		places: &places{file: path, lines: map[string]int{}, variables: map[string]string{}},
		broken: map[string]bool{},
	}
	file := readDocument(r, text)
	if file == nil {
		return nil, r.err()
	}
	layers, err := layer(r, file, environ)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c := &Config{places: r.places}
	err = layers.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{DecodeHook: convert}})
	noteDecodeErrors(r, err)
	resolvePaths(c)
	check(r, c)
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// layer lays the file above the defaults and the environment above both.
func layer(r *report, file map[string]any, environ []string) (*koanf.Koanf, error) {
	defaults := koanf.New(".")
	if err := defaults.Load(rawbytes.Provider(defaultsYAML), yaml.Parser()); err != nil {
		return nil, err
	}
	if _, ok := file["realms"]; !ok {
		file["realms"] = []any{map[string]any{}}
	}
	for _, list := range []string{"realms", "plugins", "routes"} {
		if err := fillEntries(defaults, file, list); err != nil {
			return nil, err
		}
	}
	k := defaults.Cut("config")
	if err := k.Load(confmap.Provider(file, ""), nil); err != nil {
		return nil, err
	}
	return k, k.Load(environment(r, environ), nil)
}

// fillEntries lays each entry of one of parent's lists above the defaults for
// entries of that list.
func fillEntries(defaults *koanf.Koanf, parent map[string]any, list string) error {
	entries, _ := parent[list].([]any)
	for i, e := range entries {
		entry, ok := e.(map[string]any)
		if !ok {
			continue // reported where it was read
		}
		if list == "realms" {
			if err := fillEntries(defaults, entry, "issuers"); err != nil {
				return err
			}
		}
		k := defaults.Cut(list)
		if err := k.Load(confmap.Provider(entry, ""), nil); err != nil {
			return err
		}
		entries[i] = k.Raw()
	}
	return nil
}

// noteDecodeErrors takes the errors of a decode apart and notes each at its
// key.
func noteDecodeErrors(r *report, err error) {
	switch e := err.(type) {
	case nil:
	case *mapstructure.DecodeError:
		r.fail(e.Name(), "%s", e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			noteDecodeErrors(r, err)
		}
	case interface{ Unwrap() error }:
		noteDecodeErrors(r, e.Unwrap())
	default:
		r.add("", "%s", err)
	}
}

// plainCause strips the operation and the path, which the caller names, off a
// file error.
func plainCause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// readFile reads a file of at most limit bytes; its errors do not repeat the
// path.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", plainCause(err))
	}
	defer f.Close()
	return readLimited(f, limit)
}
