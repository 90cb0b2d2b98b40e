package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
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
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir = t.TempDir()
	for name, content := range modules {
		write(t, filepath.Join(dir, name), content)
	}
	file := filepath.Join(dir, "authhost.yaml")
	write(t, file, config)
	d, err := Open(t.Context(), Options{ConfigFile: file})
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

// What a reload replaced is closed once the last request that uses it has been
// decided, and not before; what is still used stays.
func TestDrainClosesWhatWasReplaced(t *testing.T) {
	d, dir := open(t, "cache: {driver: memory}\nplugins:\n  - {name: changed, module: a.wasm}\n  - {name: same, module: b.wasm}\n",
		map[string]string{"a.wasm": gate("1"), "b.wasm": gate("b")})
	old, same := d.current.plugins["changed"].version, d.current.plugins["same"].version
	request := d.pipeline.Acquire()

	write(t, filepath.Join(dir, "a.wasm"), gate("2"))
	if err := d.rebuild(t.Context(), d.current.config); err != nil {
		t.Fatal(err)
	}
	if d.current.plugins["changed"].version == old || d.current.plugins["same"].version != same {
		t.Fatal("not the changed plugin alone was loaded anew")
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go d.drain(ctx)
	for len(d.retired) > 0 { // it waits for the request now
		time.Sleep(time.Millisecond)
	}
	for range 50 {
		if n, _ := old.Instances(); n != 1 {
			t.Fatalf("the old plugin has %d instances with a request under way", n)
		}
		time.Sleep(time.Millisecond)
	}
	request.Release()
	for n := 1; n > 0; n, _ = old.Instances() {
		time.Sleep(time.Millisecond)
	}
	if n, _ := same.Instances(); n != 1 {
		t.Errorf("the unchanged plugin has %d instances", n)
	}
}

// Plugins of one file never get two versions of it, though it may change while
// they are loaded.
func TestPluginsOfOneModuleAgree(t *testing.T) {
	d, dir := open(t, "cache: {driver: memory}\nplugins:\n  - {name: one, module: a.wasm}\n  - {name: two, module: a.wasm}\n",
		map[string]string{"a.wasm": gate("1")})
	read := modules{}
	path := filepath.Join(dir, "a.wasm")
	write(t, path, gate("2"))
	one, err := d.loadPlugin(t.Context(), d.current.config.Plugins[0], nil, read)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, gate("3"))
	two, err := d.loadPlugin(t.Context(), d.current.config.Plugins[1], nil, read)
	if err != nil {
		t.Fatal(err)
	}
	defer closePlugins(t.Context(), d.log, []*loaded{one, two})
	if one.hash != two.hash {
		t.Error("they are of two versions")
	}
	// And the newer one is not lost.
	d.watcher.watch(d.current.files())
	if got := settle(&d.watcher); len(got) != 1 || got[0] != path {
		t.Errorf("the poll reports %v", got)
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
	if d.refused || len(d.current.plugins) != 3 || d.current.plugins["one"] != before.plugins["one"] {
		t.Errorf("refused %v, plugins %v", d.refused, d.current.plugins)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := d.reloadConfig(t.Context()); err == nil || len(d.current.plugins) != 3 {
		t.Errorf("without a file: %v", err)
	}
}
