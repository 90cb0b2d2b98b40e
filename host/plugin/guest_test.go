package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

const (
	bufferAt  = 1024
	bufferLen = 32 << 10
	dataAt    = 40 << 10
	pages     = 1 // enough for both
)

var (
	hookParams, hookResults = []byte{I32}, []byte{I64}

	getImport    = Import{Module: "authhost", Name: "get", Params: []byte{I32, I32, I32, I32, I32, I32}, Results: []byte{I32}}
	logImport    = Import{Module: "authhost", Name: "log", Params: []byte{I32, I32, I32}}
	pollImport   = Import{Module: "wasi_snapshot_preview1", Name: "poll_oneoff", Params: []byte{I32, I32, I32, I32}, Results: []byte{I32}}
	randomImport = Import{Module: "wasi_snapshot_preview1", Name: "random_get", Params: []byte{I32, I32}, Results: []byte{I32}}
	exitImport   = Import{Module: "wasi_snapshot_preview1", Name: "proc_exit", Params: []byte{I32}}
)

// result is a hook's return of a constant.
func result(code abi.Code, answerLen uint32) []byte {
	return Join(Const64(int64(uint64(answerLen)<<32|uint64(code))), Op(Return))
}

// base is a sound guest without hooks: marker and buffer.
func base(imports ...Import) Module {
	return Module{Imports: imports, MinPages: pages, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(bufferAt<<32 | bufferLen)},
	}}
}

// with adds a function.
func with(m Module, f Func) Module {
	m.Funcs = append(m.Funcs[:len(m.Funcs):len(m.Funcs)], f)
	return m
}

// hook adds a hook with that body. If that comes to its end on_authorize
// allows, and any other hook goes on.
func hook(m Module, name string, body ...[]byte) Module {
	code := abi.CodeGoOn
	if name == "on_authorize" {
		code = abi.CodeYes
	}
	return with(m, Func{Export: name, Params: hookParams, Results: hookResults, Locals: []byte{I32}, Body: Join(Join(body...), Const64(int64(code)))})
}

// onCue is a body that does what it is told for a long frame only, see cued.
func onCue(body ...[]byte) []byte {
	return Join(Local(0), Const32(1500), Op(0x4b, 0x04, 0x40), Join(body...), Op(0x0b))
}

// cue returns a call that triggers onCue.
func cue() *host.Call { return cued(call()) }

// cued makes a call's frame long: by its query, or, as on_logout has no
// request, by the sessions that ended.
func cued(c *host.Call) *host.Call {
	if c.Ended != nil {
		c.Ended.Sessions = slices.Repeat(c.Ended.Sessions, 500)
	} else {
		c.Query = "q=" + strings.Repeat("x", 2000)
	}
	return c
}

// answering is a body that answers with code and the answer's encoding, which
// it copies from the module's data.
func answering(m *Module, code abi.Code, answer []byte) []byte {
	m.Data = map[uint32]string{dataAt: string(answer)}
	return Join(Const32(bufferAt), Const32(dataAt), Const32(int32(len(answer))), Op(0xfc, 0x0a, 0, 0), result(code, uint32(len(answer))))
}

// call is a call about an editor.
func call() *host.Call {
	now := time.Now()
	return &host.Call{
		Request: &host.Request{
			Method: "POST", Scheme: "https", Authority: "console.example", Host: "console.example",
			Path: "/api/gitops/sync", RawPath: "/api/gitops/sync", Header: http.Header{}, Client: netip.MustParseAddr("192.0.2.7"),
		},
		Query: "a=b", Now: now, Realm: "main", Route: "/**",
		Identity: &host.Identity{
			Realm: "main", Issuer: "https://idp.example", Subject: "alice", UserID: host.UserID("main", "https://idp.example", "alice"),
			Roles: []string{"viewer", "editor"}, Groups: []string{"ops"}, Email: "alice@example.org", Expires: now.Add(time.Hour),
		},
		Credential: host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT},
	}
}

// callOf returns a call of that hook.
func callOf(hook string) *host.Call {
	switch hook {
	case "on_credential":
		c := call()
		c.Identity, c.Credential, c.Candidates = nil, host.Credential{}, []host.Candidate{{Source: host.FromCookie, Name: "a"}}
		return c
	case "on_login":
		return login()
	case "on_logout":
		return ended()
	}
	return call()
}

// reply is what a hook answered, as far as hooks have it in common.
type reply struct {
	refused bool
	reason  string
}

