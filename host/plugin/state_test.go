package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

func imports(name string, params ...byte) Import {
	im := Import{Module: "authhost", Name: name, Params: params, Results: []byte{I32}}
	if name == abi.ImportMetric {
		im.Results = nil
	}
	return im
}

var (
	metricImport     = imports("metric", I32, I32, I64)
	sessionGetImport = imports("session_get", I32, I32, I32, I32)
	sessionSetImport = imports("session_set", I32, I32, I32, I32, I32, I32)
	kvGetImport      = imports("kv_get", I32, I32, I32, I32)
	kvSetImport      = imports("kv_set", I32, I32, I32, I32, I32, I32, I64)
	kvAddImport      = imports("kv_add", I32, I32, I64, I64, I32)
)

// Where the guests of these tests keep texts, and room for values.
const (
	keyAt   = dataAt + 1024
	oldAt   = dataAt + 2048
	newAt   = dataAt + 8192
	roomAt  = dataAt + 16384
	hour    = 3_600_000
	outside = -16 // an address or, unsigned, the end of all memory
)

// call is a call of a host function and what it is to return.
type hostCall struct {
	im   Import
	args []int64
	want int32
}

// push is the call of the only function that a module imports.
func (c hostCall) push() []byte { return c.pushTo(0) }

func (c hostCall) pushTo(index int) (code []byte) {
	for i, a := range c.args {
		if c.im.Params[i] == I64 {
			code = append(code, Const64(a)...)
		} else {
			code = append(code, Const32(int32(a))...)
		}
	}
	return append(code, Call(index)...)
}

// body denies unless the call returns what it is to.
func (c hostCall) body() []byte {
	if c.im.Results == nil {
		return c.push()
	}
	return Join(c.push(), Const32(c.want), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b)) // i32.ne, if
}

// guest is a plugin that makes the call in that export.
func (c hostCall) guest(export string, data map[uint32]string) []byte {
	m := base(c.im)
	m.MinPages, m.Data = 2, data
	if export == "_initialize" {
		m = with(m, Func{Export: export, Body: c.push()})
		if c.im.Results != nil {
			m.Funcs[len(m.Funcs)-1].Body = append(c.push(), Drop)
		}
	} else if export == "configure" {
		m = with(m, Func{Export: export, Params: hookParams, Results: hookResults, Locals: []byte{I32}, Body: Join(c.body(), Const64(0))})
	} else {
		return hook(m, export, c.body()).Encode()
	}
	return hook(m, "on_authorize").Encode()
}

func texts(key, old, next string) map[uint32]string {
	return map[uint32]string{keyAt: key, oldAt: old, newAt: next}
}

func kvGetOf(key string, room, want int64) hostCall {
	return hostCall{kvGetImport, []int64{keyAt, int64(len(key)), roomAt, room}, int32(want)}
}

func inSession() *host.Call {
	c := call()
	c.Identity.SessionID = "ses_1"
	return c
}

