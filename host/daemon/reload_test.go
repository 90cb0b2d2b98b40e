package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin/rollout"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// gate is a plugin that allows everything. What tells one from another is a
// custom section.
func gate(version string) string {
	return string(Module{MinPages: 1, Custom: map[string]string{"version": version}, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(1024<<32 | 4096)},
		{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Const64(int64(abi.CodeYes))},
	}}.Encode())
}

// open opens a daemon with a folder of its own. Nobody runs it, so that a test
// takes the steps itself.
func open(t *testing.T, config string, modules map[string]string) (d *Daemon, dir string) {
	t.Helper()
	return openLogged(t, nil, config, modules)
}

// openLogged is open with a log.
func openLogged(t *testing.T, log io.Writer, config string, modules map[string]string) (d *Daemon, dir string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir = t.TempDir()
	for name, content := range modules {
		write(t, filepath.Join(dir, name), content)
	}
	file := filepath.Join(dir, "authhost.yaml")
	write(t, file, config)
	d, err := Open(t.Context(), Options{ConfigFile: file, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d, dir
}

// What a reload replaced is kept for a rollback. What came before that is
// closed once the last request that uses it has been decided, and not before;
// what is still used stays.
func TestDrainClosesWhatWasReplaced(t *testing.T) {
	d, dir := open(t, "cache: {driver: memory}\nplugins:\n  - {name: changed, module: a.wasm}\n  - {name: same, module: b.wasm}\n",
		map[string]string{"a.wasm": gate("1"), "b.wasm": gate("b")})
	old, same := d.current.plugins["changed"].Version, d.current.plugins["same"].Version
	request := d.pipeline.Acquire()
	all, _ := old.Instances()

	swap := func(version string) *rollout.Version {
		write(t, filepath.Join(dir, "a.wasm"), gate(version))
		d.renewPlugins(t.Context())
		return d.current.plugins["changed"].Version
	}
	second := swap("2")
	if second == old || d.current.plugins["same"].Version != same {
		t.Fatal("not the changed plugin alone was loaded anew")
	}
	first := <-d.retired
	if len(first.plugins) != 0 {
		t.Fatalf("the previous generation is closed: %v", first.plugins)
	}
	d.retired <- first
	swap("3")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go d.drain(ctx)
	for len(d.retired) > 1 { // it waits for the request now
		time.Sleep(time.Millisecond)
	}
	swap("4")
	for range 50 {
		if n, _ := old.Instances(); n != all || n == 0 {
			t.Fatalf("the old plugin has %d instances with a request under way", n)
		}
		time.Sleep(time.Millisecond)
	}
	request.Release()
	for _, v := range []*rollout.Version{old, second} {
		for n := 1; n > 0; n, _ = v.Instances() {
			time.Sleep(time.Millisecond)
		}
	}
	if n, _ := same.Instances(); n != all {
		t.Errorf("the unchanged plugin has %d instances", n)
	}
	if kept := d.current.plugins["changed"].All(); len(kept) != 2 || kept[0].Number != 4 || kept[1].Number != 3 {
		t.Errorf("%d generations are kept", len(kept))
	}
}

// endlessConfig has a plugin whose calls end when they are cut.
const endlessConfig = "cache: {driver: memory}\nplugins: [{name: gate, module: a.wasm, limits: {time: 24h, instances: 1}}]\n"

// endless is a plugin that never answers.
func endless() string {
	return string(Module{MinPages: 1, Funcs: []Func{
		{Export: abi.Marker},
		{Export: abi.BufferExport, Results: []byte{I64}, Body: Const64(1024<<32 | 4096)},
		{Export: abi.OnAuthorize.String(), Params: []byte{I32}, Results: []byte{I64}, Body: Join(Forever(), Const64(0))},
	}}.Encode())
}

// authorize asks a version with one instance, and returns when the call is under
// way. What comes of it is told after done.
func authorize(v *rollout.Version, done func()) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := v.Host().Authorizer.Authorize(context.Background(), &host.Call{Request: &host.Request{Method: "GET", Path: "/"}})
		done()
		answer <- err
	}()
	for v.Health().Idle > 0 {
		time.Sleep(time.Millisecond)
	}
	return answer
}

