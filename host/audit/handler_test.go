package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/audit"
)

func get(t *testing.T, a *audit.Audit, path string, checks ...audit.Check) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, a.Handler(audit.Telemetry{Checks: checks}), "GET", path)
}

func ask(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

type readiness struct {
	Ready   bool     `json:"ready"`
	Failing []string `json:"failing"`
}

// ready asks /readyz and checks that status and body agree.
func ready(t *testing.T, h http.Handler) readiness {
	t.Helper()
	w := ask(t, h, "GET", "/readyz")
	var r readiness
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("/readyz answered %q: %v", w.Body, err)
	}
	if (w.Code == http.StatusOK) != r.Ready || (w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable) {
		t.Errorf("/readyz: status %d with %+v", w.Code, r)
	}
	if r.Failing == nil {
		t.Errorf("/readyz: failing is null in %s", w.Body)
	}
	return r
}

func TestHealthz(t *testing.T) {
	a := newAudit(io.Discard)
	for _, tt := range []struct {
		oauth func() bool
		want  string
	}{
		{nil, `{"status":"ok","oauth_configured":false}`},
		{func() bool { return false }, `{"status":"ok","oauth_configured":false}`},
		{func() bool { return true }, `{"status":"ok","oauth_configured":true}`},
	} {
		w := ask(t, a.Handler(audit.Telemetry{OAuthConfigured: tt.oauth}), "GET", "/healthz")
		if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || got != tt.want {
			t.Errorf("/healthz: %d %s, want 200 %s", w.Code, got, tt.want)
		}
		if ct := w.Header().Get("Content-Type"); ct != "application/json" {
			t.Errorf("/healthz: Content-Type %q", ct)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	h := newAudit(io.Discard).Handler(audit.Telemetry{Checks: []audit.Check{passing("cache")}})
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405, "PATCH": 405} {
			if w := ask(t, h, method, path); w.Code != want {
				t.Errorf("%s %s: %d, want %d", method, path, w.Code, want)
			}
		}
	}
	for _, path := range []string{"/", "/metrics/", "/debug/pprof/", "/authz/forward-auth"} {
		if w := ask(t, h, "GET", path); w.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", path, w.Code)
		}
	}
}

