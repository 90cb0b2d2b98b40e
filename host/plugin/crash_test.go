package plugin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
)

// However a guest ends, the log and the error name its own functions and what
// was asked; the client is told neither.
func TestCrash(t *testing.T) {
	for _, test := range []struct{ mode, cause, function string }{
		{"panic", "unreachable", "main.fall"},
		{"trap", "out of bounds memory access", "main.reach"},
		{"loop", "all its fuel is used", "main.turn"},
	} {
		log, logger := newLogs()
		p := loadGo(t, test.mode, plugin.Options{Logger: logger, Limits: plugin.Limits{Instances: 1}})
		c := call()
		c.Request.Path, c.Route, c.Identity.UserID, c.Query = "/api/fall", "/api/**", "usr_ann", "q=hidden"
		_, err := p.Authorize(t.Context(), c)
		fails(t, err, test.cause)
		crash, ok := errors.AsType[*plugin.Crash](err)
		if !ok || crash.Where != "on_authorize" || !slices.Contains(crash.Stack, test.function) || !strings.Contains(crash.Error(), "\n\t"+test.function) {
			t.Fatalf("%s: %#v", test.mode, err)
		}
		if last := crash.Stack[len(crash.Stack)-1]; last != "on_authorize" && last != "main.onAuthorize" && !strings.Contains(last, "onAuthorize") {
			t.Errorf("%s: the outermost function is %s of %v", test.mode, last, crash.Stack)
		}
		if public := err.(*host.Error).Public; strings.Contains(public, "main.") || strings.Contains(public, "told") {
			t.Errorf("the client is told %q", public)
		}
		line := failure(t, log.String())
		if !slices.Equal(line.Stack, crash.Stack) || !strings.Contains(line.Error, test.cause) || strings.Contains(line.Error, "\n") {
			t.Errorf("%s: logged %+v", test.mode, line)
		}
		if line.Method != "GET" && line.Method != "POST" || line.Path != "/api/fall" || line.Route != "/api/**" || line.UserID != "usr_ann" || line.Realm == "" || line.Host == "" {
			t.Errorf("%s: logged %+v", test.mode, line)
		}
		if strings.Contains(log.String(), "hidden") {
			t.Errorf("%s: the query is in the log:\n%s", test.mode, log)
		}
	}
}

// A token that somebody put into a path is not logged.
func TestCrashHidesCredentials(t *testing.T) {
	log, logger := newLogs()
	p := loadGo(t, "trap", plugin.Options{Logger: logger})
	c := call()
	c.Identity = nil
	c.Found = []host.Credential{{Source: host.FromHeader, Name: "Authorization", Value: "top-secret"}}
	c.Request.Path = "/t/top-secret/x"
	_, err := p.Authorize(t.Context(), c)
	fails(t, err, "out of bounds")
	if line := failure(t, log.String()); line.Path != "(holds a credential)" || line.UserID != "" || strings.Contains(log.String(), "top-secret") {
		t.Errorf("%s", log)
	}
}

// Nor is one that a plugin which is shown credentials put where the host names
// what is wrong.
func TestFailureHidesCredentials(t *testing.T) {
	log, logger := newLogs()
	var passed atomic.Int64
	now := func() time.Time { return time.Unix(1_800_000_000, passed.Load()) }
	m := base()
	p := load(t, plugin.Options{Now: now, Module: hook(m, "on_authorize", answering(&m, abi.CodeYes, abi.AppendAnswer(nil, abi.Answer{
		Headers: []abi.Header{{Name: "Top-Secret", Value: "1"}}}))).Encode(), Logger: logger})
	c := call()
	c.Found = []host.Credential{{Source: host.FromHeader, Name: "Authorization", Value: "Top-Secret"}}
	_, err := p.Authorize(t.Context(), c)
	fails(t, err, "is not declared")
	if line := failure(t, log.String()); line.Error != "(holds a credential)" {
		t.Errorf("%s", log)
	}
	for n := range 20 {
		c.Identity.UserID = fmt.Sprint("usr_", n)
		passed.Add(int64(time.Second))
		_, _ = p.Authorize(t.Context(), c)
	}
	if text := log.String(); !strings.Contains(text, "breaker opened") || strings.Contains(text, "Top-Secret") {
		t.Errorf("%s", text)
	}
}

type loggedFailure struct {
	Msg, Error, Method, Host, Path, Realm, Route string
	Stack                                        []string
	UserID                                       string `json:"user_id"`
}

// failure returns the one line of a log that tells of a call without answer.
func failure(t *testing.T, log string) (found loggedFailure) {
	t.Helper()
	n := 0
	for text := range strings.Lines(log) {
		var line loggedFailure
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Msg == "plugin failed" {
			found = line
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%d lines of a failure in\n%s", n, log)
	}
	return found
}
