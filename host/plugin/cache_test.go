package plugin_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin"
)

// entries returns the files of a cache that are not sums.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, ".sha256") {
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

	month := time.Now().Add(-31 * 24 * time.Hour)
	if err := os.Chtimes(files[0], month, month); err != nil {
		t.Fatal(err)
	}
	if c, err := plugin.NewCache(dir); err != nil || len(entries(t, dir)) != len(files)-1 {
		t.Errorf("an old entry is still there, or a young one is not: %v, %v", entries(t, dir), err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
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
		"sum lost": func(t *testing.T, path string) {
			if err := os.Remove(path + ".sha256"); err != nil {
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
			if late && (name == "offset of a function changed") {
				continue // found when the cache is opened next
			}
			t.Run(name+map[bool]string{true: " late", false: ""}[late], func(t *testing.T) {
				dir := t.TempDir()
				open := func() *plugin.Cache {
					c, err := plugin.NewCache(dir)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					return c
				}
				load(t, plugin.Options{Module: module, Cache: open()}).Close(t.Context())
				var c *plugin.Cache
				if late {
					c = open()
				}
				before := map[string]string{}
				for _, path := range entries(t, dir) {
					before[path] = string(read(t, path))
					f(t, path)
				}
				if !late {
					c = open()
				}
				allows(t, load(t, plugin.Options{Module: module, Cache: c}))
				if name == "sum lost" && late {
					return
				}
				for path, want := range before {
					if got, err := os.ReadFile(path); err == nil && string(got) != want {
						t.Errorf("%s is still spoilt", filepath.Base(path))
					}
				}
			})
		}
	}
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

// Plugins of one module that are loaded and closed at once share its code and
// never lose it.
func TestCacheShared(t *testing.T) {
	c, err := plugin.NewCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	module := hook(base(), "on_authorize").Encode()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				p, err := plugin.Load(t.Context(), plugin.Options{Name: "guest", Module: module, Cache: c})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := p.Authorize(t.Context(), call()); err != nil {
					t.Error(err)
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
