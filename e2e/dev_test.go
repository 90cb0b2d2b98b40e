package e2e

import (
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// copySources copies the plugins and the SDK, without what was built.
func copySources(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, module := range []string{"plugins", "sdk"} {
		err := filepath.WalkDir(filepath.Join(root, module), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if d.IsDir() {
				return os.MkdirAll(filepath.Join(dir, rel), 0o700)
			}
			if filepath.Ext(path) == ".wasm" || !d.Type().IsRegular() {
				return nil
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, rel), content, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func goEnv(t testing.TB, name string) string {
	t.Helper()
	b, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// developing is a running authhost dev.
type developing struct {
	*process
	dir  string // of the sources
	temp string // of everything temporary
}

func startDev(t testing.TB) *developing {
	t.Helper()
	d := &developing{dir: copySources(t), temp: t.TempDir()}
	cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), "dev")
	cmd.Dir = d.dir
	cmd.Env = append(environ(t), "TMPDIR="+d.temp, "GOCACHE="+goEnv(t, "GOCACHE"))
	d.process = start(t, cmd)
	eventually(t, "the welcome", func() bool {
		select {
		case <-d.ended:
			t.Fatalf("authhost dev ended: %v\n%s", d.err, d.output.String())
		default:
		}
		return strings.Contains(d.output.String(), "Ctrl-C ends")
	})
	return d
}

var (
	devCurl   = regexp.MustCompile(`(?m)^curl .*/api/gitops/sync .*$`)
	devURL    = regexp.MustCompile(`http://[0-9.:]+/api/gitops/sync`)
	devIssuer = regexp.MustCompile(`http://[0-9.:]+/token/`)
)

// paste runs a printed line as a shell does, and returns the status line and
// the body.
func paste(t testing.TB, line string) (status, body string) {
	t.Helper()
	b, err := exec.Command("sh", "-c", line).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	head, body, _ := strings.Cut(string(b), "\r\n\r\n")
	status, _, _ = strings.Cut(head, "\r\n")
	return status, body
}

// taken makes sure that the ports that dev would like are not free.
func taken(t testing.TB) {
	for _, port := range []string{"8080", "8081", "9090", "8088", "8090", "3000"} {
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			t.Cleanup(func() { l.Close() })
		}
	}
}

// The way of somebody who has just cloned the repository, on a machine where
// other things run: paste what is printed, save a source, save a broken one,
// and end it.
func TestDev(t *testing.T) {
	taken(t)
	d := startDev(t)
	printed := d.output.String()

	lines := devCurl.FindAllString(printed, -1)
	if len(lines) != 3 {
		t.Fatalf("%d curl lines in\n%s", len(lines), printed)
	}
	for i, want := range []string{"401", "403", "200"} {
		status, body := paste(t, lines[i])
		if !strings.HasPrefix(status, "HTTP/1.1 "+want+" ") || !strings.Contains(lines[i], "# "+want+": ") {
			t.Errorf("%s\n%s\n%s", lines[i], status, body)
		}
		if want == "200" && (!strings.Contains(body, `"POST /api/gitops/sync"`) || !strings.Contains(body, `"X-Auth-Request-Roles": "editor"`)) {
			t.Errorf("the demo upstream was told %s", body)
		}
	}

	url := devURL.FindString(printed)
	issuer := devIssuer.FindString(printed)
	viewer := bearer(get(t, issuer+"viewer").body)
	d.saveWhileAsked(t, url, viewer)

	if got := get(t, issuer+"nobody"); got.status != http.StatusNotFound {
		t.Errorf("a token for nobody: %s", got)
	}
	d.signal(syscall.SIGINT)
	<-d.ended
	if d.err != nil {
		t.Errorf("SIGINT: %v", d.err)
	}
	if left, err := os.ReadDir(d.temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	eventually(t, "every process of its group gone", func() bool { return syscall.Kill(-d.cmd.Process.Pid, 0) == syscall.ESRCH })
}

// saveWhileAsked saves the source of a plugin, well and badly, while requests
// run: the first takes effect, the second does not, and no request fails.
func (d *developing) saveWhileAsked(t *testing.T, url string, viewer []string) {
	t.Helper()
	source := filepath.Join(d.dir, "plugins", "rbac-gitops", "main.go")
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const was = "authorize.Deny(a.reason)"
	if !strings.Contains(string(content), was) {
		t.Fatalf("%s has no %q", source, was)
	}

	var end atomic.Bool
	problem := make(chan string, 1)
	var asking sync.WaitGroup
	asking.Go(func() {
		for !end.Load() {
			if a, err := try(http.MethodPost, url, viewer...); err != nil || a.status != http.StatusForbidden {
				select {
				case problem <- fmt.Sprint(a, err):
				default:
				}
			}
		}
	})
	defer asking.Wait()
	defer end.Store(true)

	says := func(text string) bool { return strings.Contains(ask(t, http.MethodPost, url, viewer...).body, text) }
	writeFile(t, source, strings.Replace(string(content), was, `authorize.Deny("saved: " + a.reason)`, 1))
	eventually(t, "the saved source", func() bool { return says(`"saved: rules[0]`) })

	writeFile(t, source, strings.Replace(string(content), was, `authorize.Deny(nonsense)`, 1))
	eventually(t, "the broken source noticed", func() bool {
		return strings.Contains(d.output.String(), "undefined: nonsense") && strings.Contains(d.output.String(), "the last good version keeps serving")
	})
	if !says(`"saved: rules[0]`) {
		t.Error("the last good version does not answer")
	}

	// Its example is a source too.
	example := filepath.Join(d.dir, "plugins", "rbac-gitops", "example.yaml")
	rules, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, source, string(content))
	writeFile(t, example, strings.ReplaceAll(string(rules), "role: editor", "role: admin"))
	eventually(t, "the saved example", func() bool { return says(`needs admin`) })
	select {
	case p := <-problem:
		t.Errorf("a request beside the swaps: %s", p)
	default:
	}
}

// Interrupted in the middle of building, it leaves nothing either.
func TestDevInterruptedWhileBuilding(t *testing.T) {
	temp := t.TempDir()
	cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), "dev", filepath.Join(copySources(t), "plugins"))
	cmd.Env = append(environ(t), "TMPDIR="+temp, "GOCACHE="+t.TempDir()) // everything is built anew
	p := start(t, cmd)
	eventually(t, "the first package built", func() bool {
		built, err := filepath.Glob(filepath.Join(temp, "authhost-dev-*", "go-build*", "b*", "*.a"))
		return err == nil && len(built) > 0
	})
	// The program alone, not its group as a terminal would.
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if p.err != nil {
		t.Errorf("SIGINT: %v", p.err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	eventually(t, "every process of its group gone", func() bool { return syscall.Kill(-p.cmd.Process.Pid, 0) == syscall.ESRCH })
}

func TestDevWithoutPlugins(t *testing.T) {
	for _, dir := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		temp := t.TempDir()
		cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), "dev", dir)
		cmd.Env = append(environ(t), "TMPDIR="+temp)
		b, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(b), "no plugins to try") {
			t.Errorf("%s: %v\n%s", dir, err, b)
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