// Each function returns what it says, and finds what the one before left.
func TestKeysAndAttributes(t *testing.T) {
	world := &cases.World{Keys: 2}
	world.Clear()
	const none, whatever = abi.LengthNone, abi.LengthAny
	long := strings.Repeat("v", abi.MaxKeyValue)
	for n, step := range []struct {
		key, old, next string
		hostCall
	}{
		{"k", "", "", kvGetOf("k", 100, abi.Absent)},
		{"k", "", "one", hostCall{kvSetImport, []int64{keyAt, 1, oldAt, 1, newAt, 3, hour}, abi.SetOther}},
		{"k", "", "one", hostCall{kvSetImport, []int64{keyAt, 1, outside, none, newAt, 3, hour}, abi.SetDone}},
		{"k", "", "", kvGetOf("k", 100, 3)},
		{"k", "", "", kvGetOf("k", 2, 3)},
		{"k", "", "", kvGetOf("k", 0, 3)},
		{"k", "", "", hostCall{kvAddImport, []int64{keyAt, 1, 1, hour, roomAt}, abi.SetOther}},
		{"k", "one", "", hostCall{kvSetImport, []int64{keyAt, 1, oldAt, 3, newAt, 0, hour}, abi.SetDone}},
		{"k", "", "", kvGetOf("k", 100, 0)},
		{"k", "", "", hostCall{kvSetImport, []int64{keyAt, 1, oldAt, 0, outside, none, -5}, abi.SetDone}}, // no deadline is looked at
		{"n", "", "", hostCall{kvAddImport, []int64{keyAt, 1, 7, hour, roomAt}, abi.SetDone}},
		{"n", "", "", kvGetOf("n", 100, 1)},
		{strings.Repeat("k", 256), "", long, hostCall{kvSetImport, []int64{keyAt, 256, outside, whatever, newAt, 4096, abi.MaxTTL}, abi.SetDone}},
		{"third", "", "x", hostCall{kvSetImport, []int64{keyAt, 5, 0, whatever, newAt, 1, 1}, abi.SetFull}},
		{"third", "", "", hostCall{kvAddImport, []int64{keyAt, 5, 1, 1, roomAt}, abi.SetFull}},
		{"n", "", "", hostCall{kvAddImport, []int64{keyAt, 1, -9, hour, roomAt}, abi.SetDone}},

		{"a", "", "", hostCall{sessionGetImport, []int64{keyAt, 1, roomAt, 10}, abi.Absent}},
		{"a", "x", "one", hostCall{sessionSetImport, []int64{keyAt, 1, oldAt, 1, newAt, 3}, abi.SetOther}},
		{"a", "", "one", hostCall{sessionSetImport, []int64{keyAt, 1, 0, none, newAt, 3}, abi.SetDone}},
		{"a", "", "", hostCall{sessionGetImport, []int64{keyAt, 1, roomAt, 10}, 3}},
		{"a", "", "one", hostCall{sessionSetImport, []int64{keyAt, 1, 0, none, newAt, 3}, abi.SetOther}},
		{"a", "one", "", hostCall{sessionSetImport, []int64{keyAt, 1, oldAt, 3, newAt, 0}, abi.SetDone}},
		{"a", "", "", hostCall{sessionGetImport, []int64{keyAt, 1, roomAt, 10}, 0}},
		{"a", "", "", hostCall{sessionSetImport, []int64{keyAt, 1, oldAt, 0, 0, none}, abi.SetDone}},
		{"a", "", "", hostCall{sessionGetImport, []int64{keyAt, 1, roomAt, 10}, abi.Absent}},
	} {
		p := load(t, plugin.Options{Module: step.guest("on_authorize", texts(step.key, step.old, step.next)), KV: world, Sessions: world, Limits: plugin.Limits{Instances: 1}})
		if o, err := p.Authorize(t.Context(), inSession()); err != nil || o.Effect != host.Allow {
			t.Fatalf("step %d, %s of %q: it returned something else than %d: %+v, %v", n, step.im.Name, step.key, step.want, o, err)
		}
	}
	if v, ok, _ := world.Get(t.Context(), "n"); !ok || string(v) != "-2" {
		t.Errorf("n is %q", v)
	}
}

// kv_add gives the sum, all of its 64 bits.
func TestAddGivesTheSum(t *testing.T) {
	world := &cases.World{}
	if _, err := world.Set(t.Context(), "n", nil, []byte("-9223372036854775807"), true, 0); err != nil {
		t.Fatal(err)
	}
	c := hostCall{kvAddImport, []int64{keyAt, 1, -1, hour, roomAt + 3}, abi.SetDone}
	m := base(c.im)
	m.MinPages, m.Data = 2, map[uint32]string{keyAt: "n"}
	module := hook(m, "on_authorize", c.body(), Const32(roomAt+3), Op(0x29, 0, 0), Const64(-1<<63), Op(0x52, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b)).Encode() // i64.load, i64.ne
	allows(t, load(t, plugin.Options{Module: module, KV: world}))
}

