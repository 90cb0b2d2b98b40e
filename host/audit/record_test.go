package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/audit"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// Secrets that no record may show.
const (
	jwt     = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXNlY3JldA"
	session = "ahs_kz7w2mq4x5secretsecretsecret"
)

func newAudit(w io.Writer) *audit.Audit {
	return audit.New(audit.Options{
		Requests: w,
		Now:      func() time.Time { return start },
		Version:  "1.2.3",
		ABI:      1,
	})
}

// allowed is the event of a request whose header had expired and whose cookie
// counted.
func allowed() *host.Event {
	cookie := host.Credential{Source: host.FromCookie, Name: "kc_auth", Kind: host.Session, Value: session}
	return &host.Event{
		Start:   start,
		Elapsed: 1500 * time.Microsecond,
		Plugins: 40 * time.Microsecond,
		Edge:    "auth-request",
		Peer:    "127.0.0.1",
		Request: &host.Request{
			Method: "POST", Scheme: "https", Authority: "Console.Example:443", Host: "console.example",
			Path: "/api/gitops/sync", RawPath: "/api/gitops/sync", RawQuery: "_token=" + jwt + "&q=querysecret",
			Header: http.Header{"Authorization": {"Bearer " + jwt}, "Cookie": {"kc_auth=" + session}},
			Client: netip.MustParseAddr("203.0.113.7"),
		},
		Route:  "/api/**",
		Realm:  "main",
		Status: 200,
		Tried: []host.Tried{
			{Credential: host.Credential{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: jwt}, Verdict: host.Expired},
			{Credential: cookie, Verdict: host.Valid},
		},
		Decision: host.Decision{
			Kind: host.Allowed, Reason: "rules[0]: editor", Plugin: "rbac-gitops", Credential: cookie, Query: "q=querysecret",
			Identity: &host.Identity{Realm: "main", Issuer: "https://idp.example", Subject: "alice", UserID: "usr_abc",
				Roles: []string{"editor"}, Email: "alice@example", SessionID: "ses_xyz", TokenKey: "tokenkeysecret",
				Claims: map[string]any{"ssn": "claimsecret"}},
		},
	}
}