// asks puts a call to a hook. One that failed must have answered nothing.
func asks(t testing.TB, p *plugin.Plugin, hook string, c *host.Call) (r reply, err error) {
	t.Helper()
	var got any
	switch hook {
	case "on_credential":
		var a host.Choice
		a, err = p.Choose(t.Context(), c)
		got, r = a, reply{a.Effect == host.Deny, a.Reason}
	case "on_authorize":
		var a host.Opinion
		a, err = p.Authorize(t.Context(), c)
		got, r = a, reply{a.Effect == host.Deny, a.Reason}
	case "on_login":
		var a host.Admission
		a, err = p.Admit(t.Context(), c)
		got, r = a, reply{a.Refused, a.Reason}
	case "on_logout":
		got, err = p.Notify(t.Context(), c)
	default:
		t.Fatalf("there is no hook %s to ask", hook)
	}
	if err != nil && !reflect.ValueOf(got).IsZero() {
		t.Fatalf("a failed call answered %+v", got)
	}
	return r, err
}

// shared is the compile cache of all tests, on disk: what a test has closed
// the next one need not compile again.
var shared = sync.OnceValue(func() *plugin.Cache {
	c, err := plugin.NewCache(filepath.Join(scratch, "cache"))
	if err != nil {
		panic(err)
	}
	return c
})

var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "authhost-plugin"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

func load(t testing.TB, o plugin.Options) *plugin.Plugin {
	t.Helper()
	if o.Name == "" {
		o.Name = "guest"
	}
	if o.Cache == nil {
		o.Cache = shared()
	}
	p, err := plugin.Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error("close:", err)
		}
	})
	return p
}

// refused loads a plugin that must be refused at step, for a reason that
// holds text.
func refused(t *testing.T, o plugin.Options, step, text string) {
	t.Helper()
	o.Name = "guest"
	if o.Cache == nil {
		o.Cache = shared()
	}
	p, err := plugin.Load(t.Context(), o)
	if err == nil {
		p.Close(context.Background())
		t.Fatal("it was loaded")
	}
	refusal, ok := errors.AsType[*plugin.LoadError](err)
	if !ok || refusal.Step != step || refusal.Plugin != "guest" || !strings.Contains(refusal.Cause.Error(), text) {
		t.Fatalf("got %q, want step %s and %q", err, step, text)
	}
}

// allows asserts that the plugin answers allow.
func allows(t testing.TB, p *plugin.Plugin) {
	t.Helper()
	if o, err := p.Authorize(t.Context(), call()); err != nil || o.Effect != host.Allow {
		t.Fatalf("got %+v, %v, want allow", o, err)
	}
}

// fails asserts that err is one that may cross rooms, and that its cause holds
// text, which the public part does not.
func fails(t testing.TB, err error, text string) {
	t.Helper()
	e, ok := errors.AsType[*host.Error](err)
	if !ok || e.Kind != host.Unavailable || e.Public != "plugin guest failed" || e.Cause == nil {
		t.Fatalf("got %#v, want an unavailable *host.Error", err)
	}
	if !strings.Contains(e.Cause.Error(), text) {
		t.Fatalf("the cause is %q, want %q in it", e.Cause, text)
	}
	if len(e.Cause.Error()) > 8<<10 {
		t.Errorf("the cause has %d bytes", len(e.Cause.Error()))
	}
}

// goGuest builds testdata/guest. The sources are read first: go test then
// knows that its result depends on them.
var goGuest = sync.OnceValues(func() ([]byte, error) {
	if _, err := os.ReadFile("testdata/guest/main.go"); err != nil {
		return nil, err
	}
	out := filepath.Join(scratch, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "./testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(err.Error() + ": " + string(text))
	}
	return os.ReadFile(out)
})

func loadGo(t testing.TB, mode string, o plugin.Options) *plugin.Plugin {
	t.Helper()
	module, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	o.Module, o.Config = module, []byte(mode)
	return load(t, o)
}

// logs is a logger's output.
type logs struct {
	mu   sync.Mutex
	b    bytes.Buffer
	seen chan struct{} // closed at the first line
	once sync.Once
}

func newLogs() (*logs, *slog.Logger) {
	l := &logs{seen: make(chan struct{})}
	return l, slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.once.Do(func() { close(l.seen) })
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// counts is a Metrics.
type counts struct {
	mu            sync.Mutex
	calls, errors map[string]int
	open          map[string]int
}

func newCounts() *counts {
	return &counts{calls: map[string]int{}, errors: map[string]int{}, open: map[string]int{}}
}

func (c *counts) PluginCall(plugin, hook string, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[plugin+" "+hook]++
}

func (c *counts) PluginError(plugin, hook string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errors[plugin+" "+hook]++
}

func (c *counts) PluginBreaker(plugin, hook string, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if open {
		c.open[plugin+" "+hook]++
	} else {
		c.open[plugin+" "+hook]--
	}
}

func (c *counts) PluginMetric(plugin, name string, delta int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[plugin+" metric "+name] += int(delta)
}

func (c *counts) PluginFetch(plugin, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[plugin+" fetch "+result]++
}

func (c *counts) PluginState(plugin, state, op, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[plugin+" "+state+" "+op+" "+result]++
}