// A host that is told to stop waits for no plugin: neither for one that is in
// force nor for one that a reload replaced.
func TestStopCutsACallThatDoesNotEnd(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		dir := t.TempDir()
		file, module := filepath.Join(dir, "authhost.yaml"), filepath.Join(dir, "a.wasm")
		write(t, file, endlessConfig+"listen: {public: 127.0.0.1:0, admin: 127.0.0.1:0, telemetry: 127.0.0.1:0}\n")
		write(t, module, endless())
		listening := make(chan struct{})
		d, err := Open(t.Context(), Options{ConfigFile: file, Listening: func(map[string]string) { close(listening) }})
		if err != nil {
			t.Fatal(err)
		}
		cut := authorize(d.current.plugins["gate"].Version, func() {})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		<-listening
		for _, version := range []string{"2", "3"} {
			if !replaced {
				break
			}
			write(t, module, gate(version))
			if err := d.ReloadPlugin(t.Context(), "gate"); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("replaced: %v: it still waits", replaced)
		}
		if err := <-cut; err == nil {
			t.Error("it was answered")
		}
	}
}

// A call that does not end is cut once what it uses has been kept for long
// enough, and the version is closed, by whichever reload it is that drops it.
func TestDrainCutsACallThatDoesNotEnd(t *testing.T) {
	d, dir := open(t, endlessConfig, map[string]string{"a.wasm": endless()})
	var log bytes.Buffer
	d.log, d.drainTime = slog.New(slog.NewJSONHandler(&log, nil)), time.Millisecond
	old, request := d.current.plugins["gate"].Version, d.pipeline.Acquire()
	cut := authorize(old, request.Release)
	for _, version := range []string{"2", "3"} {
		write(t, filepath.Join(dir, "a.wasm"), gate(version))
		d.renewPlugins(t.Context())
	}
	ctx, stop := context.WithCancel(t.Context())
	drained := make(chan struct{})
	go func() { d.drain(ctx); close(drained) }()
	if err := <-cut; err == nil {
		t.Error("it was answered")
	}
	for n := 1; n > 0; n, _ = old.Instances() {
		time.Sleep(time.Millisecond)
	}
	stop()
	<-drained
	if text := log.String(); !strings.Contains(text, `"msg":"requests still use what a reload replaced; it is closed now"`) || strings.Contains(text, `"msg":"plugin did not close"`) {
		t.Errorf("the log says %s", text)
	}
}

// Plugins of one file never get two versions of it, though it may change while
// they are loaded.
func TestPluginsOfOneModuleAgree(t *testing.T) {
	d, dir := open(t, "cache: {driver: memory}\nplugins:\n  - {name: one, module: a.wasm}\n  - {name: two, module: a.wasm}\n",
		map[string]string{"a.wasm": gate("1")})
	read := files{watcher: &d.watcher}
	path := filepath.Join(dir, "a.wasm")
	write(t, path, gate("2"))
	one, err := d.current.plugins["one"].Try(t.Context(), d.current.spec("one"), read.read, false)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, gate("3"))
	two, err := d.current.plugins["two"].Try(t.Context(), d.current.spec("two"), read.read, false)
	if err != nil {
		t.Fatal(err)
	}
	defer closeVersions(t.Context(), d.log, []*rollout.Version{one.Version, two.Version})
	if one.Version.SHA256 != two.Version.SHA256 {
		t.Error("they are of two versions")
	}
	// And the newer one is not lost.
	d.watcher.watch(d.current.files())
	if got := settle(&d.watcher); len(got) != 1 || got[0] != path {
		t.Errorf("the poll reports %v", got)
	}
}