// A call without a session has no attributes: not of a JWT's user, nor of
// nobody's, nor as one is made or has ended.
func TestNoSession(t *testing.T) {
	world := &cases.World{}
	world.Clear()
	gone := &cases.World{} // knows no session
	anonymous := call()
	anonymous.Identity = nil
	for _, c := range []hostCall{
		{sessionGetImport, []int64{keyAt, 1, roomAt, 10}, abi.Absent},
		{sessionSetImport, []int64{keyAt, 1, 0, abi.LengthNone, newAt, 3}, abi.Absent},
	} {
		for _, name := range []string{"on_login", "on_logout"} {
			p := load(t, plugin.Options{Module: c.guest(name, texts("a", "", "one")), Sessions: world})
			if r, err := asks(t, p, name, callOf(name)); err != nil || r.refused {
				t.Errorf("%s in %s: %+v, %v", c.im.Name, name, r, err)
			}
		}
		for what, test := range map[string]struct {
			sessions *cases.World
			call     *host.Call
		}{"JWT": {world, call()}, "anonymous": {world, anonymous}, "ended": {gone, inSession()}} {
			p := load(t, plugin.Options{Module: c.guest("on_authorize", texts("a", "", "one")), Sessions: test.sessions})
			if o, err := p.Authorize(t.Context(), test.call); err != nil || o.Effect != host.Allow {
				t.Errorf("%s, %s: %+v, %v", c.im.Name, what, o, err)
			}
		}
	}
	if all, err := world.Attributes(t.Context(), "", "", "ses_1"); err != nil || len(all) > 0 {
		t.Errorf("attributes %v, %v", all, err)
	}
}

// A function that is granted can be imported with its own type alone.
func TestImportOfAnotherType(t *testing.T) {
	world := &cases.World{}
	for _, im := range []Import{metricImport, sessionGetImport, sessionSetImport, kvGetImport, kvSetImport, kvAddImport} {
		fewer, more := im, im
		fewer.Params = append(im.Params[:1:1], im.Params[2:]...)
		more.Results = append(im.Results[:len(im.Results):len(im.Results)], I32)
		for _, bad := range []Import{fewer, more} {
			refused(t, plugin.Options{Module: hook(base(bad), "on_authorize").Encode(), Sessions: world, KV: world}, "check", "import authhost."+im.Name+" has the type")
		}
	}
}

