package plugin_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// login is a call of on_login: an hour unused, ten at the most.
func login() *host.Call {
	c := call()
	c.Now = time.UnixMilli(1_767_225_600_000).UTC()
	c.Route = ""
	c.Terms = &host.Terms{Idle: c.Now.Add(time.Hour), Absolute: c.Now.Add(10 * time.Hour)}
	return c
}

func admits(t *testing.T, code abi.Code, a abi.Answer) (host.Admission, error) {
	t.Helper()
	m := base()
	m = hook(m, "on_login", answering(&m, code, abi.AppendAnswer(nil, a)))
	return load(t, plugin.Options{Module: m.Encode()}).Admit(t.Context(), login())
}

func TestAdmit(t *testing.T) {
	soon, later := login().Now.Add(time.Minute), login().Now.Add(10*time.Hour)
	ms := func(at time.Time) uint64 { return uint64(at.UnixMilli()) }
	for name, c := range map[string]struct {
		code   abi.Code
		answer abi.Answer
		want   host.Admission
		err    string
	}{
		"go on":  {},
		"refuse": {abi.CodeNo, abi.Answer{}, host.Admission{Refused: true, Kind: host.Forbidden, Reason: "denied"}, ""},
		"refuse with 429": {abi.CodeNo, abi.Answer{Status: 429, Reason: "slow down", Headers: []abi.Header{{Name: "retry-after", Value: "3"}}},
			host.Admission{Refused: true, Kind: host.TooManyRequests, Reason: "slow down", Headers: []host.Header{{Name: "Retry-After", Value: "3"}}}, ""},
		"refuse with 401": {abi.CodeNo, abi.Answer{Status: 401}, host.Admission{Refused: true, Kind: host.Unauthenticated, Reason: "denied"}, ""},
		"terms": {0, abi.Answer{Idle: ms(soon), Absolute: ms(later), Attributes: []abi.Attribute{{Name: "a", Value: "b"}, {Name: "c"}}},
			host.Admission{Terms: host.Terms{Idle: soon, Absolute: later, Attributes: map[string]string{"a": "b", "c": ""}}}, ""},
		"later idle":         {0, abi.Answer{Idle: ms(later)}, host.Admission{}, "answer field 5 (idle): a later deadline"},
		"later absolute":     {0, abi.Answer{Absolute: ms(later) + 1}, host.Admission{}, "answer field 6 (absolute): a later deadline"},
		"past":               {0, abi.Answer{Idle: ms(login().Now)}, host.Admission{}, "a deadline that is past"},
		"too much":           {0, abi.Answer{Attributes: []abi.Attribute{{Name: "a", Value: strings.Repeat("x", 4096)}}}, host.Admission{}, "attribute"},
		"undeclared header":  {abi.CodeNo, abi.Answer{Headers: []abi.Header{{Name: "X-A"}}}, host.Admission{}, "not declared"},
		"a call":             {0, abi.Answer{Calls: []abi.Request{{Method: "GET", URL: "u"}}}, host.Admission{}, "answer field 8 (call)"},
		"an unknown code":    {abi.CodeYes, abi.Answer{}, host.Admission{}, "unknown code 1"},
		"fetch without wish": {abi.CodeFetch, abi.Answer{Request: &abi.Request{Method: "GET", URL: "u"}}, host.Admission{}, "does not import authhost.fetch"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := admits(t, c.code, c.answer)
			if c.err != "" {
				fails(t, err, c.err)
			} else if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// What on_login is told, lazy or not: the request, the identity, no route.
func TestFrameOfOnLogin(t *testing.T) {
	for field, want := range map[abi.Field]string{
		abi.FieldMethod: "POST", abi.FieldClient: "192.0.2.7", abi.FieldSubject: "alice", abi.FieldCredential: "header/jwt", abi.FieldRoute: "",
	} {
		got, err := load(t, plugin.Options{Module: prober("on_login", abi.GetField, "", int32(field), 1024)}).Admit(t.Context(), login())
		if err != nil || got.Reason != want || got.Refused != (want != "") {
			t.Errorf("field %d: %+v, %v, want %q", field, got, err, want)
		}
	}
}

// ended is a call of on_logout.
func ended() *host.Call {
	return &host.Call{Now: time.Now(), Realm: "main", Ended: &host.Ended{ID: "evt_a", UserID: "usr_a", What: host.EndedSession, Why: host.WhyIdle,
		At: time.Now(), Sessions: []string{"ses_a"}}}
}

func TestNotify(t *testing.T) {
	calls := []abi.Request{{Method: "POST", URL: "https://a.example/", Headers: []abi.Header{{Name: "X-A", Value: "1"}}, Body: []byte("{}")}, {Method: "GET", URL: "https://b.example/"}}
	want := []host.Fetch{{Method: "POST", URL: "https://a.example/", Headers: []host.Header{{Name: "X-A", Value: "1"}}, Body: []byte("{}")}, {Method: "GET", URL: "https://b.example/"}}
	nothing := fetcher(func(context.Context, host.Fetch) host.Fetched {
		t.Error("the hook itself calls nobody")
		return host.Fetched{}
	})
	m := base(fetchImport)
	m = hook(m, "on_logout", answering(&m, 0, abi.AppendAnswer(nil, abi.Answer{Calls: calls})))
	if got, err := load(t, plugin.Options{Module: m.Encode(), HTTP: nothing}).Notify(t.Context(), ended()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	refused(t, plugin.Options{Module: m.Encode()}, "check", "import authhost.fetch needs the capability http")
	m = base()
	m = hook(m, "on_logout", answering(&m, 0, abi.AppendAnswer(nil, abi.Answer{Calls: calls})))
	_, err := load(t, plugin.Options{Module: m.Encode(), HTTP: nothing}).Notify(t.Context(), ended())
	fails(t, err, "does not import authhost.fetch")
	for code := abi.Code(1); code < 4; code++ {
		m = hook(base(), "on_logout", result(code, 0))
		_, err := load(t, plugin.Options{Module: m.Encode()}).Notify(t.Context(), ended())
		fails(t, err, fmt.Sprint("unknown code ", code))
	}
}

// Where there is no request, nothing of one is found.
func TestGetInOnLogout(t *testing.T) {
	for _, kind := range []abi.Kind{abi.GetHeader, abi.GetCookie, abi.GetQuery, abi.GetClaim} {
		m := base(getImport)
		m = hook(m, "on_logout", Const32(int32(kind)), Const32(0), Const32(1), Const32(0), Const32(0), Const32(0), Call(0),
			Const32(0), Op(0x48, 0x04, 0x40), result(0, 0), Op(0x0b))
		if _, err := load(t, plugin.Options{Module: m.Encode()}).Notify(t.Context(), ended()); err != nil {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}
