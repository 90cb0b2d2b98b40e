package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/tetratelabs/wazero"
)

// Cache keeps compiled code for the plugins that share it, in memory and, if
// it has a directory, on disk. It compiles one module at a time, so that two
// plugins of one module compile it once.
//
// What lies in the directory is run as native code: it belongs to this user
// alone. It may be shared by several processes.
type Cache struct {
	code wazero.CompilationCache
	disk *codeDir // nil: in memory alone
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
	disk, code, err := openCodeDir(dir)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	return &Cache{code: code, disk: disk}, nil
}

// Close frees all compiled code. Every plugin that uses the cache must have
// been closed before.
func (c *Cache) Close() error { return c.code.Close(context.Background()) }

// compile compiles a module for a runtime that uses the cache.
func (c *Cache) compile(ctx context.Context, rt wazero.Runtime, module []byte) (m wazero.CompiledModule, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.disk == nil {
		return compileModule(ctx, rt, module)
	}
	defer func() {
		if err = errors.Join(err, c.disk.clear()); err != nil && m != nil {
			err, m = errors.Join(err, m.Close(ctx)), nil
		}
	}()
	kept, err := c.disk.offer(module)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	m, err = compileModule(ctx, rt, module)
	if err != nil && len(kept) > 0 {
		// The engine does not take what another build of it has written.
		if err := c.disk.withdraw(kept); err != nil {
			return nil, fmt.Errorf("compile cache: %w", err)
		}
		kept = nil
		m, err = compileModule(ctx, rt, module)
	}
	if err != nil {
		return nil, err
	}
	if err := c.disk.keep(module, kept); err != nil {
		return m, fmt.Errorf("compile cache: %w", err)
	}
	return m, nil
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