// A file that is no module by its size is not read, and what serves goes on.
func TestLargeModule(t *testing.T) {
	d, dir := open(t, "cache: {driver: memory}\nplugins: [{name: gate, module: a.wasm}]\n", map[string]string{"a.wasm": gate("1")})
	before := d.current.plugins["gate"].Version
	if err := os.Truncate(filepath.Join(dir, "a.wasm"), 1<<40); err != nil { // more than any memory
		t.Fatal(err)
	}
	if got := settle(&d.watcher); len(got) != 1 {
		t.Fatalf("the poll reports %v", got)
	}
	d.renewPlugins(t.Context())
	s := d.current.plugins["gate"].Status()
	if d.current.plugins["gate"].Version != before || s.Last.Refused() == nil || !strings.Contains(s.Last.Refused().Detail, "a module may have") {
		t.Errorf("%+v", s.Last)
	}
	if got := settle(&d.watcher); len(got) != 0 {
		t.Errorf("the poll reports %v again", got)
	}
}

// A failed configuration leaves nothing of itself behind.
func TestRefusedConfigurationIsUndone(t *testing.T) {
	const good = "cache: {driver: memory}\nplugins:\n  - {name: one, module: a.wasm}\n"
	d, dir := open(t, good, map[string]string{"a.wasm": gate("1")})
	before := d.current
	file := filepath.Join(dir, "authhost.yaml")
	write(t, file, good+"  - {name: two, module: a.wasm}\n  - {name: three, module: none.wasm}\nrealms: [{name: other}]\n")
	if err := d.reloadConfig(t.Context()); err == nil {
		t.Fatal("applied")
	}
	if d.current != before || d.serving.Load() != before || !d.refused {
		t.Error("the last good one is not in force")
	}
	// What it waits for.
	write(t, filepath.Join(dir, "none.wasm"), gate("3"))
	changed := settle(&d.watcher)
	if len(changed) != 1 || filepath.Base(changed[0]) != "none.wasm" {
		t.Fatalf("the poll reports %v", changed)
	}
	d.takeUp(t.Context(), changed)
	if d.refused || len(d.current.plugins) != 3 || d.current.plugins["one"].Version != before.plugins["one"].Version {
		t.Errorf("refused %v, plugins %v", d.refused, d.current.plugins)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := d.reloadConfig(t.Context()); err == nil || len(d.current.plugins) != 3 {
		t.Errorf("without a file: %v", err)
	}
}

// Who reads that a plugin was refused also reads when its files are again what
// serves.
func TestRefusalIsTakenBackInTheLog(t *testing.T) {
	d, dir := open(t, "cache: {driver: memory}\nplugins:\n  - {name: gate, module: a.wasm}\n", map[string]string{"a.wasm": gate("1")})
	var log bytes.Buffer
	d.log = slog.New(slog.NewJSONHandler(&log, nil))
	path := filepath.Join(dir, "a.wasm")
	for _, module := range []string{"no module", gate("1"), gate("1")} {
		write(t, path, module)
		d.takeUp(t.Context(), []string{path})
	}
	const back = `"msg":"plugin no longer refused","plugin":"gate","generation":1`
	if said := log.String(); strings.Count(said, `"msg":"plugin refused"`) != 1 || strings.Count(said, back) != 1 || strings.Index(said, back) < strings.Index(said, "plugin refused") {
		t.Errorf("the log says\n%s", said)
	}
}

// A version that is gone back to comes with the headers that it may set: no
// copy of a client's may survive in their place.
func TestRollbackBringsItsHeaders(t *testing.T) {
	config := func(header string) string {
		return "cache: {driver: memory}\nplugins:\n  - {name: gate, module: a.wasm, headers: [" + header + "]}\n"
	}
	d, dir := open(t, config("X-Old"), map[string]string{"a.wasm": gate("1")})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go d.keepCurrent(ctx)
	write(t, filepath.Join(dir, "authhost.yaml"), config("X-New"))
	if err := d.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.RollBackPlugin(t.Context(), "gate"); err != nil {
		t.Fatal(err)
	}
	s := d.pipeline.Acquire()
	defer s.Release()
	if !slices.Equal(s.PluginHeaders, []string{"X-New", "X-Old"}) {
		t.Errorf("headers %v", s.PluginHeaders)
	}
	stop()
	<-d.stopped
	for _, do := range []func(context.Context, string) error{d.ReloadPlugin, d.RollBackPlugin} {
		if err := do(t.Context(), "gate"); err != errStopping {
			t.Errorf("stopped: %v", err)
		}
	}
}
