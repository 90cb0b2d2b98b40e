package scripts_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// stays runs until it is ended, as does its child; both ids are in the file
	// pids.
	stays = `sh -c 'echo $PPID $$ >new; mv new pids; exec sleep 1000'; exit`
	// stubborn does too, whose child takes no notice of SIGINT.
	stubborn = `sleep 1000 & echo $$ $! >new; mv new pids; wait`
)

// beside starts the script with commands, and returns how to wait for its end.
func beside(t *testing.T, dir string, commands ...string) (cmd *exec.Cmd, end func() (status int, out string)) {
	t.Helper()
	script, err := filepath.Abs("beside")
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command("bash", append([]string{script}, commands...)...)
	cmd.Dir = dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() (int, string) {
		err := cmd.Wait()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String()
	}
}

// started waits for a command that stays, and returns its processes.
func started(t *testing.T, dir string) (pids []int) {
	t.Helper()
	for range 3000 {
		if line, err := os.ReadFile(filepath.Join(dir, "pids")); err == nil {
			for _, word := range strings.Fields(string(line)) {
				pid, err := strconv.Atoi(word)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			return pids
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the command did not start within 30 s")
	return nil
}

// gone fails if one of the processes is alive. A child whose parent has ended is
// reaped by another process, in its own time.
func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for try := 0; syscall.Kill(pid, 0) == nil && !dead(pid); try++ {
			if try == 1000 {
				t.Fatalf("process %d is left", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func dead(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestBeside(t *testing.T) {
	t.Run("all end well", func(t *testing.T) {
		// Each waits for the other: they run at the same time.
		meet := func(mine, other string) string {
			return "touch " + mine + "; until [ -e " + other + " ]; do sleep 0.01; done; echo met " + other
		}
		_, end := beside(t, t.TempDir(), meet("a", "b"), meet("b", "a"))
		if status, out := end(); status != 0 || !strings.Contains(out, "met a") || !strings.Contains(out, "met b") {
			t.Errorf("exit %d: %s", status, out)
		}
	})
	for name, other := range map[string]string{"one fails": stays, "one fails and one is stubborn": stubborn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fails := "until [ -e pids ]; do sleep 0.01; done; exit 7"
			_, end := beside(t, dir, other, fails)
			pids := started(t, dir)
			if status, out := end(); status != 7 || !strings.Contains(out, "failed: "+fails) {
				t.Errorf("exit %d: %s", status, out)
			}
			gone(t, pids)
		})
	}
	t.Run("it is told to end", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		cmd, end := beside(t, dir, "true", stays)
		pids := started(t, dir)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status, out := end(); status != 130 {
			t.Errorf("exit %d: %s", status, out)
		}
		gone(t, pids)
	})
}
