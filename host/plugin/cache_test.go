package plugin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/authhost/authhost/host/plugin"
)

// entries returns the files of a cache.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestCacheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	module := hook(base(), "on_authorize").Encode()
	var files []string
	for n := range 2 {
		c, err := plugin.NewCache(dir)
		if err != nil {
			t.Fatal(err)
		}
		p := load(t, plugin.Options{Module: module, Cache: c})
		allows(t, p)
		p.Close(t.Context())
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		got := entries(t, dir)
		if n == 0 {
			files = got
		} else if len(got) != len(files) {
			t.Errorf("%d entries became %d", len(files), len(got))
		}
	}
	if len(files) == 0 {
		t.Fatal("nothing was kept")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}

	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := plugin.NewCache(dir); err != nil {
		t.Error(err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is still %v", info.Mode())
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plugin.NewCache(file); err == nil {
		t.Error("a file served as a directory")
	}
}

// A cache entry that is not what was written is made anew, whether it was
// spoilt before the cache was opened or after.
func TestAttackPlugin_corrupt_cache(t *testing.T) {
	module := hook(base(), "on_authorize").Encode()
	spoil := map[string]func(t *testing.T, path string){
		"empty": func(t *testing.T, path string) { write(t, path, nil) },
		"cut short": func(t *testing.T, path string) {
			b := read(t, path)
			write(t, path, b[:len(b)/2])
		},
		"bits flipped in the code": func(t *testing.T, path string) {
			b := read(t, path)
			b[len(b)-len(b)/4] ^= 0xff
			write(t, path, b)
		},
		"text": func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("garbage ", 999))) },
		"another's": func(t *testing.T, path string) { // a sound one, of another module
			dir := t.TempDir()
			load(t, plugin.Options{Module: hook(base(), "on_credential").Encode(), Cache: openCache(t, dir)}).Close(t.Context())
			write(t, path, read(t, entries(t, dir)[0]))
		},
		"of another engine": func(t *testing.T, path string) {
			code := []byte("another form")
			whole := sha256.Sum256(code)
			parts := strings.Split(path, ".")
			write(t, path, code)
			parts[len(parts)-1] = hex.EncodeToString(whole[:16])
			if err := os.Rename(path, strings.Join(parts, ".")); err != nil {
				t.Fatal(err)
			}
		},
		"offset of a function changed": func(t *testing.T, path string) {
			b := read(t, path)
			b[len("WAZEVO")+1+int(b[6])+4] ^= 0x10 // not covered by the engine's checksum
			write(t, path, b)
		},
	}
	for name, f := range spoil {
		for _, late := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " late", false: ""}[late], func(t *testing.T) {
				dir := t.TempDir()
				load(t, plugin.Options{Module: module, Cache: openCache(t, dir)}).Close(t.Context())
				var c *plugin.Cache
				if late {
					c = openCache(t, dir)
				}
				before := map[string]string{}
				for _, path := range entries(t, dir) {
					before[path] = string(read(t, path))
					f(t, path)
				}
				if !late {
					c = openCache(t, dir)
				}
				allows(t, load(t, plugin.Options{Module: module, Cache: c}))
				for path, want := range before {
					if got, err := os.ReadFile(path); err == nil && string(got) != want {
						t.Errorf("%s is still spoilt", filepath.Base(path))
					}
				}
				if n := len(entries(t, dir)); n != len(before) {
					t.Errorf("%d entries, there were %d", n, len(before))
				}
			})
		}
	}
}

