package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host/config"
)

// Each line of testdata/errors says after "# ERROR " which problems Load must
// find there, and no other.
func TestErrorsNameFileLineAndKey(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i, line := range strings.Split(string(text), "\n") {
				for _, w := range strings.Split(line, "# ERROR ")[1:] {
					want = append(want, fmt.Sprintf("%s:%d: %s", file, i+1, strings.TrimSpace(w)))
				}
			}
			c, err := config.Load(file, nil)
			if c != nil {
				t.Error("a configuration is returned beside the error")
			}
			compare(t, err, want)
		})
	}
}

// compare checks the problems of err against want, within a line in any order.
func compare(t *testing.T, err error, want []string) {
	t.Helper()
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("error is %T %v, not Problems", err, err)
	}
	got := strings.Split(problems.Error(), "\n")
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("not expected: %s", g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("missing: %s", w)
		}
	}
	if !slices.IsSortedFunc(problems, func(a, b *config.Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in the order of the lines:\n%s", problems)
	}
}