// What a guest may not hand over ends the call, in each hook, and changes
// nothing.
func TestBadArguments(t *testing.T) {
	const none, whatever = abi.LengthNone, abi.LengthAny
	for _, test := range []struct {
		hostCall
		text string
	}{
		{hostCall{kvGetImport, []int64{outside, 20, roomAt, 10}, 0}, "kv_get: the key is not within memory"},
		{hostCall{kvGetImport, []int64{keyAt, -1, roomAt, 10}, 0}, "kv_get: the key is not within memory"},
		{hostCall{kvGetImport, []int64{keyAt, 0, roomAt, 10}, 0}, "kv_get: the key is not of 1 to 256 bytes"},
		{hostCall{kvGetImport, []int64{keyAt, 257, roomAt, 10}, 0}, "kv_get: the key is not of 1 to 256 bytes"},
		{hostCall{kvGetImport, []int64{keyAt, 1, outside, 20}, 0}, "kv_get: the room for the value is not within memory"},
		{hostCall{kvGetImport, []int64{keyAt, 1, 2 * 65536, 1}, 0}, "kv_get: the room for the value is not within memory"},
		{hostCall{kvSetImport, []int64{outside, 20, 0, none, newAt, 1, hour}, 0}, "kv_set: the key is not within memory"},
		{hostCall{kvSetImport, []int64{keyAt, 1, outside, 20, newAt, 1, hour}, 0}, "kv_set: the old value is not within memory"},
		{hostCall{kvSetImport, []int64{keyAt, 1, 0, -3, newAt, 1, hour}, 0}, "kv_set: the old value is not within memory"},
		{hostCall{kvSetImport, []int64{keyAt, 1, oldAt, 4097, newAt, 1, hour}, 0}, "kv_set: the old value has more than 4096 bytes"},
		{hostCall{kvSetImport, []int64{keyAt, 1, 0, none, outside, 20, hour}, 0}, "kv_set: the new value is not within memory"},
		{hostCall{kvSetImport, []int64{keyAt, 1, 0, none, newAt, whatever, hour}, 0}, "kv_set: the new value is not within memory"},
		{hostCall{kvSetImport, []int64{keyAt, 1, 0, none, newAt, 4097, hour}, 0}, "kv_set: the new value has more than 4096 bytes"},
		{hostCall{kvSetImport, []int64{keyAt, 1, 0, none, newAt, 1, 0}, 0}, "kv_set: the time to live is not of 1 ms to 31 days"},
		{hostCall{kvSetImport, []int64{keyAt, 1, 0, none, newAt, 1, -1}, 0}, "kv_set: the time to live is not of 1 ms to 31 days"},
		{hostCall{kvSetImport, []int64{keyAt, 1, 0, none, newAt, 1, abi.MaxTTL + 1}, 0}, "kv_set: the time to live is not of 1 ms to 31 days"},
		{hostCall{kvAddImport, []int64{outside, 20, 1, hour, roomAt}, 0}, "kv_add: the key is not within memory"},
		{hostCall{kvAddImport, []int64{keyAt, 300, 1, hour, roomAt}, 0}, "kv_add: the key is not of 1 to 256 bytes"},
		{hostCall{kvAddImport, []int64{keyAt, 1, 1, hour, 2*65536 - 7}, 0}, "kv_add: the room for the sum is not within memory"},
		{hostCall{kvAddImport, []int64{keyAt, 1, 1, hour, -1}, 0}, "kv_add: the room for the sum is not within memory"},
		{hostCall{kvAddImport, []int64{keyAt, 1, 1, 0, roomAt}, 0}, "kv_add: the time to live is not of 1 ms to 31 days"},
		{hostCall{sessionGetImport, []int64{outside, 20, roomAt, 10}, 0}, "session_get: the name is not within memory"},
		{hostCall{sessionGetImport, []int64{keyAt, 0, roomAt, 10}, 0}, "session_get: the name is not of 1 to 256 bytes"},
		{hostCall{sessionGetImport, []int64{keyAt, 1, outside, 20}, 0}, "session_get: the room for the value is not within memory"},
		{hostCall{sessionSetImport, []int64{outside, 20, 0, none, newAt, 1}, 0}, "session_set: the name is not within memory"},
		{hostCall{sessionSetImport, []int64{keyAt, 1, outside, 20, newAt, 1}, 0}, "session_set: the old value is not within memory"},
		{hostCall{sessionSetImport, []int64{keyAt, 1, 0, whatever, newAt, 1}, 0}, "session_set: the old value is not within memory"},
		{hostCall{sessionSetImport, []int64{keyAt, 1, 0, none, outside, 20}, 0}, "session_set: the new value is not within memory"},
		{hostCall{metricImport, []int64{outside, 20, 1}, 0}, "metric: the name is not within memory"},
		{hostCall{metricImport, []int64{keyAt, 1, 1}, 0}, `metric: "k" was not declared`},
		{hostCall{metricImport, []int64{keyAt, 1, -1}, 0}, "metric: a counter does not go back"},
		{hostCall{metricImport, []int64{keyAt, 5000, 1}, 0}, "metric: the name is too long"},
	} {
		world := &cases.World{}
		world.Clear()
		o := plugin.Options{KV: world, Sessions: world, Limits: plugin.Limits{Instances: 1}}
		data := texts(strings.Repeat("k", 300), "old", "new")
		for _, name := range asked {
			o.Module = test.guest(name, data)
			c := callOf(name)
			if name == "on_authorize" {
				c = inSession() // elsewhere there is none, which makes no argument good
			}
			_, err := asks(t, load(t, o), name, c)
			fails(t, err, test.text)
		}
		if test.text == `metric: "k" was not declared` {
			continue // where an instance starts that is a declaration
		}
		for export, step := range map[string]string{"configure": "configure", "_initialize": "start"} {
			o.Module = test.guest(export, data)
			text := test.text
			if test.im.Name != abi.ImportMetric {
				text = test.im.Name + ": there is no request"
			}
			refused(t, o, step, text)
		}
		if _, there, _ := world.Get(t.Context(), "k"); there {
			t.Errorf("%s: something has changed", test.text)
		}
	}
}

