package rollout_test

import (
	"context"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	"github.com/authhost/authhost/host/plugin/rollout"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// fetching is a module that has a URL fetched, and denies for that reason if
// there was an answer; else it allows.
func fetching(reason string) string {
	ask := abi.AppendAnswer(nil, abi.Answer{Request: &abi.Request{Method: "GET", URL: "https://a.example"}})
	deny := abi.AppendAnswer(nil, abi.Answer{Reason: reason})
	has := func(f abi.Field) []byte { // else -1, which is less than 0
		return Join(Const32(int32(abi.GetField)), Const32(0), Const32(0), Const32(int32(f)), Const32(0), Const32(0), Call(0), Const32(0), Op(0x48))
	}
	say := func(at int32, code abi.Code, text []byte) []byte {
		return Join(Const32(buffer), Const32(at), Const32(int32(len(text))), Op(0xfc, 0x0a, 0, 0), Const64(int64(len(text))<<32|int64(code)), Op(Return))
	}
	m := guest(Join(
		has(abi.FieldFetchStatus), Op(0x04, 0x40), say(answer, abi.CodeFetch, ask), Op(0x0b),
		has(abi.FieldFetchError), Op(0x04, 0x40), say(answer+1024, abi.CodeNo, deny), Op(0x0b),
		Const64(int64(abi.CodeYes))))
	m.Data = map[uint32]string{answer: string(ask), answer + 1024: string(deny)}
	m.Imports = []Import{{Module: "authhost", Name: "get", Params: []byte{I32, I32, I32, I32, I32, I32}, Results: []byte{I32}}, {Module: "authhost", Name: "fetch"}}
	return string(m.Encode())
}

type real struct{ fetches int }

func (r *real) Fetch(context.Context, host.Fetch) host.Fetched {
	r.fetches++
	return host.Fetched{Status: 200}
}

// Cases are answered by their own replies, what is replayed is refused, and
// only a version that serves reaches anybody.
func TestTrialsFetchNothing(t *testing.T) {
	g := newRig(t)
	outside := &real{}
	g.Rollout = rollout.New("gate", rollout.Options{HTTP: func(hosts []string, private bool) plugin.Fetcher {
		if len(hosts) != 1 || hosts[0] != "a.example" || !private {
			t.Errorf("hosts %v, private %v", hosts, private)
		}
		return outside
	}})
	g.spec.Grants = rollout.Grants{Hosts: []string{"a.example"}, Private: true}
	g.files["p.wasm"] = fetching("one")
	g.files["p.cases.yaml"] = `
- {name: answered, hook: on_authorize, request: {path: /}, http: [{url: "https://a.example"}], expect: {decision: deny}}
- {name: refused, hook: on_authorize, request: {path: /}, expect: {decision: allow}}
`
	g.mustTry(false)
	if outside.fetches > 0 {
		t.Fatalf("%d fetches before it serves", outside.fetches)
	}
	g.is(1, "one", rollout.Serving)
	g.decide("/a")
	before := outside.fetches
	if before != 2 {
		t.Fatalf("%d fetches for 2 requests", before)
	}
	g.files["p.wasm"] = fetching("two")
	g.mustTry(false)
	if a := g.Status().Last; outside.fetches != before || a.Asked == 0 || a.Changed != a.Asked {
		t.Errorf("%d fetches in a replay; %d of %d changed", outside.fetches-before, a.Changed, a.Asked)
	}
	g.is(2, "two", rollout.Serving)
}
