package plugin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

var fetchImport = Import{Module: "authhost", Name: "fetch"}

// wanted is what the guests of these tests want to have fetched.
var wanted = abi.Answer{
	Request: &abi.Request{Method: "POST", URL: "https://policy.example/v1", Headers: []abi.Header{{Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}}, Body: []byte("who?")},
	Blob:    []byte("first"),
}

// fetchThen is a guest that fetches, and then denies with a field of the frame
// as its reason, or allows where that is absent.
func fetchThen(hookName string, shown abi.Field) Module {
	m := base(getImport, fetchImport)
	m.MinPages = 3
	ask := answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
	get := func(f abi.Field, room, size int32) []byte {
		return Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(f)), Const32(room), Const32(size), Call(0))
	}
	return hook(m, hookName, Call(1),
		get(abi.FieldFetchStatus, 0, 0), Const32(0), Op(0x48, 0x04, 0x40), ask, Op(0x0b), // absent: the first time
		get(shown, bufferAt+8, 1024), Op(0x22), U32(1), Const32(0), Op(0x48, 0x04, 0x40), result(abi.CodeYes, 0), Op(0x0b),
		Const32(bufferAt), Const32(int32(abi.AnswerReason)), Op(0x36, 2, 0), Const32(bufferAt+4), Local(1), Op(0x36, 2, 0),
		Local(1), Const32(8), Op(0x6a, 0xad), Const64(32), Op(0x86), Const64(int64(abi.CodeNo)), Op(0x84, 0x0f),
	)
}

// fetcher is a plugin.Fetcher that answers by a function.
type fetcher func(ctx context.Context, r host.Fetch) host.Fetched

func (f fetcher) Fetch(ctx context.Context, r host.Fetch) host.Fetched { return f(ctx, r) }

func TestFetch(t *testing.T) {
	yes := host.Fetched{Status: 404, Body: []byte("not found")}
	part := host.Fetched{Status: 200, Body: []byte("found"), Failure: abi.FetchTooLarge, Cause: errors.New("long")}
	no := host.Fetched{Failure: abi.FetchTimeout, Cause: errors.New("slow")}
	for _, c := range []struct {
		name  string
		shown abi.Field
		found host.Fetched
		want  string // the reason; empty: allow
	}{
		{"status", abi.FieldFetchStatus, host.Fetched{Status: 0x2a}, "*\x00\x00\x00\x00\x00\x00\x00"},
		{"body", abi.FieldFetchBody, yes, "not found"},
		{"blob", abi.FieldFetchBlob, yes, "first"},
		{"no error", abi.FieldFetchError, yes, ""},
		{"error", abi.FieldFetchError, no, "timeout"},
		{"no body", abi.FieldFetchBody, no, ""},
		{"a part of an answer is none", abi.FieldFetchError, part, "too_large"},
		{"nor is its body", abi.FieldFetchBody, part, ""},
		{"the frame is the same", abi.FieldPath, yes, "/api/gitops/sync"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []host.Fetch
			m := fetchThen("on_authorize", c.shown)
			p := load(t, plugin.Options{Module: m.Encode(), HTTP: fetcher(func(_ context.Context, r host.Fetch) host.Fetched {
				asked = append(asked, r)
				return c.found
			})})
			o, err := p.Authorize(t.Context(), call())
			if c.name == "status" { // a number is no text
				fails(t, err, "answer field 2 (reason): control character")
			} else if err != nil || o.Reason != c.want || o.Effect != map[bool]host.Effect{true: host.Allow, false: host.Deny}[c.want == ""] {
				t.Errorf("%+v, %v", o, err)
			}
			if len(asked) != 1 || asked[0].Method != "POST" || asked[0].URL != wanted.Request.URL || string(asked[0].Body) != "who?" ||
				!slices.Equal(asked[0].Headers, []host.Header{{Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}}) {
				t.Errorf("asked for %+v", asked)
			}
		})
	}
}

func TestFetchOfOnCredential(t *testing.T) {
	m := fetchThen("on_credential", abi.FieldFetchBody)
	p := load(t, plugin.Options{Module: m.Encode(), HTTP: fetcher(func(context.Context, host.Fetch) host.Fetched {
		return host.Fetched{Status: 200, Body: []byte("stop it")}
	})})
	c := call()
	c.Identity = nil
	c.Candidates = []host.Candidate{{Name: "Authorization"}, {Name: "kc_auth"}}
	if got, err := p.Choose(t.Context(), c); err != nil || got.Effect != host.Deny || got.Reason != "stop it" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A body that does not fit into the buffer is lazy, like any other field.
func TestFetchOfMuch(t *testing.T) {
	const room = 64 << 10
	m := base(getImport, fetchImport)
	m.MinPages = 3
	ask := answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
	get := func(f abi.Field, size int32) []byte {
		return Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(f)), Const32(room), Const32(size), Call(0))
	}
	m = hook(m, "on_authorize",
		get(abi.FieldFetchStatus, 0), Const32(0), Op(0x48, 0x04, 0x40), ask, Op(0x0b),
		get(abi.FieldFetchBody, 1<<16), Const32(1<<16), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b),
		Const32(room+1<<16-1), Op(0x2d, 0, 0), Const32('z'), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b), result(abi.CodeYes, 0))
	p := load(t, plugin.Options{Module: m.Encode(), HTTP: fetcher(func(context.Context, host.Fetch) host.Fetched {
		return host.Fetched{Status: 200, Body: []byte(strings.Repeat("a", 1<<16-1) + "z")}
	})})
	allows(t, p)
}