// Past the bounds of a session's attributes the call fails, and nothing has
// changed.
func TestAttributesPastTheirBound(t *testing.T) {
	world := &cases.World{}
	world.Clear()
	c := hostCall{sessionSetImport, []int64{keyAt, 1, 0, abi.LengthNone, newAt, 4096}, abi.SetDone}
	_, err := load(t, plugin.Options{Module: c.guest("on_authorize", texts("k", "", strings.Repeat("v", 4096))), Sessions: world}).Authorize(t.Context(), inSession())
	fails(t, err, "session_set: attribute_limit")
	c.args[5] = 4095
	p := load(t, plugin.Options{Module: c.guest("on_authorize", texts("k", "", strings.Repeat("v", 4096))), Sessions: world})
	if o, err := p.Authorize(t.Context(), inSession()); err != nil || o.Effect != host.Allow {
		t.Errorf("%+v, %v", o, err)
	}
}

// deadKV is a cache that does not answer.
type deadKV struct {
	cases.World
	slow  bool
	calls atomic.Int64
}

var errBroken = errors.New("connection refused")

func (b *deadKV) Get(ctx context.Context, key string) ([]byte, bool, error) {
	b.calls.Add(1)
	if b.slow {
		if at, ok := ctx.Deadline(); !ok || time.Until(at) > time.Second {
			return nil, false, errors.New("no limit on the time")
		}
		<-ctx.Done()
		return nil, false, ctx.Err()
	}
	return nil, false, &host.Error{Kind: host.Unavailable, Public: "away", Cause: errBroken}
}

// A cache that does not answer fails the call. It says nothing of the plugin,
// whose breaker stays closed: all is as before once the cache is back.
func TestCacheAway(t *testing.T) {
	c := kvGetOf("k", 10, abi.Absent)
	away := &deadKV{}
	m := newCounts()
	p := load(t, plugin.Options{Module: c.guest("on_authorize", texts("k", "", "")), KV: away, Metrics: m, Counts: m})
	for n := range 30 {
		who := call()
		who.Identity.UserID = fmt.Sprint("usr_", n)
		_, err := p.Authorize(t.Context(), who)
		fails(t, err, "connection refused")
	}
	if away.calls.Load() != 30 || m.open["guest on_authorize"] != 0 || m.errors["guest on_authorize"] != 30 {
		t.Errorf("%d calls, %v, %v", away.calls.Load(), m.open, m.errors)
	}
	if m.calls["guest kv get failed"] != 30 {
		t.Errorf("counted %v", m.calls)
	}
	slow := &deadKV{slow: true}
	p = load(t, plugin.Options{Module: c.guest("on_authorize", texts("k", "", "")), KV: slow})
	_, err := p.Authorize(t.Context(), call())
	fails(t, err, "deadline exceeded")
}

type countingKV struct {
	cases.World
	calls atomic.Int64
}

func (c *countingKV) Get(ctx context.Context, key string) ([]byte, bool, error) {
	c.calls.Add(1)
	return c.World.Get(ctx, key)
}

// Attributes are read once a call, and anew after a change.
func TestAttributesAreReadOnce(t *testing.T) {
	sessions := &countingSessions{}
	sessions.Clear()
	c := hostCall{sessionGetImport, []int64{keyAt, 1, roomAt, 10}, abi.Absent}
	m := base(c.im)
	m.MinPages, m.Data = 2, texts("k", "", "")
	p := load(t, plugin.Options{Module: hook(m, "on_authorize", c.body(), c.body(), c.body()).Encode(), Sessions: sessions})
	for n := range 2 {
		if o, err := p.Authorize(t.Context(), inSession()); err != nil || o.Effect != host.Allow || sessions.reads.Load() != int64(n+1) {
			t.Errorf("%+v, %v, %d reads", o, err, sessions.reads.Load())
		}
	}
}

