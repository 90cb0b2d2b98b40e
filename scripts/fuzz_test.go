package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fuzz runs the script for one target, with a go command that says something
// and ends with a status, and returns what it says at last and whether it is well.
func fuzz(t *testing.T, time, says, status string) (last string, ok bool) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\nprintf \"$SAYS\"\nexit $STATUS\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "fuzz", time, dir, "FuzzIt")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SAYS="+says, "STATUS="+status)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], err == nil
}

// A target that was given no time by a busy machine is said to be so, and in a
// long run is a failure.
func TestFuzz(t *testing.T) {
	const gathering = `fuzz: elapsed: 0s, gathering baseline coverage: 0/9 completed\n`
	const some = gathering + `fuzz: elapsed: 3s, execs: 0 (0/sec)\nfuzz: elapsed: 5s, execs: 120 (60/sec)\n`
	const none = gathering + `fuzz: elapsed: 5s, execs: 0 (0/sec)\n`
	const end = `context deadline exceeded\n`
	for _, c := range []struct {
		time, says, status, last string
		ok                       bool
	}{
		{"5s", some, "0", "ok FuzzIt execs: 120", true},
		{"5m", some, "0", "ok FuzzIt execs: 120", true},
		{"5s", some + end, "1", "ok FuzzIt execs: 120", true},
		{"5s", none, "0", "starved FuzzIt: nothing was executed in 5s", true},
		{"5s", gathering + end, "1", "starved FuzzIt: nothing was executed in 5s", true},
		{"5m", none, "0", "failed FuzzIt: nothing was executed in 5m", false},
		{"1h", gathering + end, "1", "failed FuzzIt: nothing was executed in 1h", false},
		{"5s", some + "FAIL", "1", "FAIL", false},
		{"5s", some + `Failing input written to x\n` + end, "1", strings.TrimSuffix(end, `\n`), false},
	} {
		if last, ok := fuzz(t, c.time, c.says, c.status); last != c.last || ok != c.ok {
			t.Errorf("%s, %q, %s: said %q, well %v; want %q, %v", c.time, c.says, c.status, last, ok, c.last, c.ok)
		}
	}
}
