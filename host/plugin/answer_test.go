package plugin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   abi.Code
		answer abi.Answer
		want   host.Opinion
	}{
		{"abstain", abi.CodeGoOn, abi.Answer{}, host.Opinion{}},
		{"abstain with a header", abi.CodeGoOn, abi.Answer{Headers: []abi.Header{{Name: "x-team", Value: "a"}}},
			host.Opinion{Headers: []host.Header{{Name: "X-Team", Value: "a"}}}},
		{"allow", abi.CodeYes, abi.Answer{}, host.Opinion{Effect: host.Allow}},
		{"allow with all", abi.CodeYes, abi.Answer{Reason: "rules[0]", Headers: []abi.Header{{Name: "X-Team", Value: ""}, {Name: "X-Plan", Value: "größer"}}},
			host.Opinion{Effect: host.Allow, Reason: "rules[0]", Headers: []host.Header{{Name: "X-Team"}, {Name: "X-Plan", Value: "größer"}}}},
		{"deny", abi.CodeNo, abi.Answer{}, host.Opinion{Effect: host.Deny, Kind: host.Forbidden, Reason: "denied"}},
		{"deny 401", abi.CodeNo, abi.Answer{Status: 401, Reason: "r"}, host.Opinion{Effect: host.Deny, Kind: host.Unauthenticated, Reason: "r"}},
		{"deny 403", abi.CodeNo, abi.Answer{Status: 403, Reason: "r"}, host.Opinion{Effect: host.Deny, Kind: host.Forbidden, Reason: "r"}},
		{"deny 404", abi.CodeNo, abi.Answer{Status: 404, Reason: "r"}, host.Opinion{Effect: host.Deny, Kind: host.NotFound, Reason: "r"}},
		{"deny 429", abi.CodeNo, abi.Answer{Status: 429, Headers: []abi.Header{{Name: "retry-after", Value: "9"}, {Name: "WWW-Authenticate", Value: "Bearer"}}},
			host.Opinion{Effect: host.Deny, Kind: host.TooManyRequests, Reason: "denied",
				Headers: []host.Header{{Name: "Retry-After", Value: "9"}, {Name: "Www-Authenticate", Value: "Bearer"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := base()
			body := answering(&m, c.code, abi.AppendAnswer(nil, c.answer))
			p := load(t, plugin.Options{Module: hook(m, "on_authorize", body).Encode(), Headers: []string{"X-Team", "X-Plan"}})
			got, err := p.Host().Authorizer.Authorize(t.Context(), call())
			if err != nil {
				t.Fatal(err)
			}
			if got.Effect != c.want.Effect || got.Kind != c.want.Kind || got.Reason != c.want.Reason || !slices.Equal(got.Headers, c.want.Headers) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestChoices(t *testing.T) {
	c := call()
	c.Identity = nil
	c.Candidates = []host.Candidate{{Name: "Authorization"}, {Name: "kc_auth"}}
	for _, tc := range []struct {
		code   abi.Code
		answer abi.Answer
		want   host.Choice
	}{
		{abi.CodeGoOn, abi.Answer{}, host.Choice{}},
		{abi.CodeYes, abi.Answer{Candidate: 1, HasCandidate: true, Reason: "cookie"}, host.Choice{Effect: host.Allow, Candidate: 1, Reason: "cookie"}},
		{abi.CodeNo, abi.Answer{Reason: "no more"}, host.Choice{Effect: host.Deny, Reason: "no more"}},
	} {
		m := base()
		body := answering(&m, tc.code, abi.AppendAnswer(nil, tc.answer))
		p := load(t, plugin.Options{Module: hook(m, "on_credential", body).Encode()})
		if got, err := p.Host().Chooser.Choose(t.Context(), c); err != nil || got != tc.want {
			t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
		}
	}
}

// An answer does not change when the instance is used again.
func TestAnswerIsACopy(t *testing.T) {
	m := base()
	first := answering(&m, abi.CodeNo, abi.AppendAnswer(nil, abi.Answer{Reason: "first first first"}))
	p := load(t, plugin.Options{Module: hook(m, "on_authorize", onCue(first)).Encode(), Limits: plugin.Limits{Instances: 1}})
	o, err := p.Authorize(t.Context(), cue())
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Clone(o.Reason)
	allows(t, p) // writes another frame where the answer was
	if o.Reason != before || before != "first first first" {
		t.Errorf("the reason became %q", o.Reason)
	}
}

// configure is handed the configuration, and its reason is in the error.
func TestConfigure(t *testing.T) {
	config := `{"roles":["editor"]}`
	// Refuses with the configuration as the reason, which get reads.
	m := with(base(getImport), Func{Export: "configure", Params: hookParams, Results: hookResults, Body: Join(
		Const32(5), Const32(0), Const32(0), Const32(int32(abi.FieldConfig)), Const32(bufferAt+8), Const32(1024), Call(0), Op(Drop),
		Const32(bufferAt), Const32(2), Op(0x36, 2, 0),
		Const32(bufferAt+4), Const32(int32(len(config))), Op(0x36, 2, 0),
		result(abi.CodeNo, uint32(8+len(config))), Op(Unreachable),
	)})
	refused(t, plugin.Options{Module: hook(m, "on_authorize").Encode(), Config: []byte(config)}, "configure", config)
}