// The instance is free for others while a guest has something fetched.
func TestFetchHoldsNoInstance(t *testing.T) {
	m := base(getImport, fetchImport)
	ask := answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
	seen := Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(abi.FieldFetchStatus)), Const32(0), Const32(0), Call(0))
	m = hook(m, "on_authorize", onCue(seen, Const32(0), Op(0x48, 0x04, 0x40), ask, Op(0x0b)))
	for _, isolated := range []bool{false, true} {
		var p *plugin.Plugin
		within := 0
		p = load(t, plugin.Options{Module: m.Encode(), Isolated: isolated, Limits: plugin.Limits{Instances: 1}, HTTP: fetcher(func(context.Context, host.Fetch) host.Fetched {
			allows(t, p)
			within++
			return host.Fetched{Status: 200}
		})})
		if o, err := p.Authorize(t.Context(), cue()); err != nil || o.Effect != host.Allow || within != 1 {
			t.Errorf("isolated %v: %+v, %v, %d calls within", isolated, o, err, within)
		}
	}
}

// always is a guest that has things fetched without end.
func always(t *testing.T, o plugin.Options) *plugin.Plugin {
	m := base(fetchImport)
	ask := answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
	o.Module = hook(m, "on_authorize", ask).Encode()
	return load(t, o)
}

// How often, and how long all of it may take.
func TestFetchIsBounded(t *testing.T) {
	var deadlines []time.Time
	begun := time.Now()
	p := always(t, plugin.Options{HTTP: fetcher(func(ctx context.Context, _ host.Fetch) host.Fetched {
		d, _ := ctx.Deadline()
		deadlines = append(deadlines, d)
		return host.Fetched{Status: 200}
	})})
	_, err := p.Authorize(t.Context(), call())
	fails(t, err, "on_authorize answered fetch more than 3 times")
	if len(deadlines) != abi.MaxFetches || deadlines[0].Sub(begun) < 4*time.Second || deadlines[0].Sub(begun) > time.Minute ||
		deadlines[1] != deadlines[0] || deadlines[2] != deadlines[0] {
		t.Errorf("begun %v, deadlines %v", begun, deadlines)
	}
}

// When the client goes, the plugin is not asked again, and is not to blame.
func TestFetchEndsWithItsRequest(t *testing.T) {
	fetches := 0
	var leave context.CancelFunc
	p := always(t, plugin.Options{HTTP: fetcher(func(ctx context.Context, _ host.Fetch) host.Fetched {
		fetches++
		leave()
		<-ctx.Done()
		return host.Fetched{Failure: abi.FetchTimeout}
	})})
	for range 20 { // more than a breaker would bear
		ctx, cancel := context.WithCancel(t.Context())
		leave = cancel
		_, err := p.Authorize(ctx, call())
		fails(t, err, "context canceled")
	}
	if fetches != 20 {
		t.Errorf("%d fetches for 20 calls", fetches)
	}
	for _, b := range p.Health().Breakers {
		if b.Open || b.Failures > 0 {
			t.Errorf("%+v", b)
		}
	}
}

func TestFetchNeedsItsGrant(t *testing.T) {
	refused(t, plugin.Options{Module: fetchThen("on_authorize", abi.FieldPath).Encode()}, "check", "import authhost.fetch needs the capability http")
	// The grant without the wish.
	m := base()
	ask := answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
	p := load(t, plugin.Options{Module: hook(m, "on_authorize", ask).Encode(), HTTP: fetcher(func(context.Context, host.Fetch) host.Fetched {
		t.Error("fetched")
		return host.Fetched{}
	})})
	_, err := p.Authorize(t.Context(), call())
	fails(t, err, "on_authorize has something fetched, and the module does not import authhost.fetch")
	// A configuration is not fetched.
	m = base(fetchImport)
	ask = answering(&m, abi.CodeFetch, abi.AppendAnswer(nil, wanted))
	m = hook(hook(m, "on_authorize"), "configure", ask)
	refused(t, plugin.Options{Module: m.Encode(), HTTP: fetcher(nil)}, "configure", "unknown code 3")
}
