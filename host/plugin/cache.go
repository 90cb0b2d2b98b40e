package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
)

const sumSuffix = ".sha256"

// maxAge is how old an entry may become. The cache cannot tell which are in
// use: one that is will be compiled anew.
const maxAge = 30 * 24 * time.Hour

// Cache keeps compiled code for the plugins that share it, in memory and, if
// it has a directory, on disk. It compiles one module at a time, so that two
// plugins of one module compile it once.
//
// What lies in the directory is run as native code: it belongs to this user
// alone. Each entry stands beside its SHA-256; one that does not agree with
// it, or lacks it, is deleted and compiled anew; so is one of more than 30 days.
type Cache struct {
	dir  string
	code wazero.CompilationCache
	mu   sync.Mutex
}

// NewCache opens a cache in dir, which it makes if need be, mode 0700; "" is
// a cache in memory alone.
func NewCache(dir string) (*Cache, error) {
	if dir == "" {
		return &Cache{code: wazero.NewCompilationCache()}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compile cache: must belong to the user that authhost runs as: %w", err)
	}
	code, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	c := &Cache{dir: dir, code: code}
	return c, c.verify()
}

// Close frees all compiled code. Every plugin that uses the cache must have
// been closed before.
func (c *Cache) Close() error { return c.code.Close(context.Background()) }

// compile compiles a module for a runtime that uses the cache.
func (c *Cache) compile(ctx context.Context, rt wazero.Runtime, module []byte) (wazero.CompiledModule, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := compileModule(ctx, rt, module)
	if err != nil && c.dir != "" && strings.Contains(err.Error(), "compilationcache:") {
		// An entry spoilt since it was verified. Which one, the engine does
		// not say.
		if err := c.each(func(path string) error { return os.Remove(path) }); err != nil {
			return nil, fmt.Errorf("compile cache: %w", err)
		}
		m, err = compileModule(ctx, rt, module)
	}
	if err == nil && c.dir != "" {
		if err := c.seal(); err != nil {
			return nil, errors.Join(err, m.Close(ctx))
		}
	}
	return m, err
}

// compileModule turns a panic of the compiler into an error.
func compileModule(ctx context.Context, rt wazero.Runtime, module []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("compiling panicked: %v", r)
		}
	}()
	return rt.CompileModule(ctx, module)
}

// verify deletes every entry that does not agree with its sum or is too old.
func (c *Cache) verify() error {
	return c.each(func(path string) error {
		if strings.HasSuffix(path, sumSuffix) {
			return nil
		}
		want, _ := os.ReadFile(path + sumSuffix)
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) < maxAge {
			if got, err := sum(path); err == nil && got == string(want) {
				return nil
			}
		}
		return errors.Join(remove(path), remove(path+sumSuffix))
	})
}

// seal writes the sums of entries that have none yet.
func (c *Cache) seal() error {
	return c.each(func(path string) error {
		if strings.HasSuffix(path, sumSuffix) {
			return nil
		}
		if _, err := os.Stat(path + sumSuffix); err == nil {
			return nil
		}
		s, err := sum(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path+sumSuffix, []byte(s), 0o600)
	})
}

// each visits the files of the cache. Another process may share it, so one
// that is gone is no error, and one still being written is left alone.
func (c *Cache) each(visit func(path string) error) error {
	return filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, ".tmp") {
			err = visit(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