type countingSessions struct {
	cases.World
	reads atomic.Int64
}

func (c *countingSessions) Attributes(ctx context.Context, realm, userID, sessionID string) (map[string]string, error) {
	c.reads.Add(1)
	return c.World.Attributes(ctx, realm, userID, sessionID)
}

// A name that _initialize or configure has said may be counted from then on.
func TestMetric(t *testing.T) {
	for _, where := range []string{"_initialize", "configure"} {
		m := newCounts()
		declare := hostCall{metricImport, []int64{keyAt, 6, 0}, 0}
		guest := base(metricImport)
		guest.MinPages, guest.Data = 2, texts("denied", "", "")
		if where == "configure" {
			guest = with(guest, Func{Export: where, Params: hookParams, Results: hookResults, Body: Join(declare.push(), Const64(0))})
		} else {
			guest = with(guest, Func{Export: where, Body: declare.push()})
		}
		add := hostCall{metricImport, []int64{keyAt, 6, 3}, 0}
		p := load(t, plugin.Options{Module: hook(guest, "on_authorize", add.body(), add.body()).Encode(), Counts: m})
		if n, there := m.calls["guest metric denied"]; n != 0 || !there {
			t.Errorf("%s: %v before it counts", where, m.calls)
		}
		allows(t, p)
		allows(t, p)
		if m.calls["guest metric denied"] != 12 {
			t.Errorf("%s: counted %v", where, m.calls)
		}
	}
	for text, name := range map[string]string{"a name has 1 to 64": "Denied", "a name has 1 to": "a-b", "more than 32 names": ""} {
		guest := base(metricImport)
		guest.MinPages, guest.Data = 2, texts(name, "", "")
		body := hostCall{metricImport, []int64{keyAt, int64(len(name)), 0}, 0}.push()
		if name == "" {
			body = nil
			for i := range 33 {
				guest.Data[uint32(newAt+2*i)] = fmt.Sprintf("%02d", i)
				body = append(body, hostCall{metricImport, []int64{int64(newAt + 2*i), 2, 0}, 0}.push()...)
			}
		}
		refused(t, plugin.Options{Module: hook(with(guest, Func{Export: "_initialize", Body: body}), "on_authorize").Encode()}, "start", text)
	}
}

// With the grant, get shows what credentials are; the frame does not.
func TestCredentialsGranted(t *testing.T) {
	c := call()
	c.Request.Header.Set("Authorization", "Bearer tok.en")
	c.Request.Header.Set("Cookie", "kc_auth=tok.en")
	c.Request.RawQuery, c.Query = "_token=tok.en&a=b", "a=b"
	c.Found = []host.Credential{
		{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: "tok.en"},
		{Source: host.FromCookie, Name: "kc_auth", Kind: host.JWT, Value: "tok.en"},
		{Source: host.FromQuery, Name: "_token", Kind: host.JWT, Value: "tok.en"},
	}
	for _, test := range []struct {
		kind        abi.Kind
		name, value string
	}{
		{abi.GetHeader, "authorization", "Bearer tok.en"},
		{abi.GetHeader, "Cookie", "kc_auth=tok.en"},
		{abi.GetCookie, "kc_auth", "tok.en"},
		{abi.GetQuery, "_token", "tok.en"},
		{abi.GetQuery, "a", "b"},
	} {
		for _, granted := range []bool{true, false} {
			p := load(t, plugin.Options{Module: prober("on_authorize", test.kind, test.name, 0, 100), Credentials: granted})
			o, err := p.Authorize(t.Context(), c)
			want := test.value
			if !granted && test.name != "a" {
				want = ""
			}
			if err != nil || o.Reason != want {
				t.Errorf("%s, granted %v: %q, %v, want %q", test.name, granted, o.Reason, err, want)
			}
		}
	}
}