func TestRecordGoldenLine(t *testing.T) {
	tests := []struct {
		name  string
		event func() *host.Event
		want  string
	}{
		{"allowed", allowed, `{"time":"2031-05-06T07:08:09.0015Z","level":"INFO","msg":"request",` +
			`"edge":"auth-request","peer":"127.0.0.1","client":"203.0.113.7","method":"POST","host":"console.example",` +
			`"path":"/api/gitops/sync","route":"/api/**","realm":"main","status":200,"decision":"allowed",` +
			`"reason":"rules[0]: editor","plugin":"rbac-gitops","user_id":"usr_abc","session_id":"ses_xyz",` +
			`"credential":"cookie/session","tried":"header/jwt:expired,cookie/session:valid","duration_us":1500,"plugin_us":40}`},
		{"denied", func() *host.Event {
			e := allowed()
			e.Status, e.Tried = 401, e.Tried[:1]
			e.Tried[0].Why = "made for too long"
			e.Decision = host.Decision{Kind: host.Unauthenticated, Reason: "expired"}
			return e
		}, `{"time":"2031-05-06T07:08:09.0015Z","level":"INFO","msg":"request",` +
			`"edge":"auth-request","peer":"127.0.0.1","client":"203.0.113.7","method":"POST","host":"console.example",` +
			`"path":"/api/gitops/sync","route":"/api/**","realm":"main","status":401,"decision":"unauthenticated",` +
			`"reason":"expired","tried":"header/jwt:expired","why":"made for too long","duration_us":1500,"plugin_us":40}`},
		{"unreadable, before there was a request", func() *host.Event {
			return &host.Event{Start: start, Edge: "forward-auth", Peer: "198.51.100.1", Status: 400,
				Decision: host.Decision{Kind: host.BadRequest, Reason: "untrusted_peer"}}
		}, `{"time":"2031-05-06T07:08:09Z","level":"WARN","msg":"request","edge":"forward-auth","peer":"198.51.100.1",` +
			`"status":400,"decision":"bad_request","reason":"untrusted_peer","duration_us":0,"plugin_us":0}`},
		{"undecided", func() *host.Event {
			return &host.Event{Status: 503, Cause: host.Errorf(host.Unavailable, "cache unavailable", "dial 127.0.0.1:6379: refused"),
				Decision: host.Decision{Reason: "cache unavailable"}}
		}, `{"time":"2031-05-06T07:08:09Z","level":"ERROR","msg":"request","status":503,"decision":"unavailable",` +
			`"reason":"cache unavailable","duration_us":0,"plugin_us":0,"cause":"cache unavailable: dial 127.0.0.1:6379: refused"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			newAudit(&log).Record(t.Context(), tt.event())
			if got := strings.TrimSuffix(log.String(), "\n"); got != tt.want {
				t.Errorf("logged\n %s\nwant\n %s", got, tt.want)
			}
		})
	}
}

func TestRecordShowsNoSecret(t *testing.T) {
	causes := []error{
		nil,
		errors.New("parsing " + jwt + " failed"),
		errors.New("unknown session " + session),
		errors.New("other token aht_zzzzsecret not found"),
		errors.New("key eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.othersecret is odd"),
		errors.New(`Get "https://user:urlsecret@idp.example/jwks?api_key=querysecret": refused`),
		errors.New("redis://:urlsecret@10.0.0.1:6379 refused"),
		errors.New("header Authorization: Bearer opaquesecret123 sent"),
		errors.New("header Authorization: Basic b3BhcXVlc2VjcmV0 sent"),
	}
	forbidden := []string{jwt, session, "secret", "c2VjcmV0", "claim", "alice@example", "eyJ"}
	for _, kind := range []host.Kind{host.Unavailable, host.Allowed, host.BadRequest, host.Unauthenticated, host.Forbidden, host.NotFound, host.TooManyRequests, 99} {
		for _, cause := range causes {
			var log bytes.Buffer
			a := newAudit(&log)
			e := allowed()
			e.Decision.Kind, e.Cause = kind, cause
			e.Decision.Reason = "plugin quotes " + session + " and " + jwt
			a.Record(t.Context(), e)
			record := bytes.Clone(log.Bytes())
			metrics := get(t, a, "/metrics").Body.String()
			for _, secret := range forbidden {
				if strings.Contains(log.String(), secret) {
					t.Errorf("kind %s, cause %v: the log shows %q:\n%s", kind, cause, secret, log.String())
				}
				if strings.Contains(metrics, secret) {
					t.Errorf("kind %s, cause %v: the metrics show %q", kind, cause, secret)
				}
			}
			var line map[string]any
			if err := json.Unmarshal(record, &line); err != nil {
				t.Errorf("kind %s, cause %v: not one JSON line: %v", kind, cause, err)
			}
			if cause != nil && line["cause"] == nil {
				t.Errorf("kind %s: no cause in %s", kind, log.String())
			}
		}
	}
}

// A client must not be able to blot out its own record by sending a piece of
// the reason or the path as its token.
func TestRecordKeepsInnocentText(t *testing.T) {
	var log bytes.Buffer
	a := newAudit(&log)
	e := allowed()
	e.Request.Path, e.Decision.Reason = "/v1.2.3/admin", "rules[0]: editor 1.2.3"
	e.Tried[0].Credential.Value = "1.2.3"
	e.Cause = errors.New("dial tcp 10.1.2.3:6379: i/o timeout? no")
	a.Record(t.Context(), e)
	for _, want := range []string{`"path":"/v1.2.3/admin"`, `"reason":"rules[0]: editor 1.2.3"`, `"cause":"dial tcp 10.1.2.3:6379: i/o timeout? no"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in %s", want, log.String())
		}
	}
}

// Whatever a stranger sends, a record is one line of JSON that says what it
// is itself.
func FuzzRecordIsOneLine(f *testing.F) {
	f.Add("/x\"}\n{\"msg\":\"forged\xff\x00", "console.example", "default_deny", "refused")
	f.Add("/", "\u2028\u2029", "\\", "Bearer eyJ.eyJ.x ? //a@b ahs_")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, path, name, reason, cause string) {
		var log bytes.Buffer
		e := allowed()
		e.Request.Path, e.Request.Host, e.Decision.Reason, e.Cause = path, name, reason, errors.New(cause)
		newAudit(&log).Record(t.Context(), e)
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
		var line struct{ Msg, Decision string }
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Msg != "request" || line.Decision != "allowed" {
			t.Errorf("the line reads %+v, %v", line, err)
		}
	})
}

