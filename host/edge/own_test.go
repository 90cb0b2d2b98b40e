package edge_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

// diary keeps what was recorded.
type diary []host.Event

func (d *diary) Record(_ context.Context, ev *host.Event) { *d = append(*d, *ev) }

func TestOwnRecordsEveryAnswerOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		status int
		kind   host.Kind
		cause  string
	}{
		{"an answer without a status", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")) }, 200, host.Allowed, ""},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, host.Allowed, ""},
		{"a failure", func(w http.ResponseWriter, _ *http.Request) {
			edge.Fail(w, host.Errorf(host.Forbidden, "not yours", "the cause"))
		}, 403, host.Forbidden, "the cause"},
		{"an error of no kind", func(w http.ResponseWriter, _ *http.Request) { edge.Fail(w, errors.New("the cause")) }, 503, host.Unavailable, "the cause"},
		{"a wrong method", func(w http.ResponseWriter, _ *http.Request) { edge.NotAllowed(w) }, 405, host.BadRequest, "method_not_allowed"},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic("the cause") }, 503, host.Unavailable, "the cause"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d diary
			e := edge.New(edge.Options{Pipeline: host.New(time.Now), Recorder: &d})
			w := httptest.NewRecorder()
			e.Own("/v1/login", func(w http.ResponseWriter, r *http.Request) {
				edge.EventOf(r).Realm = "main"
				c.h(w, r)
			}).ServeHTTP(w, httptest.NewRequest("POST", "/v1/login?token=secret", nil))
			if w.Code != c.status || strings.Contains(w.Body.String(), "the cause") {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			if len(d) != 1 {
				t.Fatalf("%d records", len(d))
			}
			ev := d[0]
			if ev.Status != c.status || ev.Decision.Kind != c.kind || ev.Realm != "main" || ev.Route != "/v1/login" || ev.Request.Path != "/v1/login" {
				t.Errorf("recorded %d %s realm %q route %q path %q", ev.Status, ev.Decision.Kind, ev.Realm, ev.Route, ev.Request.Path)
			}
			if got := ev.Cause != nil && strings.Contains(ev.Cause.Error(), c.cause); c.cause != "" && !got || c.cause == "" && ev.Cause != nil {
				t.Errorf("cause %v", ev.Cause)
			}
		})
	}
	if ev := edge.EventOf(httptest.NewRequest("GET", "/", nil)); ev == nil {
		t.Error("no event for a request that nobody records")
	}
}
