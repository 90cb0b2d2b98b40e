package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// soak asks for the long form of the tests that have one.
var soak = flag.Bool("soak", false, "run the long form of kills, outages and reloads")

const patience = time.Minute // guards against a hang, asserts nothing

var root = func() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}()

var built struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	flag.Parse()
	if addr := os.Getenv(bareEnv); addr != "" {
		fmt.Fprintln(os.Stderr, serveBare(addr))
		os.Exit(1)
	}
	if addr := os.Getenv(clientEnv); addr != "" {
		runClient(addr)
	}
	if text := os.Getenv(writerEnv); text != "" {
		if err := serveJob(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := flag.Set("test.parallel", "3"); err != nil { // they wait for programs, not for processors
		panic(err)
	}
	lastPort.Store(rand.Int32N(ports))
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// artifacts compiles authhost and the plugins, once, and returns the folder:
// authhost, and the plugins that ship but one. It reads every source
// first: a cached test result must not outlive them.
func artifacts(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.err = readSources(); built.err != nil {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "authhost-e2e-"); built.err != nil {
			return
		}
		built.err = goBuild(root, nil, filepath.Join(built.dir, "authhost"), "./cmd/authhost")
		for _, p := range []string{"cookie-fallback", "rbac-gitops", "logout-webhook"} {
			if built.err == nil {
				built.err = buildGuest(filepath.Join(root, "plugins", p), filepath.Join(built.dir, p+".wasm"))
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

func readSources() error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if slices.Contains([]string{".go", ".mod", ".sum", ".yaml", ".txtar", ".rs", ".ts", ".c", ".h"}, filepath.Ext(path)) {
			_, err = os.ReadFile(path)
		}
		return err
	})
}

func goBuild(dir string, env []string, out string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", dir, err, output)
	}
	return nil
}

// buildGuest compiles the Go plugin in dir to a module.
func buildGuest(dir, out string) error {
	return goBuild(dir, []string{"GOOS=wasip1", "GOARCH=wasm"}, out, "-buildmode=c-shared", ".")
}

// lockedBuffer is written by a process while the test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// process is one program that the test started and stops.
type process struct {
	cmd    *exec.Cmd
	output lockedBuffer
	ended  chan struct{}
	err    error
}

// start runs a program until the test ends. Its output is shown when the test
// has failed.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	if cmd.Stderr == nil {
		cmd.Stdout, cmd.Stderr = &p.output, &p.output
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			output := p.output.String()
			if len(output) > 8<<10 {
				output = "…" + output[len(output)-8<<10:]
			}
			t.Logf("output of %s:\n%s", filepath.Base(cmd.Path), output)
		}
	})
	return p
}

// stop ends the program as its users do, or the hard way if it does not heed.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		<-p.ended
		t.Errorf("%s did not end on SIGTERM", filepath.Base(p.cmd.Path))
	}
}

// kill ends the program without a chance to tidy up.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.ended:
	default:
		// The process may end at this very moment; then there is nothing to do.
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// eventually polls until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not in %s: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// authhost is one running host.
type authhost struct {
	*process
	config    string // its file
	public    string // http://host:port
	admin     string
	telemetry string
	proxy     string // empty without one
}

// listen is the head of every configuration here.
const listen = `
listen: {public: "127.0.0.1:0", admin: "127.0.0.1:0", telemetry: "127.0.0.1:0"}
`

// serve writes config to a folder of its own and runs authhost serve on it.
// In config, PLUGINS stands for the folder of compiled modules.
func serve(t testing.TB, config string, env ...string) *authhost {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authhost.yaml")
	writeFile(t, file, strings.ReplaceAll(config, "PLUGINS", artifacts(t)))
	return serveFile(t, file, env...)
}

func serveFile(t testing.TB, file string, env ...string) *authhost {
	t.Helper()
	return serveProgram(t, filepath.Join(artifacts(t), "authhost"), file, env...)
}

// serveProgram runs the given build of authhost.
func serveProgram(t testing.TB, program, file string, env ...string) *authhost {
	t.Helper()
	cmd := exec.Command(program, "serve", "--config", file)
	cmd.Env = append(environ(t), env...)
	h := &authhost{process: start(t, cmd), config: file}
	t.Cleanup(direct.CloseIdleConnections) // it would wait 5 seconds for those that were never used
	eventually(t, "authhost listening", func() bool {
		select {
		case <-h.ended:
			t.Fatalf("authhost ended: %v\n%s", h.err, h.output.String())
		default:
		}
		addr := h.listeners()
		h.public, h.admin, h.telemetry, h.proxy = addr["public"], addr["admin"], addr["telemetry"], addr["proxy"]
		return h.public != "" && h.admin != "" && h.telemetry != ""
	})
	return h
}