func TestMetricsOfOtherRooms(t *testing.T) {
	a := newAudit(io.Discard)
	a.PluginCall("rbac", "on_authorize", 3*time.Microsecond)
	a.PluginCall("rbac", "on_authorize", 80*time.Millisecond)
	a.PluginError("rbac", "on_authorize")
	a.PluginBreaker("rbac", "on_authorize", true)
	a.PluginBreaker("rbac", "on_credential", true)
	a.PluginBreaker("rbac", "on_credential", false)
	a.PluginServes("rbac", "aa", "1.0.0", 1)
	a.PluginServes("rbac", "bb", "", 2)
	a.PluginServes("gone", "cc", "", 1)
	a.PluginGone("gone")
	a.PluginRefused("rbac", "signature")
	a.Reload("config", audit.OK)
	a.Reload("rbac", "anything else")
	a.CacheOp("get", time.Millisecond, nil)
	a.CacheOp("get", time.Second, errors.New("refused"))
	body := get(t, a, "/metrics").Body.String()
	for _, line := range []string{
		`authhost_build_info{abi="1",go="` + runtime.Version() + `",version="1.2.3"} 1`,
		`authhost_plugin_errors_total{hook="on_authorize",plugin="rbac"} 1`,
		`authhost_plugin_breaker_open{hook="on_authorize",plugin="rbac"} 1`,
		`authhost_plugin_breaker_open{hook="on_credential",plugin="rbac"} 0`,
		`authhost_plugin_call_duration_seconds_count{hook="on_authorize",plugin="rbac"} 2`,
		`authhost_plugin_call_duration_seconds_bucket{hook="on_authorize",plugin="rbac",le="5e-06"} 1`,
		`authhost_plugin_info{plugin="rbac",sha256="bb",version=""} 1`,
		`authhost_plugin_generation{plugin="rbac"} 2`,
		`authhost_plugin_refused_total{plugin="rbac",step="signature"} 1`,
		`authhost_reloads_total{result="ok",target="config"} 1`,
		`authhost_reloads_total{result="failed",target="config"} 0`,
		`authhost_reloads_total{result="failed",target="rbac"} 1`,
		`authhost_reload_last_success_timestamp_seconds{target="config"} 1.935817689e+09`,
		`authhost_reload_last_success_timestamp_seconds{target="rbac"} 0`,
		`authhost_cache_operations_total{op="get",result="ok"} 1`,
		`authhost_cache_operations_total{op="get",result="failed"} 1`,
		`authhost_cache_operation_duration_seconds_count{op="get"} 2`,
		`authhost_ready 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(body, `plugin="gone"`) || strings.Contains(body, `sha256="aa"`) {
		t.Error("what serves no more is shown")
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if !strings.Contains(body, "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

func passing(name string) audit.Check {
	return audit.Check{Name: name, Ask: func(context.Context) error { return nil }}
}

func TestReadyzFlips(t *testing.T) {
	var log bytes.Buffer
	now := start
	a := audit.New(audit.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil)), Now: func() time.Time { return now }})
	var cache, keys error
	h := a.Handler(audit.Telemetry{Checks: []audit.Check{
		{Name: "cache", Ask: func(context.Context) error { return cache }},
		{Name: "key set https://idp.example", Ask: func(context.Context) error { return keys }},
		passing("plugins"),
	}})
	steps := []struct {
		cache, keys error
		want        []string
	}{
		{errors.New("dial redis://:topsecret@10.0.0.1: refused"), nil, []string{"cache: unavailable"}},
		{nil, nil, []string{}},
		{nil, host.Errorf(host.Unavailable, "not loaded yet", "GET topsecret"), []string{"key set https://idp.example: not loaded yet"}},
		{nil, host.Errorf(host.Unavailable, "not loaded yet", "another cause"), []string{"key set https://idp.example: not loaded yet"}},
		{context.DeadlineExceeded, &host.Error{}, []string{"cache: timed out", "key set https://idp.example: unavailable"}},
		{nil, nil, []string{}},
	}
	for i, s := range steps {
		cache, keys = s.cache, s.keys
		now = now.Add(time.Minute)
		r := ready(t, h)
		if !slices.Equal(r.Failing, s.want) || r.Ready != (len(s.want) == 0) {
			t.Errorf("step %d: %+v, want failing %q", i, r, s.want)
		}
		gauge := "authhost_ready 0\n"
		if r.Ready {
			gauge = "authhost_ready 1\n"
		}
		if body := ask(t, h, "GET", "/metrics").Body.String(); !strings.Contains(body, gauge) {
			t.Errorf("step %d: /metrics does not say %s", i, gauge)
		}
	}
	// Each change is logged once, of what fails too, and staying so is not.
	if n, m := strings.Count(log.String(), `"msg":"not ready"`), strings.Count(log.String(), `"msg":"ready"`); n != 3 || m != 2 {
		t.Errorf("%d times not ready and %d times ready in the log, want 3 and 2:\n%s", n, m, log.String())
	}
	if !strings.Contains(log.String(), "10.0.0.1: refused") || strings.Contains(log.String(), "redis://:topsecret") {
		t.Errorf("the log lacks the cause, or shows a secret:\n%s", log.String())
	}
}

func TestReadyzWithoutChecksIsNotReady(t *testing.T) {
	if r := ready(t, newAudit(io.Discard).Handler(audit.Telemetry{})); r.Ready {
		t.Errorf("ready with nothing checked: %+v", r)
	}
}

func TestReadyzSharesResults(t *testing.T) {
	var calls atomic.Int32
	var clock atomic.Int64
	a := audit.New(audit.Options{Now: func() time.Time { return start.Add(time.Duration(clock.Load())) }})
	h := a.Handler(audit.Telemetry{Checks: []audit.Check{{Name: "cache", Ask: func(context.Context) error {
		calls.Add(1)
		return nil
	}}}})
	probe := func(advance time.Duration, want int32) {
		t.Helper()
		clock.Add(int64(advance))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { ready(t, h) })
		}
		all.Wait()
		if n := calls.Load(); n != want {
			t.Errorf("%d checks were run, want %d", n, want)
		}
	}
	probe(0, 1)
	probe(999*time.Millisecond, 1)
	probe(time.Millisecond, 2)
	probe(time.Hour, 3)
}

func TestReadyzRunsChecksTogetherWithTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var stuck, slow atomic.Int32
		a := audit.New(audit.Options{})
		h := a.Handler(audit.Telemetry{Checks: []audit.Check{
			{Name: "stuck", Ask: func(context.Context) error { stuck.Add(1); <-release; return nil }},
			{Name: "slow", Ask: func(ctx context.Context) error {
				slow.Add(1)
				<-ctx.Done()
				return ctx.Err()
			}},
			{Name: "just in time", Ask: func(context.Context) error { time.Sleep(900 * time.Millisecond); return nil }},
		}})
		want := []string{"stuck: timed out", "slow: timed out"}
		begin := time.Now()
		if r := ready(t, h); !slices.Equal(r.Failing, want) {
			t.Errorf("failing %q, want %q", r.Failing, want)
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("the checks took %v, want 1s for all together", d)
		}
		for range 5 {
			time.Sleep(2 * time.Second)
			if r := ready(t, h); !slices.Equal(r.Failing, want) {
				t.Errorf("failing %q, want %q", r.Failing, want)
			}
		}
		if stuck.Load() != 1 || slow.Load() != 6 {
			t.Errorf("the stuck check was asked %d times, the slow one %d; want 1 and 6", stuck.Load(), slow.Load())
		}
		close(release)
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if r := ready(t, h); !slices.Equal(r.Failing, want[1:]) {
			t.Errorf("after the stuck check returned: failing %q, want %q", r.Failing, want[1:])
		}
	})
}

func TestReadyzCallerWhoLeavesHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := audit.New(audit.Options{}).Handler(audit.Telemetry{Checks: []audit.Check{
			{Name: "cache", Ask: func(ctx context.Context) error {
				select {
				case <-time.After(500 * time.Millisecond):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}},
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/readyz", nil))
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("who left early was told %d", w.Code)
			}
		})
		synctest.Wait()
		if r := ready(t, h); !r.Ready {
			t.Errorf("who stayed was told %+v", r)
		}
		all.Wait()
	})
}
