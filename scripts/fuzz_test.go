package scripts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fuzz runs the script in a folder of its own, whose go command does what the
// script says that is given, and returns what it prints and whether it is well.
// Each package has a fuzz target of its name.
func fuzz(t *testing.T, goCommand string, packages []string, args ...string) (lines []string, ok bool) {
	t.Helper()
	script, err := filepath.Abs("fuzz")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	list := "#!/bin/sh\nif [ $1 = list ]; then\n\t[ ${PWD##*/} = sdk ] || exit 0\n"
	for _, p := range packages {
		write(p+"/it_test.go", "func Fuzz"+p+"(f *testing.F) {\n", 0o644)
		list += "\techo " + filepath.Join(dir, p) + "\n"
	}
	write("bin/go", list+"\texit\nfi\n"+goCommand, 0o755)
	write("sdk/go.mod", "", 0o644)
	write("plugins/go.mod", "", 0o644)
	cmd := exec.Command("sh", append([]string{script}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), err == nil
}

// What the go command says while it fuzzes.
const (
	gathering = `fuzz: elapsed: 0s, gathering baseline coverage: 0/9 completed\n`
	some      = gathering + `fuzz: elapsed: 3s, execs: 0 (0/sec)\nfuzz: elapsed: 5s, execs: 120 (60/sec)\n`
	known     = gathering + `fuzz: elapsed: 3s, gathering baseline coverage: 4/9 completed\n`
	none      = gathering + `fuzz: elapsed: 5s, execs: 0 (0/sec)\n`
	end       = `context deadline exceeded\n`
)

// A target by itself that executed nothing has failed; within seconds what was
// known before is something.
func TestFuzzOne(t *testing.T) {
	for _, c := range []struct {
		says, status, last string
		ok                 bool
	}{
		{known + end, "1", "ok FuzzIt coverage: 4/9", true},
		{some, "0", "ok FuzzIt execs: 120", true},
		{some + end, "1", "ok FuzzIt execs: 120", true},
		{none, "0", "failed FuzzIt: nothing was executed in 5s", false},
		{gathering + end, "1", "failed FuzzIt: nothing was executed in 5s", false},
		{some + "FAIL", "1", "FAIL", false},
		{some + `Failing input written to x\n` + end, "1", strings.TrimSuffix(end, `\n`), false},
	} {
		lines, ok := fuzz(t, fmt.Sprintf("printf '%s'\nexit %s\n", c.says, c.status), []string{"It"}, "5s", "It", "FuzzIt")
		if last := lines[len(lines)-1]; last != c.last || ok != c.ok {
			t.Errorf("%q, %s: said %q, well %v; want %q, %v", c.says, c.status, last, ok, c.last, c.ok)
		}
	}
}

// Among others, a target that executed nothing is tried again when all have
// ended, and for longer.
func TestFuzzAll(t *testing.T) {
	lines, ok := fuzz(t, `case "$*" in *FuzzB*-fuzztime\ 5s*) printf '`+none+`' ;; *) printf '`+some+`' ;; esac`, []string{"A", "B", "C"}, "5s")
	if last := lines[len(lines)-1]; !ok || last != "ok FuzzB execs: 120" {
		t.Errorf("said %q, well %v", lines, ok)
	}
	slices.Sort(lines)
	want := []string{"ok FuzzA execs: 120", "ok FuzzB execs: 120", "ok FuzzC execs: 120", "starved FuzzB: nothing was executed in 5s"}
	if !slices.Equal(lines, want) {
		t.Errorf("said %q, want %q", lines, want)
	}

	lines, ok = fuzz(t, `case "$*" in *FuzzB*) printf '`+known+end+`'; exit 1 ;; *) printf '`+some+`' ;; esac`, []string{"A", "B", "C"}, "2m")
	if last := lines[len(lines)-1]; ok || last != "failed FuzzB: nothing was executed in 6m" {
		t.Errorf("said %q, well %v", lines, ok)
	}
}