// environ is the environment of every authhost here: compiled plugins are kept
// for this run of the tests alone.
func environ(t testing.TB) []string {
	t.Helper()
	return append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(artifacts(t), "cache"))
}

// listeners reads the addresses from the log.
func (h *authhost) listeners() map[string]string {
	addr := map[string]string{}
	for _, line := range linesOf(h.output.String(), "listening") {
		name, _ := line["name"].(string)
		at, _ := line["addr"].(string)
		addr[name] = "http://" + at
	}
	return addr
}

// logged returns the log lines with the given message.
func (h *authhost) logged(message string) []map[string]any { return linesOf(h.log(), message) }

// log returns the log once it has come to rest: lines are written a moment
// after their request was answered, which a busy machine makes a long one for
// threads that wait for a processor.
func (h *authhost) log() string {
	log := h.output.String()
	end := time.Now().Add(patience)
	for rest := 0; rest < 10 && time.Now().Before(end); rest++ {
		time.Sleep(10 * time.Millisecond)
		if now := h.output.String(); now != log || h.works() {
			log, rest = now, 0
		}
	}
	return log
}

// works says whether a thread of the program runs, or would if it could.
func (p *process) works() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	return slices.ContainsFunc(stats, func(path string) bool {
		stat, _ := os.ReadFile(path) // none: the thread has ended
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "R") || strings.HasPrefix(rest, "D")
	})
}

func linesOf(log, message string) []map[string]any {
	var found []map[string]any
	lines := bufio.NewScanner(strings.NewReader(log))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line map[string]any
		if json.Unmarshal(lines.Bytes(), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// metric returns the sum of the samples of /metrics whose name and labels
// contain every one of parts.
func (h *authhost) metric(t testing.TB, parts ...string) float64 {
	t.Helper()
	var sum float64
	for line := range strings.Lines(get(t, h.telemetry+"/metrics").body) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		matches := true
		for _, p := range parts {
			matches = matches && strings.Contains(series+"}", p)
		}
		var v float64
		if _, err := fmt.Sscan(value, &v); matches && err == nil {
			sum += v
		}
	}
	return sum
}

// answer is one HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, strings.TrimSpace(a.body)) }

// direct never follows a redirect and keeps no cookie.
var direct = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
}

func get(t testing.TB, url string, header ...string) answer {
	t.Helper()
	return ask(t, http.MethodGet, url, header...)
}

// ask makes one request; header is names and values in turn.
func ask(t testing.TB, method, url string, header ...string) answer {
	t.Helper()
	a, err := try(method, url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(method, url string, header ...string) (answer, error) {
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := direct.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// forwardAuth asks as Traefik and Caddy do.
func (h *authhost) forwardAuth(t testing.TB, method, path string, header ...string) answer {
	t.Helper()
	return get(t, h.public+"/authz/forward-auth", forwarded(method, path, header...)...)
}

func forwarded(method, path string, header ...string) []string {
	return append([]string{"X-Forwarded-Method", method, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "console.example", "X-Forwarded-Uri", path}, header...)
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replaceFile puts content in place of a file in one step.
func replaceFile(t testing.TB, path, content string) {
	t.Helper()
	writeFile(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// lastPort is that of the last freeAddr. Its numbers are below those that the
// kernel gives to whoever asks for a free one, so none is given away before the
// program that it is for has taken it, nor while that is stopped.
var lastPort atomic.Int32

const firstPort, ports = 20_000, 12_000

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range ports {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+lastPort.Add(1)%ports)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// program returns the path of a server from Debian's packages.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/usr/local/bin"} {
		if path := filepath.Join(dir, name); exec.Command("test", "-x", path).Run() == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: run make deps", name)
	return ""
}

// redisServer is a real Redis that can be stopped and started again.
type redisServer struct {
	addr string
	dir  string
	*process
}

// startRedis runs redis-server on a port of its own, with a persistence that
// survives its stop.
func startRedis(t testing.TB) *redisServer {
	t.Helper()
	r := &redisServer{addr: freeAddr(t), dir: t.TempDir()}
	r.start(t)
	return r
}

func (r *redisServer) start(t testing.TB) {
	t.Helper()
	_, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.process = start(t, exec.Command(program(t, "redis-server"), "--port", port, "--bind", "127.0.0.1", "--dir", r.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"))
	eventually(t, "redis answering", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			return false
		}
		defer c.Close()
		fmt.Fprint(c, "PING\r\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		return err == nil && strings.HasPrefix(line, "+PONG")
	})
}
