package plugin_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
	"github.com/authhost/authhost/host/cache/memory"
	"github.com/authhost/authhost/host/kv"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// No more keys live in a real cache than are granted, whichever hook makes them
// and by which function; those there are can be changed, and one that is deleted
// makes room.
func TestKeysAtTheirBound(t *testing.T) {
	const none, whatever = abi.LengthNone, abi.LengthAny
	key := func(n int) int64 { return keyAt + 2*int64(n) } // one letter each
	set := func(n int, old, next int64, want int32) hostCall {
		return hostCall{kvSetImport, []int64{key(n), 1, oldAt, old, newAt, next, hour}, want}
	}
	add := func(n int, want int32) hostCall {
		return hostCall{kvAddImport, []int64{key(n), 1, 1, hour, roomAt}, want}
	}
	get := func(n int, want int32) hostCall {
		return hostCall{kvGetImport, []int64{key(n), 1, roomAt, 100}, want}
	}
	bounded := []hostCall{
		set(0, none, 3, abi.SetDone), add(1, abi.SetDone), // at the bound
		set(2, none, 3, abi.SetFull), set(2, whatever, 3, abi.SetFull), add(2, abi.SetFull), get(2, abi.Absent), // past it
		set(0, whatever, 2, abi.SetDone), add(1, abi.SetDone), // no key more
		set(0, whatever, none, abi.SetDone), add(2, abi.SetDone), set(0, none, 3, abi.SetFull), get(0, abi.Absent),
	}
	for name, open := range map[string]func(t *testing.T) cache.Driver{
		"memory": func(*testing.T) cache.Driver { return memory.New(nil) },
		"file": func(t *testing.T) cache.Driver {
			d, err := file.Open(file.Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
	} {
		hooks := everyHook
		if name == "file" { // one is enough to wait for a disk in
			hooks = []abi.Hook{abi.OnLogin}
		}
		for _, which := range hooks {
			t.Run(name+"/"+which.String(), func(t *testing.T) {
				driver := open(t)
				defer driver.Close()
				replica := func(calls ...hostCall) *kv.Space {
					space, err := kv.New(kv.Options{Cache: driver, Plugin: "guest", Keys: 2})
					if err != nil {
						t.Fatal(err)
					}
					for n, c := range calls { // each within a time of its own
						m := base(c.im)
						m.MinPages, m.Data = 2, texts("0\x001\x002", "", "new")
						p := load(t, plugin.Options{Module: goingOn(m, which, c.orTrap(0)).Encode(), KV: space})
						if _, err := put(t, p, which, about(which, 1)); err != nil {
							t.Errorf("call %d, %s, returned something else than %d: %v", n, c.im.Name, c.want, err)
						}
					}
					return space
				}
				space := replica(bounded...)
				replica(set(0, none, 3, abi.SetFull), add(0, abi.SetFull), add(2, abi.SetDone)) // the bound is that of all
				for k, want := range map[string]string{"0": "", "1": "2", "2": "2"} {
					if v, ok, err := space.Get(t.Context(), k); err != nil || ok != (want != "") || string(v) != want {
						t.Errorf("%s is %q, %v, want %q", k, v, err, want)
					}
				}
			})
		}
	}
}

// on_login gives a session as many attributes as it can hold and none more.
func TestAttributesAtTheirBound(t *testing.T) {
	many := make([]abi.Attribute, abi.MaxAttributes)
	for n := range many {
		many[n].Name = fmt.Sprintf("%02d", n)
	}
	large := func(size int) []abi.Attribute {
		return []abi.Attribute{{Name: "a", Value: strings.Repeat("x", size/2-1)}, {Name: "b", Value: strings.Repeat("x", size-size/2-1)}}
	}
	for _, c := range []struct {
		attributes []abi.Attribute
		err        string
	}{
		{many, ""},
		{append(many[:len(many):len(many)], abi.Attribute{Name: "one more"}), "more than 64 attributes"},
		{large(host.MaxAttributeBytes), ""},
		{large(host.MaxAttributeBytes + 1), "attribute_limit"},
	} {
		got, err := admits(t, abi.CodeGoOn, abi.Answer{Attributes: c.attributes})
		if c.err != "" {
			fails(t, err, c.err)
		} else if err != nil || len(got.Terms.Attributes) != len(c.attributes) {
			t.Errorf("%d attributes: %v", len(got.Terms.Attributes), err)
		}
	}
}

// In each hook the limit on a plugin's time bounds what it asks of the cache:
// a call of that counts as a quarter of a millisecond.
func TestCallsOfTheCacheInEachHook(t *testing.T) {
	const most = 50_000 / 250
	for _, which := range everyHook {
		counting := &countingKV{}
		c := kvGetOf("k", 10, abi.Absent)
		m := base(c.im)
		m.MinPages, m.Data = 2, texts("k", "", "")
		p := load(t, plugin.Options{Module: goingOn(m, which, Forever(c.push(), Op(Drop))).Encode(), KV: counting})
		_, err := put(t, p, which, about(which, 1))
		fails(t, err, "ran past its time limit")
		if n := counting.calls.Load(); n < most*3/4 || n > most {
			t.Errorf("%s: %d calls, want at most %d and not far from it", which, n, most)
		}
	}
}

// Each hook that may fetch may do so three times a call, each with what it was
// told before; the fourth fails, and is not sent.
func TestFetchesAtTheirBound(t *testing.T) {
	for _, which := range []abi.Hook{abi.OnCredential, abi.OnAuthorize, abi.OnLogin} {
		for _, rounds := range []int{abi.MaxFetches, abi.MaxFetches + 1} {
			m := base(fetchImport, getImport)
			m.MinPages, m.Data = 2, map[uint32]string{}
			body := Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(abi.FieldFetchBlob)), Const32(0), Const32(0), Call(1), Set(1))
			for n := range rounds { // a round knows itself by the length of the blob
				before := int32(n)
				if n == 0 {
					before = abi.Absent
				}
				a := wanted
				a.Blob = make([]byte, n+1)
				b, at := abi.AppendAnswer(nil, a), roomAt+1024*n
				m.Data[uint32(at)] = string(b)
				body = Join(body, Local(1), Const32(before), Op(0x46, 0x04, 0x40), // i32.eq, if
					Const32(bufferAt), Const32(int32(at)), Const32(int32(len(b))), Op(0xfc, 0x0a, 0, 0), result(abi.CodeFetch, uint32(len(b))), Op(0x0b))
			}
			body = Join(body, Local(1), Const32(int32(rounds)), Op(0x47, 0x04, 0x40, Unreachable, 0x0b)) // i32.ne, if
			sent := 0
			p := load(t, plugin.Options{Module: goingOn(m, which, body).Encode(), HTTP: fetcher(func(context.Context, host.Fetch) host.Fetched {
				sent++
				return host.Fetched{Status: 200}
			})})
			_, err := put(t, p, which, about(which, 1))
			if rounds > abi.MaxFetches {
				fails(t, err, which.String()+" answered fetch more than 3 times")
			} else if err != nil {
				t.Errorf("%s: %v", which, err)
			}
			if sent != abi.MaxFetches {
				t.Errorf("%s: %d fetches", which, sent)
			}
		}
	}
}