func TestRecordMetrics(t *testing.T) {
	a := newAudit(io.Discard)
	a.Record(t.Context(), allowed())
	a.Record(t.Context(), allowed())
	for _, status := range []int{400, 0, -1, 99, 600, 1 << 30} {
		a.Record(t.Context(), &host.Event{Status: status})
	}
	odd := allowed()
	odd.Tried = append(odd.Tried, host.Tried{}, host.Tried{Credential: host.Credential{Source: 77, Kind: 77}, Verdict: 77})
	odd.Tried = append(odd.Tried[2:], odd.Tried[0])
	a.Record(t.Context(), odd)
	odd.Tried = odd.Tried[1:2]
	a.Record(t.Context(), odd)
	a.Record(t.Context(), nil)

	want := `
# HELP authhost_requests_total Requests that were answered.
# TYPE authhost_requests_total counter
authhost_requests_total{route="/api/**",status="200"} 4
authhost_requests_total{route="none",status="400"} 1
authhost_requests_total{route="none",status="none"} 5
`
	if err := testutil.GatherAndCompare(a.Registry(), strings.NewReader(want), "authhost_requests_total"); err != nil {
		t.Error(err)
	}
	body := get(t, a, "/metrics").Body.String()
	for _, line := range []string{
		`authhost_verdicts_total{source="header",verdict="expired"} 3`,
		`authhost_verdicts_total{source="cookie",verdict="valid"} 2`,
		`authhost_verdicts_total{source="query",verdict="revoked"} 0`,
		`authhost_request_duration_seconds_bucket{route="/api/**",le="0.0025"} 4`,
		`authhost_request_duration_seconds_bucket{route="/api/**",le="0.001"} 0`,
		`authhost_request_duration_seconds_count{route="none"} 6`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(body, "untried") || strings.Contains(body, "gitops/sync") || strings.Contains(body, "POST") {
		t.Error("a path, a method or an untried credential became a label")
	}
}

func TestZeroAuditRecordsNothing(t *testing.T) {
	var a audit.Audit
	a.Record(t.Context(), allowed())
	a.PluginCall("p", "on_authorize", time.Second)
	a.PluginError("p", "on_authorize")
	a.PluginBreaker("p", "on_authorize", true)
	a.Reload("config", audit.OK)
	a.CacheOp("get", time.Second, nil)
	if w := get(t, &a, "/metrics"); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("/metrics: %d %s", w.Code, w.Body)
	}
	if w := get(t, &a, "/readyz"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", w.Code)
	}
}

// The line is what slog would write, whatever a client puts into it.
func TestRecordEscapesAsSlogDoes(t *testing.T) {
	for _, odd := range []string{"/a\"b", `/a\b`, "/a\nb", "/\x00\x1f\x7f", "/ünï/\u2028\u2029", "/\xff\xfe", "/<b>&amp;", "/\ufffd", "/😀"} {
		var ours, theirs bytes.Buffer
		e := &host.Event{Start: start, Status: 200, Request: &host.Request{Path: odd}, Decision: host.Decision{Kind: host.Allowed, Reason: odd}}
		newAudit(&ours).Record(t.Context(), e)
		r := slog.NewRecord(start, slog.LevelInfo, "request", 0)
		r.Add("path", odd, "status", 200, "decision", "allowed", "reason", odd, "duration_us", 0, "plugin_us", 0)
		if err := slog.NewJSONHandler(&theirs, nil).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if ours.String() != theirs.String() {
			t.Errorf("%q: logged\n %swant\n %s", odd, &ours, &theirs)
		}
	}
}

func TestRecordFromManyGoroutines(t *testing.T) {
	a := newAudit(io.Discard)
	const workers, each = 8, 200
	routes := []string{"/a", "/b", "/c/**", ""}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range each {
				e := allowed()
				e.Route, e.Status = routes[i%len(routes)], []int{200, 403}[i%2]
				a.Record(t.Context(), e)
				a.PluginCall("p", "on_authorize", time.Microsecond)
				a.CacheOp("get", time.Microsecond, nil)
				a.Reload("config", audit.Failed)
			}
		})
	}
	all.Wait()
	body := get(t, a, "/metrics").Body.String()
	for _, line := range []string{
		`authhost_requests_total{route="/a",status="200"} 400`,
		`authhost_requests_total{route="none",status="403"} 400`,
		`authhost_plugin_call_duration_seconds_count{hook="on_authorize",plugin="p"} 1600`,
		`authhost_cache_operations_total{op="get",result="ok"} 1600`,
		`authhost_reloads_total{result="failed",target="config"} 1600`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

func TestRecordAllocatesLittle(t *testing.T) {
	a := newAudit(io.Discard)
	e := allowed()
	if n := testing.AllocsPerRun(100, func() { a.Record(t.Context(), e) }); n > 6 {
		t.Errorf("%v allocations a record, 6 are enough", n)
	}
	quiet := audit.New(audit.Options{})
	if n := testing.AllocsPerRun(100, func() { quiet.Record(t.Context(), e) }); n > 0 {
		t.Errorf("%v allocations for the metrics alone, want none", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	b.Run("log and metrics", func(b *testing.B) { benchmarkRecord(b, newAudit(io.Discard)) })
	b.Run("metrics alone", func(b *testing.B) { benchmarkRecord(b, audit.New(audit.Options{})) })
}

func benchmarkRecord(b *testing.B, a *audit.Audit) {
	e := allowed()
	e.Tried = e.Tried[:1]
	b.ReportAllocs()
	for b.Loop() {
		a.Record(b.Context(), e)
	}
}

func BenchmarkPluginCall(b *testing.B) {
	a := audit.New(audit.Options{})
	b.ReportAllocs()
	for b.Loop() {
		a.PluginCall("rbac-gitops", "on_authorize", 3*time.Microsecond)
	}
}
