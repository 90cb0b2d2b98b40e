package plugin_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

func TestGoGuest(t *testing.T) {
	allows(t, loadGo(t, "", plugin.Options{}))

	p := loadGo(t, "roles", plugin.Options{})
	allows(t, p)
	c := call()
	c.Identity.Roles = []string{"viewer"}
	if o, err := p.Authorize(t.Context(), c); err != nil || o.Effect != host.Deny || o.Reason != "not an editor" || o.Kind != host.Forbidden {
		t.Errorf("got %+v, %v", o, err)
	}

	module, _ := goGuest()
	refused(t, plugin.Options{Module: module, Config: []byte("refuse")}, "configure", "as told")
	refused(t, plugin.Options{Module: module, Limits: plugin.Limits{Memory: 1 << 20}}, "compile", "memory")
}

// What ends a Go guest ends one call. Its words go to the log, not to the
// client.
func TestGoGuestFailures(t *testing.T) {
	for mode, text := range map[string]string{"panic": "main.onAuthorize", "loop": "all its fuel is used", "exit": "exit_code(0)"} {
		log, logger := newLogs()
		p := loadGo(t, mode, plugin.Options{Logger: logger, Limits: plugin.Limits{Instances: 1}})
		for range 2 {
			_, err := p.Authorize(t.Context(), call())
			fails(t, err, text)
			if strings.Contains(err.(*host.Error).Public, "as told") {
				t.Error("a guest's words are public")
			}
		}
		if mode == "panic" && !strings.Contains(log.String(), `"text":"panic: as told`) {
			t.Errorf("the panic is not in the log:\n%s", log)
		}
	}
}

// A guest's collector paces itself by the clock: with one that never moves,
// 800 MB of garbage would grow the memory beyond any limit.
func TestGoGuestGarbage(t *testing.T) {
	p := loadGo(t, "garbage", plugin.Options{Limits: plugin.Limits{Memory: 16 << 20, Instances: 1, Time: 10 * time.Second}})
	for range 200 { // 1 MiB each
		allows(t, p)
	}
	if _, ever := p.Instances(); ever != 1 {
		t.Errorf("%d instances were needed", ever)
	}
}

// The clock stands still within a call and moves between calls.
func TestGoGuestClock(t *testing.T) {
	p := loadGo(t, "clock", plugin.Options{Limits: plugin.Limits{Instances: 1, Time: time.Second}})
	now := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	seen := map[string]bool{}
	for range 3 {
		c := call()
		c.Now = now
		o, err := p.Authorize(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		a, b, _ := strings.Cut(o.Reason, " ")
		if a != b || seen[a] {
			t.Errorf("two readings of the clock in one call: %s and %s", a, b)
		}
		seen[a] = true
		now = now.Add(time.Second)
	}
	if !seen["1772366400000000005"] {
		t.Errorf("the clock showed %v", seen)
	}
}

func TestGoGuestHammer(t *testing.T) {
	p := loadGo(t, "roles", plugin.Options{Limits: plugin.Limits{Instances: 2, Time: 10 * time.Second}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			c, want := call(), host.Allow
			if g%2 == 0 {
				c.Identity.Roles, want = nil, host.Deny
			}
			for range 50 {
				if o, err := p.Authorize(t.Context(), c); err != nil || o.Effect != want {
					t.Errorf("got %+v, %v, want %s", o, err, want)
				}
			}
		})
	}
	wg.Wait()
}

// Random bytes come from the options, so that a test can fix them.
func TestRand(t *testing.T) {
	// Returns its random byte, modulo 3, as the code.
	m := hook(base(randomImport), "on_authorize", Const32(dataAt), Const32(1), Call(0), Op(Drop),
		Const32(dataAt), Op(0x2d, 0, 0), Const32(3), Op(0x70), Op(ExtendU), Op(Return)) // i32.load8_u, i32.rem_u
	p := load(t, plugin.Options{Module: m.Encode(), Rand: bytes.NewReader([]byte{0, 1, 2})})
	for _, want := range []host.Effect{host.Abstain, host.Allow, host.Deny} {
		if o, err := p.Authorize(t.Context(), call()); err != nil || o.Effect != want {
			t.Errorf("got %+v, %v, want %s", o, err, want)
		}
	}
}
