package plugin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/cases"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// grantable is every function that a plugin can be granted, and metric, which
// everyone has: what a call of it returns, and what is counted of that.
var grantable = []struct {
	capability string
	hostCall
	counted string
}{
	{"", hostCall{metricImport, []int64{keyAt, 1, 1}, 0}, "guest metric k"},
	{"session", hostCall{sessionGetImport, []int64{keyAt, 1, roomAt, 10}, 3}, "guest session get ok"},
	{"session", hostCall{sessionSetImport, []int64{keyAt, 1, oldAt, 3, newAt, 5}, abi.SetDone}, "guest session set ok"},
	{"kv", hostCall{kvGetImport, []int64{keyAt, 1, roomAt, 10}, 3}, "guest kv get ok"},
	{"kv", hostCall{kvSetImport, []int64{keyAt, 1, oldAt, 3, newAt, 5, hour}, abi.SetDone}, "guest kv set ok"},
	{"kv", hostCall{kvAddImport, []int64{keyAt, 2, 1, hour, roomAt}, abi.SetDone}, "guest kv add ok"},
	{"http", hostCall{fetchImport, nil, 0}, "guest fetch ok"},
}

// stocked is a world with the key k and, in every session, the attribute k.
func stocked(t *testing.T) *cases.World {
	world := &cases.World{}
	world.Clear()
	_, err := world.Set(t.Context(), "k", nil, []byte("one"), true, 0)
	if err == nil {
		err = world.ChangeAttributes(t.Context(), "", "", "ses_1", func(all map[string]string) error {
			all["k"] = "one"
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return world
}

// granting is the options that grant everything but one capability.
func granting(world *cases.World, but string, f fetcher) (o plugin.Options) {
	o.Credentials = true
	if but != "session" {
		o.Sessions = world
	}
	if but != "kv" {
		o.KV = world
	}
	if but != "http" {
		o.HTTP = f
	}
	return o
}

// using is a guest with a function, whose data they are about.
func using(c hostCall) Module {
	m := base(c.im, getImport)
	m.MinPages, m.Data = 2, texts("kn", "one", "other")
	return m
}

// Without its grant no function can be imported, whichever hooks the module has
// and whether or not they call it, and whatever else is granted.
func TestEveryGrantIsNeeded(t *testing.T) {
	nothing := fetcher(func(context.Context, host.Fetch) host.Fetched { return host.Fetched{} })
	for _, f := range grantable {
		for n := range len(everyHook) + 1 {
			m := using(f.hostCall)
			for i, h := range everyHook {
				if n == i || n == len(everyHook) { // one of them, and at last all
					m = goingOn(m, h)
				}
			}
			m = hook(m, "configure", result(abi.CodeGoOn, 0))
			o := granting(stocked(t), f.capability, nothing)
			o.Module = m.Encode()
			if f.capability == "" {
				load(t, plugin.Options{Module: o.Module}) // with no grant at all
				continue
			}
			refused(t, o, "check", fmt.Sprintf("import authhost.%s needs the capability %s, which the plugin is not granted", f.im.Name, f.capability))
		}
	}
}

// With its grant each function works in each hook. Only on_authorize has a
// session: elsewhere there is none to be found, and none is changed.
func TestEveryGrantInEachHook(t *testing.T) {
	for _, f := range grantable {
		for _, which := range everyHook {
			t.Run(f.im.Name+"/"+which.String(), func(t *testing.T) {
				c, want := f.hostCall, 1
				if f.capability == "session" && which != abi.OnAuthorize {
					c.want, want = abi.Absent, 0
				}
				m := using(c)
				m = with(m, Func{Export: "_initialize"})
				if f.im.Name == abi.ImportMetric {
					m.Funcs[len(m.Funcs)-1].Body = hostCall{metricImport, []int64{keyAt, 1, 0}, 0}.push()
				}
				body, calls := c.orTrap(0), 0
				switch {
				case f.im.Name == abi.ImportFetch && which == abi.OnLogout:
					body, want, calls = Join(body, answerOf(&m, abi.CodeGoOn, abi.Answer{Calls: []abi.Request{*wanted.Request}})), 0, 1
				case f.im.Name == abi.ImportFetch:
					body = Join(body, onceFetched(answerOf(&m, abi.CodeFetch, wanted)))
				}
				world, sent, counted := stocked(t), 0, newCounts()
				o := granting(world, "", func(context.Context, host.Fetch) host.Fetched {
					sent++
					return host.Fetched{Status: 200}
				})
				o.Module, o.Counts = goingOn(m, which, body).Encode(), counted
				list, err := put(t, load(t, o), which, about(which, 1))
				if err != nil || len(list) != calls || counted.calls[f.counted] != want {
					t.Errorf("%v, %d calls to make, counted %v", err, len(list), counted.calls)
				}
				if f.im.Name == abi.ImportFetch && sent != want {
					t.Errorf("%d fetches, want %d", sent, want)
				}
				attributes, err := world.Attributes(t.Context(), "", "", "ses_1")
				if changed := f.im.Name == abi.ImportSessionSet && want == 1; err != nil || attributes["k"] != map[bool]string{false: "one", true: "other"}[changed] {
					t.Errorf("attributes %q, %v", attributes, err)
				}
			})
		}
	}
}

// answerOf is a body that answers so, from data that is out of the way of the
// texts.
func answerOf(m *Module, code abi.Code, a abi.Answer) []byte {
	const at = roomAt + 4096
	b := abi.AppendAnswer(nil, a)
	m.Data[at] = string(b)
	return Join(Const32(bufferAt), Const32(at), Const32(int32(len(b))), Op(0xfc, 0x0a, 0, 0), result(code, uint32(len(b))))
}

// onceFetched is a body that does something unless there is an answer to what
// was fetched. The module's second import is get.
func onceFetched(before []byte) []byte {
	return Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(abi.FieldFetchStatus)), Const32(0), Const32(0), Call(1),
		Const32(0), Op(0x48, 0x04, 0x40), before, Op(0x0b)) // i32.lt_s, if
}

// A grant is one for hooks: keys and sessions are not there while an instance
// starts, and each hook has its way of calling out and no other.
func TestNoGrantReachesFurther(t *testing.T) {
	nothing := fetcher(func(context.Context, host.Fetch) host.Fetched {
		t.Error("something was fetched")
		return host.Fetched{}
	})
	for _, f := range grantable {
		if f.capability == "" || f.capability == "http" {
			continue
		}
		body := append(f.push(), Drop)
		for place, step := range map[string]string{"configure": "configure", "_initialize": "start", "authhost_buffer": "start", "start": "start"} {
			m := using(f.hostCall)
			switch place {
			case "configure":
				m = hook(m, place, body, result(abi.CodeGoOn, 0))
			case "_initialize":
				m = with(m, Func{Export: place, Body: body})
			case "authhost_buffer":
				m.Funcs = slices.Clone(m.Funcs)
				m.Funcs[1].Body = Join(body, m.Funcs[1].Body)
			case "start":
				m = with(m, Func{Body: body})
				m.HasStart, m.Start = true, len(m.Imports)+len(m.Funcs)-1
			}
			world := stocked(t)
			o := granting(world, "", nothing)
			o.Module = goingOn(m, abi.OnLogin).Encode()
			refused(t, o, step, f.im.Name+": there is no request to be called for")
			attributes, err := world.Attributes(t.Context(), "", "", "ses_1")
			if v, _, _ := world.Get(t.Context(), "k"); err != nil || string(v) != "one" || attributes["k"] != "one" {
				t.Errorf("%s in %s: something has changed", f.im.Name, place)
			}
		}
	}
	for _, which := range append([]abi.Hook{abi.Configure}, everyHook...) {
		m := using(hostCall{im: fetchImport})
		code, a, text := abi.CodeGoOn, abi.Answer{Calls: []abi.Request{*wanted.Request}}, "answer field 8 (call)"
		if which == abi.OnLogout || which == abi.Configure {
			code, a, text = abi.CodeFetch, wanted, "unknown code 3"
		}
		m = goingOn(m, which, answerOf(&m, code, a))
		o := granting(stocked(t), "", nothing)
		if which == abi.Configure {
			o.Module = goingOn(m, abi.OnLogin).Encode()
			refused(t, o, "configure", text)
			continue
		}
		o.Module = m.Encode()
		_, err := put(t, load(t, o), which, about(which, 1))
		fails(t, err, text)
	}
}