// A plugin counts by 32 names in each hook: one more cannot be declared, and is
// none there.
func TestNamesOfCountersInEachHook(t *testing.T) {
	for _, which := range everyHook {
		naming := func(names int) (m Module, declare, add []byte) {
			m = base(metricImport)
			m.MinPages, m.Data = 2, map[uint32]string{}
			for n := range names {
				at := int64(newAt + 2*n)
				m.Data[uint32(at)] = fmt.Sprintf("%02d", n)
				declare = append(declare, hostCall{metricImport, []int64{at, 2, 0}, 0}.push()...)
				add = append(add, hostCall{metricImport, []int64{at, 2, 3}, 0}.push()...)
			}
			return m, declare, add
		}
		const most = abi.MaxCounters
		m, declare, add := naming(most)
		counted := newCounts()
		p := load(t, plugin.Options{Module: goingOn(goingOn(m, abi.Configure, declare), which, add).Encode(), Counts: counted, Limits: plugin.Limits{Instances: 1}})
		if _, err := put(t, p, which, about(which, 1)); err != nil || len(counted.calls) != most || counted.calls["guest metric 31"] != 3 {
			t.Errorf("%s: %v, counted %v", which, err, counted.calls)
		}
		m, tooMany, addAll := naming(most + 1)
		refused(t, plugin.Options{Module: goingOn(goingOn(m, abi.Configure, tooMany), which).Encode()}, "configure", "metric: more than 32 names")
		p = load(t, plugin.Options{Module: goingOn(goingOn(m, abi.Configure, declare), which, addAll).Encode()})
		_, err := put(t, p, which, about(which, 1))
		fails(t, err, `metric: "32" was not declared`)
	}
}

// on_logout may ask for 8 calls; with one more none is made.
func TestCallsOfOnLogoutAtTheirBound(t *testing.T) {
	for _, n := range []int{abi.MaxCalls, abi.MaxCalls + 1} {
		m := using(hostCall{im: fetchImport})
		var a abi.Answer
		for i := range n {
			a.Calls = append(a.Calls, abi.Request{Method: "POST", URL: fmt.Sprint("https://hooks.example/", i)})
		}
		m = goingOn(m, abi.OnLogout, answerOf(&m, abi.CodeGoOn, a))
		p := load(t, plugin.Options{Module: m.Encode(), HTTP: fetcher(nil)})
		list, err := put(t, p, abi.OnLogout, ended())
		if n > abi.MaxCalls {
			if fails(t, err, "more than 8 calls"); list != nil {
				t.Errorf("%d calls of an answer that failed", len(list))
			}
		} else if err != nil || len(list) != n || list[n-1].URL != "https://hooks.example/7" {
			t.Errorf("%v, %v", list, err)
		}
	}
}
