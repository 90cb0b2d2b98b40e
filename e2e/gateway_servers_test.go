package e2e

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const gatewayDocs = "../docs/gateways"

// identityHeaders is what the application may rely on.
var identityHeaders = []string{
	"X-Auth-Request-User", "X-Auth-Request-User-Id", "X-Auth-Request-Realm", "X-Auth-Request-Roles",
	"X-Auth-Request-Groups", "X-Auth-Request-Email", "X-Auth-Request-Session-Id", "X-Auth-Request-Credential",
}

// gateway is one running gateway, authhost that it asks and the application
// behind it.
type gateway struct {
	name string
	addr string
	*gatewayApp
}

// gatewayKinds are the gateways that can be run: each starts one by the
// shipped configuration.
var gatewayKinds = map[string]func(t testing.TB, authhost, application string, edit ...string) string{
	"nginx": startNginx,
	"caddy": startCaddy,
}

// eachGateway runs authhost by config and test behind each gateway.
func eachGateway(t *testing.T, config string, test func(t *testing.T, g *gateway, h *authhost)) {
	h := serve(t, listen+config)
	eachGatewayOf(t, h.public, func(t *testing.T, g *gateway) { test(t, g, h) })
}

// eachGatewayOf runs test behind each gateway that asks authhost at a URL.
func eachGatewayOf(t *testing.T, authhost string, test func(t *testing.T, g *gateway), edit ...string) {
	for name, start := range gatewayKinds {
		t.Run(name, func(t *testing.T) {
			app := newGatewayApp(t)
			addr := start(t, strings.TrimPrefix(authhost, "http://"), app.server.Listener.Addr().String(), edit...)
			test(t, &gateway{name, addr, app})
		})
	}
}

// shipped returns a shipped configuration with the addresses that it shows
// replaced; edit is texts and their replacements in turn. Each text must be
// there.
func shipped(t testing.TB, file string, edit ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(gatewayDocs, file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(text, edit[i]) {
			t.Fatalf("%s does not contain %q", file, edit[i])
		}
		text = strings.ReplaceAll(text, edit[i], edit[i+1])
	}
	return text
}

// startNginx runs nginx by the shipped configuration and returns its address.
func startNginx(t testing.TB, authhost, application string, edit ...string) string {
	t.Helper()
	addr := freeAddr(t)
	dir := nginxDir(t, shipped(t, "nginx.conf", append(edit, "127.0.0.1:8080", authhost, "127.0.0.1:3000", application, "127.0.0.1:8088", addr)...))
	startGateway(t, addr, nginxCommand(t, dir, "-g", "daemon off;"))
	return addr
}

// nginxDir makes a prefix folder for nginx with conf in http context. Its access log
// is access.log there.
func nginxDir(t testing.TB, conf string) string {
	t.Helper()
	dir := t.TempDir()
	user := ""
	if os.Geteuid() == 0 { // nobody may not enter the folder
		user = "user root;"
	}
	conf = strings.ReplaceAll(conf, "/var/log/nginx/", "") // beneath the prefix
	writeFile(t, filepath.Join(dir, "authhost.conf"), conf)
	writeFile(t, filepath.Join(dir, "nginx.conf"), user+`
worker_processes 1;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path temp-body;
    proxy_temp_path temp-proxy;
    fastcgi_temp_path temp-fastcgi;
    uwsgi_temp_path temp-uwsgi;
    scgi_temp_path temp-scgi;
    include authhost.conf;
}
`)
	return dir
}

func nginxCommand(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(program(t, "nginx"), append([]string{"-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr"}, args...)...)
}

// startCaddy runs Caddy by the shipped configuration and returns its address.
func startCaddy(t testing.TB, authhost, application string, edit ...string) string {
	t.Helper()
	addr := freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "Caddyfile"),
		shipped(t, "Caddyfile", append(edit, "127.0.0.1:8080", authhost, "127.0.0.1:3000", application, "http://:8089", "http://:"+port)...))
	startGateway(t, addr, caddyCommand(t, dir, "run"))
	return addr
}

func caddyCommand(t testing.TB, dir, verb string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program(t, "caddy"), verb, "--config", "Caddyfile", "--adapter", "caddyfile")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	return cmd
}

