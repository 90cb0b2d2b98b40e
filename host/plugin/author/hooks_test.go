package author_test

import (
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

const doors = `
- {name: in, hook: on_login, request: {path: /v1/login}, identity: {sub: ann, user_id: usr_ann}, expect: {decision: refuse}}
- {name: out, hook: on_logout, ended: {why: idle, user_id: usr_ann, sessions: [ses_a]}, expect: {decision: ok, calls: [{url: "https://hooks.example/"}]}}
`

// Cases of logins and logouts, of which the latter have no request, are
// reported, looked at and measured as others are.
func TestLoginsAndLogouts(t *testing.T) {
	agrees := hook(Const64(0), "")
	agrees.Funcs[2].Export = abi.OnLogin.String()
	notified := agrees.Funcs[2]
	notified.Export = abi.OnLogout.String()
	agrees.Funcs = append(agrees.Funcs, notified)
	m := open(t, agrees, doors, "")
	got := shown(t, test(t, m))
	for _, text := range []string{
		"FAIL  in  (gate.cases.yaml:2)\n      on_login: GET https://console.example/v1/login, by ann (usr_ann), roles []\n      decision  want refuse\n                got  go_on\n",
		"FAIL  out  (gate.cases.yaml:3)\n      on_logout: session of usr_ann has ended, why: idle\n      calls[0].body    want \"\"\n",
	} {
		if !strings.Contains(got, text) {
			t.Errorf("no\n%sin\n%s", text, got)
		}
	}
	in, err := m.Inspect(t.Context())
	if err != nil || len(in.Cases) != 2 || in.Cases[0].Error+in.Cases[1].Error != "" {
		t.Errorf("%+v, %v", in, err)
	}
	all, err := m.Bench(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for _, one := range all {
		if one.Ns <= 0 || one.Fuel <= 0 || one.Error != "" {
			t.Errorf("%+v", one)
		}
	}
}
