package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/config"
)

// FuzzLoad: whatever file and environment hold, Load returns a configuration
// or Problems that name a place, never both, and does not panic.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	more, _ := filepath.Glob("testdata/errors/*.yaml")
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "AUTHHOST_CACHE__DRIVER=redis")
	}
	for _, text := range []string{"", "{}", "- a", "a: &a [*a]", "x: &x {<<: *x}", "? {a: b}\n: c", "realms: [null]", "realms: [[]]",
		"plugins: [{config: {<<: [1, {a: 1}]}}]", "routes: [{path: !!binary aGk=}]", "listen: !!map 5", "--- a\n--- b", "\xef\xbb\xbf{}", "%TAG ! x\n---\n"} {
		f.Add(text, "AUTHHOST_TRUSTED_PROXIES=::1,,%\nAUTHHOST_trusted__PROXIES=\nAUTHHOST___=")
	}
	path := filepath.Join(f.TempDir(), "authhost.yaml")
	f.Fuzz(func(t *testing.T, text, environ string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, strings.Split(environ, "\n"))
		if err == nil {
			if len(c.Realms) == 0 || c.Listen.Public == "" || config.RestartNeeded(c, c) != nil {
				t.Errorf("accepted: %+v", c)
			}
			return
		}
		problems, ok := errors.AsType[config.Problems](err)
		if c != nil || !ok || len(problems) == 0 {
			t.Fatalf("%v, %T %v", c, err, err)
		}
		for _, p := range problems {
			if p.Text == "" || p.Line < 1 && p.Variable == "" {
				t.Errorf("no place or text: %#v", p)
			}
			if strings.Count(problems.Error(), "\n") >= len(problems) {
				t.Errorf("a problem spans lines: %q", problems.Error())
			}
		}
	})
}