// Only what is going to be used is looked at, and was then used last.
func TestCacheUse(t *testing.T) {
	dir := t.TempDir()
	one, other := hook(base(), "on_authorize").Encode(), hook(base(), "on_credential").Encode()
	run := func(module []byte) {
		t.Helper()
		c := openCache(t, dir)
		load(t, plugin.Options{Module: module, Cache: c}).Close(t.Context())
	}
	run(one)
	ofOne := entries(t, dir)
	run(other)
	for _, path := range entries(t, dir) {
		old := time.Now().Add(-20 * 24 * time.Hour)
		if !slices.Contains(ofOne, path) {
			write(t, path, []byte("spoilt"))
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	run(one)
	list := entries(t, dir)
	if len(list) != 2 {
		t.Fatalf("%d entries", len(list))
	}
	for _, path := range list {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		mine := slices.Contains(ofOne, path)
		if today := time.Since(info.ModTime()) < 24*time.Hour; today != mine {
			t.Errorf("%s: used today: %v, want %v", filepath.Base(path), today, mine)
		}
		if !mine && string(read(t, path)) != "spoilt" {
			t.Error("what was not to be used was made anew")
		}
	}
}

// What is on disk is bounded, in age and in size, whatever it is: oldest use
// first. A start does it, and so does each entry more.
func TestCacheBounds(t *testing.T) {
	const day = 24 * time.Hour
	dir := t.TempDir()
	put := func(name string, size int64, age time.Duration) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(-age)
		if err := errors.Join(os.Chtimes(path, used, used), os.Chtimes(filepath.Dir(path), used, used)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		for _, path := range entries(t, dir) {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return names
	}
	put("a", 1, 29*day)
	put("b", 1, 31*day)
	put("wazero-v1/c", 1, 31*day) // of an earlier authhost
	put("wazero-v1/d", 1, day)
	put("stage-1/e", 1, 2*time.Minute) // of another process, and
	put("stage-2/f", 1, 2*time.Hour)   // of one that ended in the middle
	c := openCache(t, dir)
	if got, want := left(), []string{"a", "stage-1/e", "wazero-v1/d"}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	put("g", 400<<20, 3*day)
	put("h", 600<<20, 2*day)
	put("i", 300<<20, time.Hour)
	load(t, plugin.Options{Module: hook(base(), "on_authorize").Encode(), Cache: c})
	got := left()
	got = slices.DeleteFunc(got, func(name string) bool { return len(name) > 20 }) // the plugin's
	if want := []string{"h", "i", "stage-1/e", "wazero-v1/d"}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}

// Processes that share a directory compile and remove as if they were alone.
func TestCacheOfSeveral(t *testing.T) {
	dir := t.TempDir()
	module := hook(base(), "on_authorize").Encode()
	var wg sync.WaitGroup
	for range 4 { // a cache is all that a process has of it
		wg.Go(func() {
			for range 5 {
				c, err := plugin.NewCache(dir)
				if err != nil {
					t.Error(err)
					return
				}
				p, err := plugin.Load(t.Context(), plugin.Options{Name: "guest", Module: module, Cache: c})
				if err != nil {
					t.Error(err)
					return
				}
				kept, err := filepath.Glob(filepath.Join(dir, "*.*"))
				for _, path := range kept {
					err = errors.Join(err, os.RemoveAll(path)) // as another's bounds may
				}
				if err != nil {
					t.Error(err)
				}
				if err := errors.Join(p.Close(t.Context()), c.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func openCache(t *testing.T, dir string) *plugin.Cache {
	t.Helper()
	c, err := plugin.NewCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// compiling is a context that counts how often the engine compiles: for that,
// and not for code that it has, it asks for its workers. It does not get them
// before so many loads are about to compile.
type compiling struct {
	context.Context
	workers any // the key that it asks by
	times   atomic.Int64
	loads   sync.WaitGroup
}

func newCompiling(t *testing.T) *compiling {
	t.Helper()
	c := &compiling{Context: t.Context()}
	experimental.GetCompilationWorkers(c)
	if c.times.Swap(0) != 1 || c.workers == nil {
		t.Fatal("the engine asks for its workers in another way")
	}
	return c
}

func (c *compiling) Value(key any) any {
	if c.workers == nil {
		c.workers = key
	}
	if key == c.workers {
		c.times.Add(1)
		c.loads.Wait()
	}
	return c.Context.Value(key)
}

// Plugins of one module that are loaded and closed at once share its code,
// which is compiled once, and never lose it.
func TestCacheShared(t *testing.T) {
	for name, dir := range map[string]string{"on disk": t.TempDir(), "in memory": ""} {
		t.Run(name, func(t *testing.T) {
			c, err := plugin.NewCache(dir)
			if err != nil {
				t.Fatal(err)
			}
			module, ctx := hook(base(), "on_authorize").Encode(), newCompiling(t)
			done := func(p *plugin.Plugin) {
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			var wg sync.WaitGroup
			ctx.loads.Add(8)
			var first [8]*plugin.Plugin // in memory alone, code is there as long as who uses it
			for i := range first {
				wg.Go(func() {
					for n := range 5 {
						steps := 0
						p, err := plugin.Load(ctx, plugin.Options{Name: "guest", Module: module, Cache: c, Step: func(name string) {
							if name == "compile" {
								steps++ // the first validates
							}
							if n == 0 && name == "compile" && steps == 2 {
								ctx.loads.Done()
							}
						}})
						if err != nil {
							t.Error(err)
							return
						}
						if _, err := p.Authorize(t.Context(), call()); err != nil {
							t.Error(err)
						}
						if n == 0 {
							first[i] = p
						} else {
							done(p)
						}
					}
				})
			}
			wg.Wait()
			for _, p := range first {
				if p != nil {
					done(p)
				}
			}
			if n := ctx.times.Load(); n != 1 {
				t.Errorf("compiled %d times", n)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