func startGateway(t testing.TB, addr string, cmd *exec.Cmd) {
	t.Helper()
	p := start(t, cmd)
	eventually(t, filepath.Base(cmd.Path)+" listening", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v\n%s", cmd.Path, p.err, p.output.String())
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// gatewayApp is the application: it answers with what it was sent.
type gatewayApp struct {
	server *httptest.Server
	asked  atomic.Int64
	next   chan struct{} // lets /events go on
	begun  chan struct{} // /upload has the first byte
}

// appRequest is one request as the application received it.
type appRequest struct {
	Method, Target, Host string
	Header               http.Header
	Trailer              http.Header
	Length               int64  // of the body
	Sum                  string // of the body, SHA-256
}

func newGatewayApp(t testing.TB) *gatewayApp {
	app := &gatewayApp{next: make(chan struct{}), begun: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/", echo)
	mux.HandleFunc("/ws/", echoUpgraded)
	mux.HandleFunc("/failing/{status}", func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscan(r.PathValue("status"), &status)
		http.Error(w, "the application's own", status)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			http.NewResponseController(w).Flush()
			select {
			case <-app.next:
			case <-r.Context().Done():
			}
		}
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadFull(r.Body, make([]byte, 1)); err == nil {
			app.begun <- struct{}{}
		}
		echo(w, r)
	})
	app.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app.asked.Add(1)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(app.server.Close)
	return app
}

func echo(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(appRequest{r.Method, r.RequestURI, r.Host, r.Header, r.Trailer, n, hex.EncodeToString(sum.Sum(nil))})
}

// echoUpgraded switches to any protocol, tells what it was sent in a line, and
// then returns every byte.
func echoUpgraded(w http.ResponseWriter, r *http.Request) {
	protocol := r.Header.Get("Upgrade")
	if !strings.EqualFold(r.Header.Get("Connection"), "upgrade") || protocol == "" {
		echo(w, r)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
	json.NewEncoder(c).Encode(appRequest{Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header})
	io.Copy(c, rw)
}

// lie is the value of every header that a client sends and the application
// must not see.
const lie = "told-by-the-client"

// lies is every identity header in its canonical spelling.
var lies = func() (lines []string) {
	for _, name := range identityHeaders {
		lines = append(lines, name, lie)
	}
	return lines
}()

// conversation is a connection to a gateway with the answer's head read.
type conversation struct {
	*http.Response
	conn   net.Conn
	reader *bufio.Reader // what follows the head
}

// open writes one request byte by byte as given, with lies on top, and reads
// the answer's head. header is names and values in turn; Host is
// console.example unless it is among them.
func (g *gateway) open(t testing.TB, method, target, body string, header ...string) conversation {
	t.Helper()
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", method, target)
	host, chunked := "Host: console.example\r\n", false
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			host = ""
		}
		chunked = chunked || header[i] == "Transfer-Encoding"
		fmt.Fprintf(&head, "%s: %s\r\n", header[i], header[i+1])
	}
	for i := 0; i < len(lies); i += 2 {
		fmt.Fprintf(&head, "%s: %s\r\n", lies[i], lies[i+1])
	}
	head.WriteString(host)
	if body != "" && !chunked {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", len(body))
	}
	return talk(t, g.dial(t), method, head.String()+"\r\n"+body)
}

func (g *gateway) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// talk writes a request to a connection and reads the answer's head.
func talk(t testing.TB, c net.Conn, method, request string) conversation {
	t.Helper()
	// A gateway may answer before it has read all; then its answer counts.
	_, wrong := io.WriteString(c, request)
	reader := bufio.NewReader(c)
	resp, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request[:min(len(request), 200)], cmp.Or(wrong, err))
	}
	return conversation{resp, c, reader}
}

// ask sends one request as open does and reads the whole answer.
func (g *gateway) ask(t testing.TB, method, target string, header ...string) answer {
	t.Helper()
	return g.askBody(t, method, target, "", header...)
}

func (g *gateway) askBody(t testing.TB, method, target, body string, header ...string) answer {
	t.Helper()
	return g.open(t, method, target, body, header...).read(t)
}

// read takes in the rest of the answer and ends the conversation.
func (c conversation) read(t testing.TB) answer {
	t.Helper()
	defer c.conn.Close()
	content, err := io.ReadAll(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{c.StatusCode, c.Header, string(content)}
}

// refuses asks and expects a status that is not the application's, and that
// the application is not asked.
func (g *gateway) refuses(t testing.TB, status int, method, target string, header ...string) answer {
	t.Helper()
	before := g.asked.Load()
	a := g.ask(t, method, target, header...)
	if a.status != status {
		t.Errorf("%s %s: got %s, want %d", method, target, a, status)
	}
	if g.asked.Load() != before {
		t.Errorf("%s %s: %d, and the application was asked", method, target, a.status)
	}
	return a
}

// passes asks, expects that the application answers, and returns what it was
// sent: what the client asked for, with no lie.
func (g *gateway) passes(t testing.TB, method, target string, header ...string) appRequest {
	t.Helper()
	r := g.received(t, g.ask(t, method, target, header...))
	if r.Method != method || r.Target != target {
		t.Errorf("%s %s arrived as %s %s", method, target, r.Method, r.Target)
	}
	return r
}

// received reads the application's answer.
func (g *gateway) received(t testing.TB, a answer) appRequest {
	t.Helper()
	var r appRequest
	if err := json.Unmarshal([]byte(a.body), &r); err != nil || a.status != http.StatusOK {
		t.Fatalf("got %s, want 200 from the application", a)
	}
	r.check(t)
	return r
}

// check looks for what the application must never see.
func (r *appRequest) check(t testing.TB) {
	t.Helper()
	for _, header := range []http.Header{r.Header, r.Trailer} {
		for name, values := range header {
			if strings.Contains(strings.Join(values, "\n"), lie) {
				t.Errorf("%s %s: the client's %s reached the application: %q", r.Method, r.Target, name, values)
			}
		}
	}
	for name, values := range r.Header {
		spelt := strings.Map(func(c rune) rune {
			if c == '_' || c == '.' {
				return '-'
			}
			return c
		}, strings.ToLower(name))
		if strings.HasPrefix(spelt, "x-auth-request-") && (len(values) > 1 || !isIdentityHeader(name)) {
			t.Errorf("%s %s: the application was sent %s: %q", r.Method, r.Target, name, values)
		}
	}
}

func isIdentityHeader(name string) bool {
	for _, known := range identityHeaders {
		if name == known {
			return true
		}
	}
	return false
}

// identity returns the identity headers that say something, without their
// common prefix.
func (r *appRequest) identity() map[string]string {
	known := map[string]string{}
	for _, name := range identityHeaders {
		if value := r.Header.Get(name); value != "" {
			known[strings.TrimPrefix(name, "X-Auth-Request-")] = value
		}
	}
	return known
}

// awaitReady waits until authhost has its keys.
func (h *authhost) awaitReady(t testing.TB) {
	t.Helper()
	eventually(t, "authhost ready", func() bool {
		a, err := try(http.MethodGet, h.telemetry+"/readyz")
		return err == nil && a.status == http.StatusOK
	})
}
